"""The queue of clips to label: its order, its reasons, and that the commands can read it."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import result_rows

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.paths import PROJECT
from pipeline.label_queue import COLUMNS, SPLIT, Doubt, rank_clips, write_queue
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline

CERTAIN = {"adult-walking": 0.99, "adult-running": 0.01}


def clip(name: str, **changes: object) -> ClipResult:
    """A clip of which everything is certain."""
    actors = {"person": ActorEvidence(1.0, 0.1, True, 0.9), "cat": ActorEvidence(0.0, 0.1, False, -0.1)}
    timeline = {"person": Timeline((0.0, 0.5), {"adult-walking": (0.99, 0.99)})}
    changes = {"actors": actors, "scores": CERTAIN, "timeline": timeline, **changes}
    return result_rows.row(name, **changes)


def many(count: int = 100) -> list[ClipResult]:
    return [clip(f"certain{number}.mp4") for number in range(count)]


NEAR_GATE = {"person": ActorEvidence(1.0, 0.1, True, 0.9), "cat": ActorEvidence(0.096, 0.1, False, -0.004)}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"actors": NEAR_GATE}, "cat is 0.4 points from its gate"),
        ({"scores": {**CERTAIN, "adult-running": 0.28}}, "adult-running has 0.28, said from 0.30"),
        (
            {"timeline": {"person": Timeline((0.0, 0.5), {"adult-walking": (0.9, 0.1)})}},
            "the looks disagree about adult-walking",
        ),
        ({"labels": (TaggedLabel("adult-crawling", 12, 0.9),)}, "adult-crawling was said of one clip"),
    ],
    ids=["gate", "action", "looks", "rare"],
)
def test_a_clip_with_any_doubt_comes_before_certain_ones(changes: dict, why: str, taxonomy: Taxonomy):
    entries = rank_clips([*many(), clip("doubtful.mp4", **changes), *many(3)], taxonomy, 0.3)
    assert entries[0].result.video == "doubtful.mp4"
    assert entries[0].why.startswith(why)
    assert 0 < entries[0].teaches <= 1
    assert entries[1].teaches < entries[0].teaches / 2
    assert [entry.result.video for entry in entries[1:4]] == ["certain0.mp4", "certain1.mp4", "certain2.mp4"]


def test_clips_that_cannot_be_trained_on_are_left_out(taxonomy: Taxonomy):
    results = [result_rows.failed("a.mp4"), clip("b.mp4", status="truncated"), clip("c.mp4")]
    assert [entry.result.video for entry in rank_clips(results, taxonomy, 0.3)] == ["c.mp4"]


def test_clip_without_actors_has_no_doubts(taxonomy: Taxonomy):
    absent = {"cat": ActorEvidence(0.0, 0.1, False, -0.1)}
    (entry,) = rank_clips([clip("a.mp4", actors=absent, labels=(), scores={}, timeline={})], taxonomy, 0.3)
    assert entry.doubts == (Doubt(),) * 4
    assert (entry.teaches, entry.why) == (0, "")


def test_queue_is_a_list_of_labelled_clips_in_a_split_of_its_own(people_clip: Path, tmp_path: Path, taxonomy: Taxonomy):
    both = (TaggedLabel("adult-walking", 18, 0.81), TaggedLabel("cat-eating", 41, 0.5))
    odd = tmp_path / "=odd, name.mp4"
    odd.write_bytes(people_clip.read_bytes())
    path = tmp_path / "queue.csv"
    write_queue(path, rank_clips([clip(str(people_clip), labels=both), clip(str(odd), labels=())], taxonomy, 0.3))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1]["file"] == "./=odd, name.mp4"
    samples = read_samples(path, SPLIT, taxonomy, SkippedSamples(strict=True))
    assert [sample.clip.resolve() for sample in samples] == [people_clip.resolve(), odd.resolve()]
    assert [set(sample.labels) for sample in samples] == [{"adult-walking", "cat-eating"}, set()]


def test_run_writes_the_queue(people_clip: Path, cat_clip: Path, tmp_path: Path):
    done = subprocess.run(
        [
            *(sys.executable, str(PROJECT / "run_pipeline.py"), "--video", str(people_clip), str(cat_clip)),
            *("--queue", str(tmp_path / "new" / "queue.csv")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "queue.csv (2 to label, in the split todo)" in done.stderr
    with (tmp_path / "new" / "queue.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted((tmp_path / "new" / row["file"]).resolve() for row in rows) == sorted([people_clip, cat_clip])
    assert float(rows[0]["teaches"]) >= float(rows[1]["teaches"])
    assert {row["split"] for row in rows} == {SPLIT}
