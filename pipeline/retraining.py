"""Retraining of one head: only its own file changes, and the hashes before and after show it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from a2d.dataset import Sample, read_samples
from a2d.errors import TrainingError
from a2d.labels import Actor, Taxonomy
from action_heads.checkpoint import WHOLE_FRAMES, HeadManifest, hash_heads, head_path, save_head
from action_heads.frames import LabelledFrames, read_labelled_frames, samples_of
from action_heads.model import BACKBONE, Trunk
from action_heads.preprocessing import Preprocessing
from action_heads.readout import LABEL_THRESHOLD
from action_heads.recipes import PAPER, Recipe
from action_heads.training import EpochReport, predict_frames, score_frames, train_head
from pipeline.splits import find_held_out

ClipProgress = Callable[[Iterable[Path]], Iterable[Path]]
EpochProgress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class RetrainingPlan:
    """What to train, on what and how.

    Attributes:
        actor: Whose head.
        data: A labelled data set, see `a2d.dataset`.
        split: What to train on.
        held_out: Split to report scores on beside; None takes `val` or `test`. It chooses nothing.
        out: Folder of heads.
        trunk: The weights to start from.
        recipe: How to train.
        frames_per_clip: Frames of a clip whose labels hold for all of it.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
    """

    actor: Actor
    data: Path
    split: str
    held_out: str | None
    out: Path
    trunk: Trunk
    recipe: Recipe
    frames_per_clip: int
    seed: int
    device: str

    def describe(self) -> str:
        """Say in one line what will be trained from what."""
        start = f"trunk {self.trunk.source} ({self.trunk.sha256[:8]})"
        if self.trunk.source == "random":
            start += ": it has learned nothing before, so expect weak scores from few clips"
            if self.recipe == PAPER:
                start += " (the published heads started from --trunk imagenet)"
        return f"training the {self.actor.name} head, recipe {self.recipe.name}, on {self.device}, {start}"


@dataclass(frozen=True)
class RetrainingReport:
    """What a retraining did.

    Attributes:
        manifest: Of the new head.
        before: SHA-256 of every head in the folder before, by actor.
        after: And after.
    """

    manifest: HeadManifest
    before: Mapping[str, str]
    after: Mapping[str, str]

    def table(self) -> str:
        """Show which heads changed, and the new head's scores."""
        actors = sorted({*self.before, *self.after})
        rows = [[actor, self.before.get(actor, "–"), self.after[actor], self._change(actor)] for actor in actors]
        hashes = tabulate(rows, headers=["head", "sha256 before", "sha256 after", ""], disable_numparse=True)
        rows = [
            [split, str(scores["images"]), *(f"{100 * scores[name]:.1f}" for name in ("precision", "recall", "f1"))]
            for split, scores in self.manifest.scores.items()
        ]
        title = f"The {self.manifest.actor} head alone, frame by frame (%)"
        scores = tabulate(rows, ["split", "frames", "P", "R", "F1"], disable_numparse=True)
        return "\n\n".join([hashes, title, scores])

    def _change(self, actor: str) -> str:
        if actor not in self.before:
            return "new"
        return "same" if self.before[actor] == self.after[actor] else "changed"


def retrain_head(
    plan: RetrainingPlan,
    taxonomy: Taxonomy,
    clip_progress: ClipProgress = lambda clips: clips,
    epoch_progress: EpochProgress = lambda epochs: epochs,
) -> RetrainingReport:
    """Train one actor's head and put it into its folder; the log of its epochs lies beside it as `<actor>.jsonl`.

    Args:
        plan: What to do.
        taxonomy: What the data set's labels mean.
        clip_progress: Wraps the clips that are decoded, for a progress bar.
        epoch_progress: Wraps the epochs, likewise.

    Returns:
        The report.

    Raises:
        UserError: If the data set is wrong, has nothing of this actor, or training fails.
    """
    preprocessing = Preprocessing()
    samples = read_samples(plan.data, plan.split, taxonomy)
    if not samples_of(plan.actor, samples):
        raise TrainingError(f"{plan.data}: no sample of split {plan.split!r} shows the actor {plan.actor.name!r}")
    held_out = find_held_out(plan.data, plan.split, plan.held_out)
    others = read_samples(plan.data, held_out, taxonomy) if held_out else []
    # What is augmented is kept a little larger than the input; what is only scored is kept as prediction would see it.
    size = preprocessing.stored_size if plan.recipe.augment else preprocessing.size
    frames = read_labelled_frames(plan.actor, samples, size, plan.frames_per_clip, clip_progress)
    unseen = read_labelled_frames(plan.actor, others, preprocessing.size, plan.frames_per_clip, clip_progress)
    before = hash_heads(plan.out)
    log = _EpochLog(plan.out / f"{plan.actor.name}.jsonl")
    network = train_head(frames, plan.trunk, plan.recipe, preprocessing, plan.seed, plan.device, log, epoch_progress)
    scores = {plan.split: _score(network, frames, preprocessing, plan.device)}
    if held_out and len(unseen):
        scores[held_out] = _score(network, unseen, preprocessing, plan.device)
    manifest = HeadManifest(
        actor=plan.actor.name,
        labels=plan.actor.label_names,
        backbone=BACKBONE,
        tuned="all",
        input=WHOLE_FRAMES,
        preprocessing=preprocessing.to_dict(),
        trunk={"source": plan.trunk.source, "sha256": plan.trunk.sha256},
        recipe=asdict(plan.recipe),
        data=_summarise(plan, samples, frames),
        seed=plan.seed,
        scores=scores,
    )
    save_head(head_path(plan.out, plan.actor.name), network, manifest)
    log.finish()
    return RetrainingReport(manifest, before, hash_heads(plan.out))


class _EpochLog:
    """Writes one JSON line an epoch; an earlier training's log is replaced when the head is, not before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.growing = path.with_suffix(".jsonl.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.growing.write_text("")

    def __call__(self, report: EpochReport) -> None:
        with self.growing.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(report)) + "\n")

    def finish(self) -> None:
        """Put the log beside its head."""
        self.growing.replace(self.path)


def _score(network: Any, frames: LabelledFrames, preprocessing: Preprocessing, device: str) -> dict[str, Any]:
    probabilities = predict_frames(network, frames, preprocessing, device)
    scores = score_frames(probabilities, frames.targets, LABEL_THRESHOLD)
    return {"images": len(frames)} | scores.to_dict()


def _summarise(plan: RetrainingPlan, samples: Sequence[Sample], frames: LabelledFrames) -> dict[str, Any]:
    """Say what a head has seen; the data's own path stays out of the file."""
    own = samples_of(plan.actor, samples)
    counts = Counter(name for sample in own for name in sample.labels if name in plan.actor.label_names)
    return {
        "name": plan.data.name,
        "split": plan.split,
        "samples": len(own),
        "sources": len({sample.group for sample in own}),
        "images": len(frames),
        "samples_per_label": {name: counts[name] for name in plan.actor.label_names},
    }
