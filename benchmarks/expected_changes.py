"""How many of the gates' decisions are expected to differ from those of every frame, over all that a run could draw.

A stride begins with the first frame, and `--until-sure` with one seed: of some hundred decisions, how many differ in
one such run is partly luck. Here the same is replayed on the detections of every frame, from each frame that a stride
could begin with, and for several seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import load_taxonomy
from experiments.until_sure import KnownClip, known_clips, replay
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from pipeline.until_sure import load_calibration
from thresholds.gates import load_gates


def expected_changes(
    configs: Mapping[str, TaggerConfig], data: Path, split: str, cache: Path | None, seeds: int
) -> dict[str, float]:
    """Replay the ways that choose frames.

    Args:
        configs: Ways to process clips, by name, all with the same detector and gates; others than strides and
            `--until-sure` are left out.
        data: The table of clips.
        split: Which of them.
        cache: Folder of the detections of every frame; what is missing is detected, and every box judged.
        seeds: Draws of `--until-sure`.

    Returns:
        The mean share of the decisions that differ, in [0, 1], by name.
    """
    config = TaggerConfig(detector=next(iter(configs.values())).detector, device="cpu")
    taxonomy, gates = load_taxonomy(), load_gates(config.gates_file).values
    detector = CachedDetector.from_config(replace(config, cache=cache), taxonomy)
    clips = known_clips(detector, data, split)
    calibration = load_calibration(detector.sha256)
    chance = calibration.chance_of(taxonomy.actor_names)
    shares = {}
    for name, way in configs.items():
        if way.until_sure is not None:
            stop = calibration.deviations_for(way.until_sure).stop
            shares[name] = float(replay(clips, stop, range(seeds), gates, chance).differing.mean())
        elif way.stride > 1:
            shares[name] = expected_of_stride(clips, gates, way.stride)
    return shares


def expected_of_stride(clips: Sequence[KnownClip], gates: NDArray[np.float64], stride: int) -> float:
    """Return the mean share of the decisions that differ if every Nth frame is looked at, over the N first ones.

    Args:
        clips: The clips.
        gates: Minimum presence ratio of each actor, shape (A,).
        stride: N.
    """
    differing = [
        (clip.look(rows).counts.mean(axis=1) >= gates) != (clip.ratios >= gates)
        for clip in clips
        for first in range(stride)
        if len(rows := np.arange(first, len(clip.time_seconds), stride))
    ]
    return float(np.mean(differing))
