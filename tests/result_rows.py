"""Results as a run makes them, and processes that write them, for tests that stop such a process at any moment."""

import json
import os
import random
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path

from a2d.taxonomy import load_taxonomy
from common.errors import UserError
from pipeline import results_folder
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline, Weights
from pipeline.results_folder import ResultsFolder

PERSON_LABELS = load_taxonomy().actor("person").label_names
WEIGHTS = Weights("d" * 64, "7" * 64, {"person": "a" * 64, "dog": "b" * 64})
PROCESSES = get_context("forkserver")
"""Starts processes within milliseconds, from one that has loaded what they need and no threads."""
PROCESSES.set_forkserver_preload(["result_rows"])


def row(video: str = "clip.mp4", **changes: object) -> ClipResult:
    """Make the result of a clip that shows a person who walks."""
    result = ClipResult(
        video=video,
        sha256="c" * 64,
        status="ok",
        error=None,
        weights=WEIGHTS,
        frames=74,
        fps=24.0,
        duration_seconds=3.083,
        actors={
            "person": ActorEvidence(0.93, 0.1, True, 0.83, (4, 13)),
            "ball": ActorEvidence(0.0, 0.1, False, -0.1),
            "bird": ActorEvidence(0.02, 0.1, False, -0.08),
            "car": ActorEvidence(0.0, 0.1, False, -0.1),
            "cat": ActorEvidence(0.09, 0.1, False, -0.01),
            "dog": ActorEvidence(0.0, 0.1, False, -0.1),
        },
        labels=(TaggedLabel("adult-walking", 18, 0.81, ((0.0, 1.5), (2.0, 3.083))),),
        scores={name: 0.33 for name in PERSON_LABELS} | {"adult-walking": 0.81},
        timeline={"person": Timeline((0.0, 0.5), {name: (0.2, 0.4) for name in PERSON_LABELS})},
        timing={"total_seconds": 1.5},
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def failed(video: str, reason: str = "no such file") -> ClipResult:
    """Make the result of a clip that cannot be read."""
    return ClipResult(video, None, "error", f"{video}: {reason}", WEIGHTS)


def folder(path: Path, weights: Weights = WEIGHTS, **settings: object) -> ResultsFolder:
    """Open a folder of results as a run does."""
    return ResultsFolder(path, weights, {"label_threshold": 0.5, **settings})


def rows_of(path: Path) -> list[dict]:
    """Read a file of rows as a user's program does."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def clip(number: int) -> str:
    """Return the path of a clip that need not exist."""
    return f"/clips/{number}.mp4"


def fill(path: Path, count: int) -> None:
    """Write a folder with a row for each of some clips, and its index."""
    with folder(path) as results:
        pass
    results.jsonl.write_text("".join(json.dumps(row(clip(number)).to_dict()) + "\n" for number in range(count)))
    folder(path).close()


def write_clips(path: Path, count: int, seed: int, small_bytes: int, acknowledged: Path) -> None:
    """Run as a command does: write what has no row yet, in any order, and some of it as a failure first.

    Args:
        path: Folder of results.
        count: Number of clips.
        seed: Of the order, and of what fails.
        small_bytes: See `results_folder.SMALL_BYTES`.
        acknowledged: The numbers of the clips whose rows are written, and their statuses, are appended to this file.
    """
    results_folder.SMALL_BYTES = small_bytes
    rng = random.Random(seed)
    log = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with folder(path) as results:
        for number in rng.sample(range(count), count):
            if results.find(clip(number)) is None:
                fails = rng.random() < 0.5
                results.add(failed(clip(number), f"attempt {seed}") if fails else row(clip(number)))
                os.write(log, f"{number} {'error' if fails else 'ok'}\n".encode())


def write_one(path: Path, number: int, answers: SimpleQueue, may_end: Event) -> None:
    """Write a row, report in one line why it is impossible or nothing, and keep the folder open until it may end."""
    try:
        with folder(path) as results:
            results.add(row(clip(number)))
            answers.put((number, os.getpid(), ""))
            may_end.wait()
    except UserError as reason:
        answers.put((number, os.getpid(), str(reason)))


def write_until_full(path: Path, free_bytes: int, answers: SimpleQueue) -> None:
    """Write rows to a disk that has so much space left, and report the number of the first that fails, and why."""
    import resource

    with folder(path) as results:
        size = results.jsonl.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + free_bytes, size + free_bytes))
        for number in range(100, 10**6):
            try:
                results.add(row(clip(number)))
            except UserError as reason:
                answers.put((number, str(reason)))
                return
