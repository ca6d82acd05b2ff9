"""Training of several heads, each a task of its own: if one fails, the others are trained all the same."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

from a2d.dataset import find_held_out_split, read_samples, read_stills
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy, load_taxonomy
from action_heads.checkpoint import hash_heads
from action_heads.input_kinds import WHOLE_FRAME
from action_heads.training.samples import samples_showing
from action_heads.tuning_modes import CLASSIFIER
from common.errors import TrainingError, UserError
from common.files import write_atomically
from common.progress import Progress, no_progress
from common.system import share_cores
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from pipeline.detection_ahead import DetectionAhead
from pipeline.detection_cache import DetectionCache
from pipeline.supervision.calls import Outcome, call_all, call_setup
from pipeline.supervision.messages import Setup
from pipeline.supervision.worker import describe_exception
from pipeline.training.head_training import HeadTrainingPlan, HeadTrainingReport, retrain_head

SHOWN_DIGITS = 12  # of a head's hash in the last table, of 64


@dataclass(frozen=True)
class HeadJob:
    """One head to train, with all that a process needs for it, wherever it runs.

    Attributes:
        plan: What to train, on what and how.
        config: Of the detector.
        given_up: Clips not to be tried, see `CachedDetector`.
        runtime: What the detector must run on, as it does here.
        files: Of the cache of detections; empty if the process has the cache of `config`.
    """

    plan: HeadTrainingPlan
    config: TaggerConfig
    given_up: Mapping[Path, str]
    runtime: str
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class DistantHead:
    """A head that was trained elsewhere.

    Attributes:
        report: Of its training.
        files: What the training wrote, by name.
    """

    report: HeadTrainingReport
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class LabelledClips:
    """What heads can be trained and scored on.

    Attributes:
        training: Samples of the split to train on.
        held_out: Those of the split on which scores are reported, if there is one.
        stills: Labelled images.
    """

    training: Sequence[Sample]
    held_out: Sequence[Sample]
    stills: Sequence[Sample]

    @classmethod
    def read(cls, plan: HeadTrainingPlan, taxonomy: Taxonomy) -> "LabelledClips":
        """Read the samples that the plan of any head names.

        Raises:
            DatasetError: If the data set cannot be used.
        """
        skipped = SkippedSamples(plan.strict)
        held_out = find_held_out_split(plan.data, plan.split, plan.held_out)
        return cls(
            read_samples(plan.data, plan.split, taxonomy, skipped),
            read_samples(plan.data, held_out, taxonomy, skipped) if held_out else [],
            read_stills(plan.stills, plan.split, taxonomy, skipped) if plan.stills else [],
        )

    def to_detect(self, plan: HeadTrainingPlan, taxonomy: Taxonomy) -> list[Path]:
        """Return the clips in which the training of a head needs detections."""
        is_probe = plan.tuning_mode == CLASSIFIER
        borrows = is_probe and plan.auxiliary_weights.borrowed
        others = [taxonomy.actor(name) for name in plan.actor.auxiliary_actors] if borrows else []
        samples = samples_showing(plan.actor, [*self.training, *self.held_out])
        for actor in others:
            samples += samples_showing(actor, self.training)
        for actor in (plan.actor, *others):
            samples += samples_showing(actor, self.stills)
        needs_none = plan.input_kind == WHOLE_FRAME
        clips = (sample.clip for sample in samples if not (needs_none and sample.frame_index is not None))
        return list(dict.fromkeys(clips))


def train_job(job: HeadJob, progress: Progress = no_progress) -> HeadTrainingReport:
    """Train a head where the cache of detections is, see `retrain_head`."""
    taxonomy = load_taxonomy(job.config.taxonomy)
    detector = replace(CachedDetector.from_config(job.config, taxonomy), given_up=job.given_up)
    return retrain_head(job.plan, taxonomy, detector, progress)


def train_elsewhere(job: HeadJob) -> DistantHead:
    """Train a head on a machine that has neither the cache nor the folder of heads.

    Raises:
        UserError: If its detector does not run as on the machine that wants the head, or as for `retrain_head`.
    """
    with TemporaryDirectory(prefix="actor-action-") as folder:
        cache, out = Path(folder, "cache"), Path(folder, "heads")
        for name, content in job.files.items():
            path = cache / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(content)
        config = replace(job.config, cache=cache)
        runtime = CachedDetector.from_config(config, load_taxonomy(config.taxonomy)).runtime.name
        if runtime != job.runtime:
            raise UserError(
                f"its worker's networks run on {runtime}, those of this machine on {job.runtime}: name the "
                "same --device and --backend for all"
            )
        out.mkdir()
        report = train_job(replace(job, config=config, plan=replace(job.plan, out=out)))
        return DistantHead(report, {path.name: path.read_bytes() for path in sorted(out.iterdir())})


def cached_files(detector: CachedDetector, clips: Iterable[Path]) -> dict[str, bytes]:
    """Return the files of the cache that detecting in clips would read, by their paths in its folder."""
    files: dict[str, bytes] = {}
    reader = replace(detector, cache=DetectionCache(detector.cache.folder, files.__setitem__))
    for clip in clips:
        reader.lacks(clip)
    return files


def make_jobs(
    plan: HeadTrainingPlan, config: TaggerConfig, taxonomy: Taxonomy, ahead: DetectionAhead, *, elsewhere: bool
) -> list[HeadJob]:
    """Have workers detect in the clips that heads are trained on, and return one job for each actor that they show.

    Args:
        plan: For any actor.
        config: Of the detector. If it names no cache, the jobs have one that lasts as long as `ahead`.
        taxonomy: Of the data set.
        ahead: Has workers run stage 1.
        elsewhere: Whether the heads are trained where that cache is not.

    Raises:
        UserError: If the data set cannot be used, or shows no actor, or the plan contradicts itself.
    """
    plan = plan.prepare()
    clips = LabelledClips.read(plan, taxonomy)
    plans = [replace(plan, actor=actor) for actor in taxonomy.actors if samples_showing(actor, clips.training)]
    if not plans:
        raise TrainingError(f"{plan.data}: no sample of split {plan.split!r} shows an actor")
    wanted = [clips.to_detect(of_actor, taxonomy) for of_actor in plans]
    cached = replace(config, cache=config.cache or ahead.temporary_folder())
    detector = CachedDetector.from_config(cached, taxonomy)
    detector = ahead.prepare(config, detector, chain.from_iterable(wanted))
    return [
        HeadJob(
            of_actor,
            cached,
            detector.given_up,
            detector.runtime.name,
            cached_files(detector, detected) if elsewhere else {},
        )
        for of_actor, detected in zip(plans, wanted, strict=True)
    ]


Trained = Iterator[tuple[HeadJob, Outcome]]
"""Each job as soon as it is done, and its `HeadTrainingReport`, or why there is none."""


def train_here(jobs: Iterable[HeadJob], progress: Progress = no_progress) -> Trained:
    """Train heads one after the other in this process."""
    for job in jobs:
        try:
            outcome = Outcome(train_job(job, progress))
        except (UserError, OSError) as reason:
            outcome = Outcome(error=describe_exception(reason))
        yield job, outcome


def train_in_processes(jobs: Sequence[HeadJob], processes: int) -> Trained:
    """Train heads in processes of this machine, so many at a time, each with its share of the cores."""
    shares = share_cores(min(processes, len(jobs)))
    for place, outcome in call_all([call_setup(train_job, job) for job in jobs], shares):
        yield jobs[place], outcome


def train_on_cluster(
    jobs: Sequence[HeadJob], call_on_cluster: Callable[[Sequence[Setup]], Iterator[tuple[int, Outcome]]]
) -> Trained:
    """Train heads on the machines of a cluster, and write what comes back to their folder here."""
    for place, outcome in call_on_cluster([call_setup(train_elsewhere, job) for job in jobs]):
        job = jobs[place]
        if outcome.error:
            yield job, outcome
            continue
        trained: DistantHead = outcome.value
        for name, content in trained.files.items():
            write_atomically(job.plan.out / name, content)
        yield job, Outcome(trained.report)


@dataclass
class TrainedHeads:
    """What came of the trainings, told in the order of the actors, as if each had begun when the one before was done.

    Attributes:
        hashes: SHA-256 of the heads in the folder, by actor, before the next training that is told.
        waiting: Actors of which nothing is told yet.
        outcomes: By actor, as far as they are known; None if no clip shows it.
        reports: By actor; a text if there is none.
    """

    hashes: dict[str, str]
    waiting: list[str]
    outcomes: dict[str, Outcome | None] = field(default_factory=dict)
    reports: dict[str, HeadTrainingReport | str] = field(default_factory=dict)

    @classmethod
    def before(cls, folder: Path, actors: Iterable[str]) -> "TrainedHeads":
        """Begin with the heads in a folder."""
        return cls(hash_heads(folder), list(actors))

    @property
    def failed(self) -> bool:
        """Whether a training failed."""
        return any(outcome is not None and bool(outcome.error) for outcome in self.outcomes.values())

    @property
    def skipped(self) -> list[str]:
        """One line for each clip that could not be used."""
        reports = [report for report in self.reports.values() if not isinstance(report, str)]
        return list(dict.fromkeys(reason for report in reports for reason in report.skipped))

    def leave_out(self, actor: str) -> None:
        """Note that no clip shows an actor."""
        self.outcomes[actor] = None

    def add(self, actor: str, outcome: Outcome) -> Iterator[HeadTrainingReport]:
        """Note what came of a training, and yield the reports whose turn it is."""
        self.outcomes[actor] = outcome
        while self.waiting and self.waiting[0] in self.outcomes:
            actor = self.waiting.pop(0)
            due = self.outcomes[actor]
            if due is None or due.error:
                self.reports[actor] = "failed" if due else "no clip shows it"
                continue
            report: HeadTrainingReport = due.value
            before = dict(self.hashes)
            self.hashes[actor] = report.after[actor]
            report = replace(report, before=before, after=dict(self.hashes))
            self.reports[actor] = report
            yield report

    def table(self) -> str:
        """Format one line per actor: clips, hash, and F1 on the split held out, as text."""
        rows = [
            [actor, *(["", "", "", report] if isinstance(report, str) else [*_summarize(report), ""])]
            for actor, report in self.reports.items()
        ]
        return tabulate(rows, ["head", "clips", "sha256", "F1 held out", ""], disable_numparse=True)


def _summarize(report: HeadTrainingReport) -> list[str]:
    manifest = report.manifest
    held_out = [scores["f1"] for split, scores in manifest.scores.items() if split != manifest.data["split"]]
    f1 = f"{100 * held_out[0]:.1f}" if held_out else "–"
    return [str(manifest.data["samples"]), report.after[manifest.actor][:SHOWN_DIGITS], f1]
