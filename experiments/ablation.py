"""The ablation: what each part of the heads is worth, from the published recipe to what is shipped, and what is not.

Run from the repository root:

    python -m experiments.ablation --data clips.csv --out experiments/ablation.json

Everything is measured behind the gates, by grouped cross-validation over the train clips: sources stay whole, the folds
are drawn several times. The test clips are scored once a row and choose nothing. Features, and what heads that are
trained by epochs say, come from the cache; what is not there is computed once.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import read_samples
from a2d.taxonomy import load_taxonomy
from action_heads.backbones import find_backbone
from action_heads.input_kinds import BOTH, CROP, WHOLE_FRAME
from action_heads.label_decision import to_probabilities
from action_heads.model import load_trunk
from action_heads.training.features import FeatureCache
from action_heads.training.temperature import expected_calibration_error
from action_heads.tuning_modes import ALL
from experiments.ablation_report import compare, read_rows, summarise, table, write_report
from experiments.cross_validation import (
    LIKELIEST_ALONE,
    TEST,
    HeldOutPredictions,
    ReadOut,
    Setting,
    Variant,
    assign_folds,
    predict_out_of_fold,
    prepare,
)
from experiments.learners import balance, mix
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console as cli
from inference.devices import find_device
from pipeline.evaluation.split_scoring import trivial_answers
from thresholds.gates import check_gates, load_gates

BoolArray = NDArray[np.bool_]
PUBLISHED = "published recipe"
SHIPPED = "and what other animals' clips teach (shipped)"
LADDER, INSTEAD, LIMITS, FREE = "step by step", "instead of what is shipped", "how far it goes", "what costs nothing"
PUBLISHED_LOOKS = 1.5  # seconds between looks: A2D's clips have 3 to 5 labelled frames each
BACKBONE = "efficientnet_lite0"
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        part: The part of the table.
        name: What changes against the row before (in the ladder) or against what is shipped.
        variant: How heads are made.
        read_out: How labels are read out of what they say.
        oracle: `gates` or `actions` where those are the truth.
        share: Of the train sources, how many are learned from, in (0, 1].
    """

    part: str
    name: str
    variant: Variant
    read_out: ReadOut = field(default_factory=ReadOut)
    oracle: str = ""
    share: float = 1.0


def rows_of(setting: Setting) -> list[Row]:
    """List the rows."""
    trunk = load_trunk("embedded", find_backbone(BACKBONE), setting.seed)
    shipped = Variant(trunk)
    plain = replace(shipped, lent_weight=0, calibrated=False)
    ladder = {
        PUBLISHED: replace(shipped, input=WHOLE_FRAME, tuning=ALL, look_every=PUBLISHED_LOOKS),
        "trunk stays, all labels, regression": replace(plain, input=WHOLE_FRAME),
        "crop with context instead of the frame": replace(plain, input=CROP),
        "frame and crop": replace(plain, input=BOTH),
        "and motion, of the surest box": replace(plain, track=False, camera=False),
        "and of one track, without the camera's": plain,
        "and a temperature": replace(shipped, lent_weight=0),
        SHIPPED: shipped,
    }
    changed = {
        "the camera's motion left in": replace(shipped, camera=False),
        "nobody followed": replace(shipped, track=False),
        "and how the crop's features change": replace(shipped, changes=True),
        "up to three boxes a look": replace(shipped, boxes=3),
        "mirrored looks too": replace(shipped, mirrored=True),
        "mixup among features": replace(shipped, lent_weight=0, invent=mix),
        "rare labels count twice": replace(shipped, lent_weight=0, invent=balance),
        "a threshold for each label": replace(shipped, own_thresholds=True),
        "a look every 1.5 s": replace(shipped, look_every=PUBLISHED_LOOKS),
    }
    read_outs = {
        "the likeliest action alone": ReadOut(threshold=LIKELIEST_ALONE),
        "looks: mean of probabilities": ReadOut(lambda logits: to_probabilities(logits).mean(axis=0)),
        "looks: mean of the top three": ReadOut(
            lambda logits: to_probabilities(np.sort(logits, axis=0)[-3:].mean(axis=0))
        ),
        "looks: the surest": ReadOut(lambda logits: to_probabilities(logits.max(axis=0))),
        "looks: noisy-or": ReadOut(lambda logits: 1 - np.prod(1 - to_probabilities(logits), axis=0)),
    }
    steps = [Row(LADDER, name, variant) for name, variant in ladder.items()]
    return [
        *steps[:1],
        Row(LADDER, "its actions from 0.5 on", steps[0].variant, ReadOut(threshold=0.5)),
        Row(LADDER, "its likeliest action alone", steps[0].variant, ReadOut(threshold=LIKELIEST_ALONE)),
        *steps[1:],
        *(Row(INSTEAD, name, variant) for name, variant in changed.items()),
        *(Row(INSTEAD, name, shipped, read_out) for name, read_out in read_outs.items()),
        *(Row(LIMITS, f"{share:.0%} of the sources", shipped, share=share) for share in SHARES),
        Row(LIMITS, "with the true actors instead of the gates", shipped, oracle="gates"),
        Row(LIMITS, "with the true actions behind the gates", shipped, oracle="actions"),
    ]


@dataclass
class Ablation:
    """Measures rows, each kind of heads once.

    Attributes:
        setting: What all rows have in common.
        folds: The fold that holds each sample out, once for each time that folds are drawn, shape (times, samples).
    """

    setting: Setting
    folds: NDArray[np.int64]
    _answers: dict[tuple[int, float, str], list[dict[str, HeldOutPredictions]]] = field(default_factory=dict)

    def say(self, row: Row) -> BoolArray:
        """Say labels of every sample, once for each time that folds are drawn, shape (times, samples, labels)."""
        setting = self.setting
        if row.oracle == "actions":
            return np.repeat((setting.actual & self._own_labels(setting.present))[None], len(self.folds), axis=0)
        if row.oracle == "gates":
            setting = replace(setting, present=setting.taxonomy.actors_of(setting.actual))
        return np.stack([row.read_out.say(answers, setting) for answers in self.answers(row, setting)])

    def answers(self, row: Row, setting: Setting) -> list[dict[str, HeldOutPredictions]]:
        """Give what heads say look by look, once for each time that folds are drawn."""
        key = (id(row.variant), row.share, row.oracle)  # rows that share a variant share the very object
        if key not in self._answers:
            prepared = prepare(row.variant, setting)
            folds = self.folds if row.variant.tuning != ALL else self.folds[:1]  # hours of training, drawn once
            known = [self._known(row.share, time) for time in range(len(folds))]
            self._answers[key] = [
                predict_out_of_fold(prepared, setting, fold, some) for fold, some in zip(folds, known, strict=True)
            ]
        return self._answers[key]

    def _known(self, share: float, time: int) -> BoolArray:
        """Draw the sources that are learned from, as samples, shape (samples,)."""
        sources = np.unique(self.setting.groups[: self.setting.train])
        drawn = np.random.default_rng(time).permutation(sources)[: round(share * len(sources))]
        return np.isin(self.setting.groups, drawn)

    def _own_labels(self, present: BoolArray) -> BoolArray:
        """Say which labels belong to present actors, shape (samples, labels)."""
        own = np.zeros((len(present), len(self.setting.taxonomy.labels)), dtype=bool)
        for actor in self.setting.taxonomy.actors:
            own[:, actor.label_indices] = present[:, [actor.index]]
        return own


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set with the splits train and test")
    parser.add_argument("--rows", nargs="+", metavar="TEXT", help="only rows whose names hold one of these texts")
    parser.add_argument("--folds", type=cli.positive, default=5, help="default: 5")
    parser.add_argument("--draws", type=cli.positive, default=3, help="how often the folds are drawn (default: 3)")
    parser.add_argument("--no-test", action="store_true", help="leave the test split alone")
    parser.add_argument("--thresholds", type=Path, metavar="FILE", help="the gates (default: the detector's own)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the scores as JSON, row by row")
    parser.add_argument("--resume", action="store_true", help="take the rows that --out holds already from there")
    cli.add_detector_arguments(parser)
    cli.add_run_arguments(parser)
    return parser


def make_setting(arguments: argparse.Namespace) -> Setting:
    """Read the data, find the actors, apply the gates."""
    config = cli.config_from(arguments)
    taxonomy = load_taxonomy(config.taxonomy)
    detector = CachedDetector.from_config(config, taxonomy)
    gates = check_gates(
        load_gates(config.gates_file), taxonomy.actor_names, detector.identity, str(config.gates_file), published=True
    )
    train = read_samples(arguments.data, "train", taxonomy)
    samples = train + ([] if arguments.no_test else read_samples(arguments.data, "test", taxonomy))
    ratios = [
        detector.detect(sample.clip).detections.presence_ratios(len(taxonomy.actors))
        for sample in cli.progress_bar(samples, "finding actors", "sample")
    ]
    return Setting(
        samples=samples,
        train=len(train),
        present=gates.present(np.stack(ratios)),
        taxonomy=taxonomy,
        detector=detector,
        cache=FeatureCache(arguments.cache / "features" if arguments.cache else None),
        kept=FeatureCache(arguments.cache / "out_of_fold" if arguments.cache else None),
        seed=arguments.seed,
        device=find_device(arguments.device),
    )


def draw_folds(setting: Setting, folds: int, draws: int) -> NDArray[np.int64]:
    """Draw folds several times, shape (draws, samples); test samples are in none."""
    train = setting.samples[: setting.train]
    test = np.full(len(setting.samples) - setting.train, TEST)
    return np.stack(
        [np.append(assign_folds(train, setting.taxonomy, folds, setting.seed + time), test) for time in range(draws)]
    )


def reliability(row: Row, ablation: Ablation) -> dict[str, float]:
    """Give the reliability error of what is said of train clips by heads that do not know them, and of test clips."""
    setting = ablation.setting
    (answers, *_) = ablation.answers(row, setting)
    pairs: dict[str, list[tuple[NDArray[np.float32], BoolArray]]] = {"cv": [], "test": []}
    for name, own in answers.items():
        for place in np.unique(own.sample):
            true = setting.actual[place, setting.taxonomy.actor(name).label_indices]
            part = "cv" if place < setting.train else "test"
            pairs[part].append((row.read_out.combine(own.logits[own.sample == place]), true))
    errors = {}
    for part, some in pairs.items():
        if some:
            probabilities, true = (np.concatenate(column) for column in zip(*some, strict=True))
            errors[part] = expected_calibration_error(probabilities, true)
    return errors


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every row, print the table, write the JSON."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.resume and not arguments.out:
        parser.error("--resume goes on with the file that --out names")
    setting = make_setting(arguments)
    report: dict[str, Any] = {
        "data": arguments.data.name,
        "train": setting.train,
        "test": len(setting.samples) - setting.train,
        "sources": len(set(setting.groups[: setting.train].tolist())),
        "folds": arguments.folds,
        "draws": arguments.draws,
        "seed": arguments.seed,
        "detector": str(setting.detector.identity),
        "trunk": load_trunk("embedded", find_backbone(BACKBONE)).sha256,
    }
    done = read_rows(arguments.out, report) if arguments.resume else {}
    report["rows"] = []
    for entry in measure(setting, arguments, done):
        report["rows"].append(entry)
        if arguments.out:
            write_report(arguments.out, report)
    shipped = next(row["scores"] for row in report["rows"] if row["name"] == SHIPPED)
    for row in report["rows"]:
        row["against_shipped"] = {} if row["name"] == SHIPPED else compare(row["scores"], shipped, setting)
    if arguments.out:
        write_report(arguments.out, report)
    for part in (LADDER, INSTEAD, LIMITS, FREE):
        cli.show(f"{part}\n\n{table([row for row in report['rows'] if row['part'] == part])}\n")
    return cli.DONE


def measure(
    setting: Setting, arguments: argparse.Namespace, done: Mapping[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Measure the rows that are asked for, unless they are done already, and what costs nothing; one after another."""
    ablation = Ablation(setting, draw_folds(setting, arguments.folds, arguments.draws))
    for row in rows_of(setting):
        if row.name in done:
            yield done[row.name]
        elif row.name == SHIPPED or not arguments.rows or any(text in row.name for text in arguments.rows):
            scores = summarise(ablation.say(row), setting)
            errors = {} if row.oracle else reliability(row, ablation)
            yield {"part": row.part, "name": row.name, "scores": scores, "reliability_error": errors}
    trivial = trivial_answers(setting.present, setting.actual, setting.actual[: setting.train], setting.taxonomy)
    for name, said in trivial.items():
        yield {"part": FREE, "name": name, "scores": summarise(said[None], setting), "reliability_error": {}}


if __name__ == "__main__":
    sys.exit(cli.run(main))
