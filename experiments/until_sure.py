"""What `--until-sure` needs to know of a detector, measured on clips of which every frame is known.

    python -m experiments.until_sure --data $KIT/clips.csv --detector embedded --out models/until_sure.yaml

The looks of `pipeline.until_sure` are replayed on cached detections of every frame. On the train split, the probability
that a frame in between counts as showing an actor is fitted, and the deviations are chosen from which an absence counts
as sure: by conformal risk control (Angelopoulos et al., 2022), the smallest ones with (n R + 1) / (n + 1) at most the
error, where R is the mean share of the n clips' decisions that differ. The intervals' deviations are chosen likewise,
with R the share of ratios that lie outside. The other split only reports.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import read_samples
from a2d.taxonomy import load_taxonomy
from actor_detector.looks.certainty import Certainty, Looks, first_looks, represented_frames
from actor_detector.looks.chance import FEATURES, PresenceChance, chance_features
from common.files import read_yaml, write_atomically
from common.paths import cache_folder
from pipeline.cached_detector import CACHED_CONFIDENCE, CachedDetector
from pipeline.config import TaggerConfig
from pipeline.frame_sampling import interval_indices
from thresholds.gates import load_gates

ERRORS = (0.005, 0.01, 0.02, 0.05, 0.1)
STOP_DEVIATIONS = np.geomspace(0.2, 5, 41)
JUDGED_SECONDS = 0.001  # so that every frame is an interval of its own
FITTED_INTERVALS = (1.0, 0.5, 0.25, 0.12)  # seconds between looks, among which the probability is fitted
FITTED_FRAMES = 40  # of a clip, at each of them


@dataclass(frozen=True)
class KnownClip:
    """A clip of which every frame was looked at, and every box judged.

    Attributes:
        time_seconds: Of its frames, shape (F,).
        confidence: The highest of each actor's boxes, in units of the confidence from which a box counts, (A, F).
        confirmed: Whether the actor's best box in a frame would be confirmed, shape (A, F).
        every_seconds: Length of the intervals, in each of which the first frame that shows an actor decides.
    """

    time_seconds: NDArray[np.float64]
    confidence: NDArray[np.float32]
    confirmed: NDArray[np.bool_]
    every_seconds: float

    @cached_property
    def ratios(self) -> NDArray[np.float64]:
        """The presence ratios of every frame, shape (A,)."""
        ratios: NDArray[np.float64] = self.look(np.arange(len(self.time_seconds))).counts.mean(axis=1)
        return ratios

    def look(self, rows: NDArray[np.int64]) -> Looks:
        """Return what some frames show."""
        intervals = interval_indices(self.time_seconds, self.every_seconds)
        ruled_out = np.zeros(self.confidence.shape, bool)
        for actor, confidence in enumerate(self.confidence):
            shown = rows[confidence[rows] >= 1]
            judged, first = np.unique(intervals[shown], return_index=True)
            ruled_out[actor] = np.isin(intervals, judged[~self.confirmed[actor, shown[first]]])
        represented = represented_frames(self.time_seconds, rows)
        confidence = self.confidence[:, rows]
        counts = (confidence >= 1) & ~ruled_out[:, rows]
        return Looks(self.time_seconds, rows, confidence, counts, represented, ruled_out)


@dataclass(frozen=True)
class Replay:
    """The looks at some clips.

    Attributes:
        frames: Share of all frames that were looked at.
        differing: Share of each clip's decisions that differ from those of every frame, shape (N,).
        scores: By how many deviations each ratio differs, shape (N, A).
    """

    frames: float
    differing: NDArray[np.float64]
    scores: NDArray[np.float64]


def main() -> None:
    """Fit, choose, report, and write the file's entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a table of labelled clips, for its clips alone")
    parser.add_argument("--detector", default="embedded")
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--seeds", type=int, default=5, help="draws from which the deviations are chosen (default: 5)")
    parser.add_argument("--report-seeds", type=int, default=20, help="draws of the report (default: 20)")
    parser.add_argument("--out", type=Path, help="the file in which the detector's entry is replaced")
    arguments = parser.parse_args()
    config = TaggerConfig(detector=arguments.detector, cache=arguments.cache)
    detector = CachedDetector.from_config(config, load_taxonomy())
    gates = load_gates(config.gates_file).values
    train, test = (known_clips(detector, arguments.data, split) for split in ("train", "test"))
    chance = fit_chance(train)
    look = partial(replay, gates=gates, chance=chance)
    candidates = [look(train, deviations=float(stop), seeds=range(arguments.seeds)) for stop in STOP_DEVIATIONS]
    entries: list[dict[str, Any]] = []
    table = []
    for error in ERRORS:
        stop = smallest_sure([float(found.differing.mean()) for found in candidates], len(train), error)
        if stop is None:
            continue
        found, deviations = candidates[stop], float(STOP_DEVIATIONS[stop])
        interval = float(np.quantile(found.scores, 1 - allowed_share(len(train), error), method="higher"))
        entries.append({"error": error, "stop": round(deviations, 4), "interval": round(interval, 4)})
        reported = look(test, deviations=deviations, seeds=range(arguments.report_seeds))
        for name, part in (("train", found), ("test", reported)):
            outside = float((part.scores > interval).mean())
            table.append([error, name, part.frames, float(part.differing.mean()), 1 - outside, deviations, interval])
    header = ["error", "clips", "frames seen", "decisions differ", "intervals hold", "stop", "interval"]
    print(tabulate(table, header, tablefmt="github", floatfmt=".4g"))
    if arguments.out:
        differences = [round(float(bias), 5) for bias in np.ravel(chance.bias - np.mean(chance.bias))]
        entry = {
            "detector": detector.name,
            "sha256": detector.sha256,
            "clips": len(train),
            "bias": round(float(np.mean(chance.bias)), 5),
            "actor_bias": dict(zip(detector.taxonomy.actor_names, differences, strict=True)),
            "weights": {name: round(float(weight), 5) for name, weight in zip(FEATURES, chance.weights, strict=True)},
            "deviations": entries,
        }
        _write_entry(arguments.out, entry)


def known_clips(detector: CachedDetector, data: Path, split: str) -> list[KnownClip]:
    """Detect the actors in every frame of a split's clips and judge every box, or load what was found."""
    settings = replace(detector.settings, confidence=CACHED_CONFIDENCE)
    unsure = replace(detector, settings=settings, confirmer=None)
    judging = replace(detector, every_seconds=JUDGED_SECONDS)
    clips = []
    for sample in read_samples(data, split, detector.taxonomy):
        confirmed, boxes = judging.detect(sample.clip).detections, unsure.detect(sample.clip).detections
        shape = len(detector.taxonomy.actors), len(boxes.frame_index)
        confidence, counts = np.zeros(shape, np.float32), np.zeros(shape, bool)
        np.maximum.at(confidence, (boxes.actor_index, boxes.frame_row), boxes.confidence)
        counts[confirmed.actor_index, confirmed.frame_row] = True
        relative = confidence / np.float32(detector.settings.confidence)
        clips.append(KnownClip(boxes.time_seconds, relative, counts, detector.every_seconds))
    return clips


def fit_chance(clips: Sequence[KnownClip], seed: int = 0) -> PresenceChance:
    """Fit the probability that a frame between two looks counts as showing an actor, with a bias for each actor."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(seed)
    features, shown = [], []
    actors = np.eye(len(clips[0].confidence))
    for clip in clips:
        counts = clip.look(np.arange(len(clip.time_seconds))).counts
        for every_seconds in FITTED_INTERVALS:
            rows = first_looks(clip.time_seconds - random.random() * every_seconds, every_seconds)
            between = np.setdiff1d(np.arange(len(clip.time_seconds)), rows)
            between = random.permutation(between)[:FITTED_FRAMES]
            found = chance_features(clip.time_seconds, rows, clip.confidence[:, rows])[:, between]
            actor = np.repeat(actors, len(between), axis=0)
            features.append(np.concatenate([found.reshape(-1, len(FEATURES)), actor], axis=1))
            shown.append(counts[:, between].ravel())
    model = LogisticRegression(C=10, max_iter=3000).fit(np.concatenate(features), np.concatenate(shown))
    weights, bias = np.split(model.coef_[0], [len(FEATURES)])
    return PresenceChance(weights, bias + model.intercept_[0])


def replay(
    clips: Sequence[KnownClip],
    deviations: float,
    seeds: Sequence[int],
    gates: NDArray[np.float64],
    chance: PresenceChance,
) -> Replay:
    """Look at clips until every decision is sure, once for each seed."""
    seen, total = 0, 0
    differing, scores = [], []
    for seed in seeds:
        for number, clip in enumerate(clips):
            random = np.random.default_rng([seed, number])
            certainty = _look_until_sure(clip, deviations, gates, chance, random)
            looks = certainty.looks
            estimate = looks.counts @ looks.represented / looks.frames
            differing.append(((estimate >= gates) != (clip.ratios >= gates)).mean())
            deviation = np.sqrt(np.maximum(certainty.variance.sum(axis=1), 1e-12)) / looks.frames
            scores.append(np.abs(estimate - clip.ratios) / deviation)
            seen, total = seen + len(looks.rows), total + looks.frames
    return Replay(seen / total, np.array(differing), np.stack(scores))


def _look_until_sure(
    clip: KnownClip,
    deviations: float,
    gates: NDArray[np.float64],
    chance: PresenceChance,
    random: np.random.Generator,
) -> Certainty:
    rows = first_looks(clip.time_seconds, clip.every_seconds)
    while True:
        certainty = Certainty.of_looks(clip.look(rows), chance)
        more = certainty.next_looks(gates, deviations, random)
        if not len(more):
            more = certainty.looks_at_present(gates, interval_indices(clip.time_seconds, clip.every_seconds))
        if not len(more):
            return certainty
        rows = np.sort(np.concatenate([rows, more]))


def allowed_share(clips: int, error: float) -> float:
    """Return the largest share of losses on so many clips from which the error follows for further ones."""
    return max(error - (1 - error) / clips, 0.0)


def smallest_sure(shares: Sequence[float], clips: int, error: float) -> int | None:
    """Return the first candidate from which on all have an allowed share of losses; None if not even the last has."""
    too_many = [index for index, share in enumerate(shares) if share > allowed_share(clips, error)]
    first = max(too_many, default=-1) + 1
    return first if first < len(shares) else None


def _write_entry(path: Path, entry: dict[str, Any]) -> None:
    """Replace the detector's entry in the file, or add it."""
    from common.errors import UserError

    entries = read_yaml(path, UserError)["detectors"] if path.is_file() else []
    names = [known["detector"] for known in entries]
    if entry["detector"] in names:
        entries[names.index(entry["detector"])] = entry
    else:
        entries.append(entry)
    head = "# When --until-sure is sure, by detector, see pipeline.until_sure. Written by experiments.until_sure.\n"
    write_atomically(path, head + yaml.safe_dump({"detectors": entries}, sort_keys=False))


if __name__ == "__main__":
    main()
