"""What many workers would take for many clips: a simulation with measured costs of clips, failures and starts.

It assumes that workers do not slow each other down: that storage delivers as fast as all of them read, and that their
machines are as fast as the measured one. The blocks of clips are those that a run on Ray makes.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.supervision.blocks import block_sizes


@dataclass(frozen=True)
class Costs:
    """What was measured of one worker, and what is assumed of the clips.

    Attributes:
        clip_seconds: Of each of some clips, shape (N,); others are drawn from them.
        start_seconds: Until a worker has loaded its networks.
        block_seconds: Of handing out a block, beside its clips.
        rows_per_second: That the driver writes.
        unreadable_seconds: Of a clip that cannot be read.
        unreadable_share: Of the clips, in [0, 1].
        crash_share: Of the clips, in [0, 1]: of those that make their worker crash three times.
    """

    clip_seconds: Sequence[float]
    start_seconds: float
    block_seconds: float
    rows_per_second: float
    unreadable_seconds: float
    unreadable_share: float = 0.01
    crash_share: float = 1e-4

    def draw(self, clips: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw the seconds of clips, failures among them, shape (clips,)."""
        seconds = generator.choice(np.asarray(self.clip_seconds, dtype=np.float64), clips)
        fate = generator.random(clips)
        crashes = fate < self.crash_share
        seconds[crashes] = 3 * (self.start_seconds + seconds[crashes])  # each time, the worker starts again
        is_unreadable = ~crashes & (fate < self.crash_share + self.unreadable_share)
        seconds[is_unreadable] = self.unreadable_seconds
        return seconds


@dataclass(frozen=True)
class FleetRun:
    """What a simulated run took.

    Attributes:
        seconds: From the start of the workers to the last row.
        efficiency: Share of the workers' time in which they work on clips, in [0, 1].
        blocks: How many were handed out.
        is_driver_bound: Whether the driver, which writes the rows, took longer than the workers.
    """

    seconds: float
    efficiency: float
    blocks: int
    is_driver_bound: bool


def simulate(costs: Costs, clips: int, workers: int, seed: int = 0) -> FleetRun:
    """Simulate a run: each worker takes the next block when it has time for it.

    Args:
        costs: Of the clips, starts and blocks.
        clips: How many, from 1.
        workers: How many, from 1.
        seed: Of the clips that are drawn.

    >>> costs = Costs([2.0], 4.0, 0.0, 1e9, 0.0, unreadable_share=0.0, crash_share=0.0)
    >>> simulate(costs, 100, 1)
    FleetRun(seconds=204.0, efficiency=0.9803921568627451, blocks=8, is_driver_bound=False)
    """
    seconds = costs.draw(clips, np.random.default_rng(seed))
    until = np.concatenate([[0.0], np.cumsum(seconds)])
    ends = [0, *np.cumsum(block_sizes(clips, workers)).tolist()]
    free_at = [costs.start_seconds] * workers  # a heap
    for start, end in pairwise(ends):
        heapq.heapreplace(free_at, free_at[0] + costs.block_seconds + float(until[end] - until[start]))
    of_workers, of_driver = max(free_at), clips / costs.rows_per_second
    total = max(of_workers, of_driver)
    return FleetRun(total, float(until[-1]) / (workers * total), len(ends) - 1, of_driver > of_workers)
