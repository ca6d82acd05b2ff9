"""The simulation of many workers: what it must give for costs of which the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.fleet import Costs, block_sizes, simulate

EVEN = Costs([2.0], 10.0, 0.0, 1e9, 0.0, unreadable_share=0.0, crash_share=0.0)


@pytest.mark.parametrize("workers", [1, 7, 100])
def test_equal_clips_are_shared_evenly(workers):
    run = simulate(EVEN, 70_000, workers)
    assert run.seconds == pytest.approx(10 + 2 * 70_000 / workers, abs=2.1)
    assert run.efficiency == pytest.approx(140_000 / (workers * run.seconds))


def test_a_worker_without_clips_wastes_its_time():
    run = simulate(EVEN, 1, 4)
    assert (run.seconds, run.efficiency, run.blocks) == (12.0, 2 / 48, 1)


def test_handing_out_blocks_costs_time():
    blocks = len(block_sizes(1000, 1))
    assert simulate(replace(EVEN, block_seconds=3.0), 1000, 1).seconds == pytest.approx(10 + 2000 + 3 * blocks)


def test_a_slow_driver_bounds_the_run():
    run = simulate(replace(EVEN, rows_per_second=5.0), 1000, 100)
    assert run.is_driver_bound
    assert run.seconds == 200
    assert not simulate(replace(EVEN, rows_per_second=5.0), 1000, 2).is_driver_bound


def test_failures_cost_what_they_cost():
    crashing = replace(EVEN, crash_share=1.0)
    assert simulate(crashing, 10, 1).seconds == 10 + 10 * 3 * (10 + 2)
    unreadable = replace(EVEN, unreadable_seconds=0.5, unreadable_share=1.0)
    assert simulate(unreadable, 10, 1).seconds == 10 + 10 * 0.5


def test_failures_are_drawn_as_often_as_is_assumed():
    costs = replace(EVEN, crash_share=0.01, unreadable_share=0.1)
    seconds = costs.draw(100_000, np.random.default_rng(0))
    assert (seconds == 36).mean() == pytest.approx(0.01, abs=0.002)
    assert (seconds == 0).mean() == pytest.approx(0.1, abs=0.005)


def test_one_long_clip_holds_up_the_last_worker_only():
    costs = replace(EVEN, clip_seconds=[1.0] * 9_999 + [500.0])
    run = simulate(costs, 100_000, 50)
    assert run.efficiency > 0.8
    assert run.seconds >= (100_000 + 10 * 499) / 50


@pytest.mark.parametrize(("clips", "workers"), [(1, 1), (64, 1), (1000, 3), (300_000, 1000)])
def test_blocks_contain_all_clips(clips, workers):
    assert sum(block_sizes(clips, workers)) == clips
