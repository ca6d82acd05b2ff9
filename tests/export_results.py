"""A folder of results to export: clips of 6 frames at 10 frames per second, 48 × 32 pixels, and some bad ones."""

from dataclasses import replace
from pathlib import Path

from fake_a2d import write_video
from result_rows import failed, folder, row

from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline

NASTY = "walker <&\"'> ünï %20 \n--> ]]>.mp4"
"""A file name that must be escaped in every format: markup, quotes, a line break, the arrow of WebVTT."""
BOXES = ((4.0, 2.0, 24.0, 30.0), (), (10.0, 2.0, 48.6, 32.0))  # the last one exceeds the frame a little


def tagged(path: Path, **changes: object) -> ClipResult:
    """Make the result of a clip: a person walks all the time, and does nothing in the second half."""
    result = row(
        str(path),
        frames=6,
        fps=10.0,
        duration_seconds=0.6,
        actors={
            "person": ActorEvidence(1.0, 0.1, True, 0.9, (0, 2, 4), boxes=BOXES),
            "dog": ActorEvidence(0.0, 0.1, False, -0.1),
        },
        labels=(
            TaggedLabel("adult-walking", 18, 0.8, ((0.0, 0.2), (0.3, 0.6))),
            TaggedLabel("adult-none", 19, 0.4, ((0.3, 0.6),)),
        ),
        scores={"adult-walking": 0.8, "adult-none": 0.4},
        timeline={
            "person": Timeline((0.0, 0.2, 0.4), {"adult-walking": (0.9, 0.8, 0.7), "adult-none": (0.2, 0.3, 0.5)})
        },
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def write_results(root: Path) -> Path:
    """Write clips and the results about them, and return the folder of results.

    They are: a clip with a nasty name, a truncated one, one of the same name in another folder without any label, one
    that an earlier version tagged, which wrote no boxes, and two that could not be read.
    """
    first, truncated = write_video(root / "clips" / NASTY), write_video(root / "clips" / "truncated.mp4")
    empty, old = write_video(root / "other" / "Truncated.mp4"), write_video(root / "clips" / "old.mp4")
    without_boxes = {"person": replace(tagged(old).actors["person"], boxes=())}
    with folder(root / "results") as results:
        for result in (
            tagged(first),
            tagged(truncated, status="truncated", error="the clip ends early", labels=tagged(truncated).labels[:1]),
            failed(str(root / "clips" / "none.mp4")),
            tagged(empty, labels=(), actors={}, timeline={}, scores={}),
            tagged(old, actors=without_boxes),
            failed(str(root / "clips" / "other.mp4")),
        ):
            results.add(result)
    return root / "results"


EXPECTED = {
    f"clips/{NASTY}": ("adult-walking", "adult-none"),
    "clips/truncated.mp4": ("adult-walking",),
    "other/Truncated.mp4": (),
    "clips/old.mp4": ("adult-walking", "adult-none"),
}
"""The labels of the clips that could be read, by their paths below the root, in the taxonomy's order."""
