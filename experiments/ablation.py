"""The ablation of the action heads: what each part is worth, from the published recipe to the shipped heads.

Run from the repository root:

    python -m experiments.ablation --data clips.csv --out experiments/ablation.json

All rows are scored behind the gates, by repeated cross-validation over the train clips, grouped by source. The test
clips are scored once per row, and nothing is chosen by them. Features, and the logits of fine-tuned heads, are cached.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import read_samples, read_stills
from a2d.formats.base import Sample
from a2d.taxonomy import Taxonomy, load_taxonomy
from action_heads.backbones import find_backbone
from action_heads.model import load_trunk
from action_heads.training.features import FeatureCache
from action_heads.training.temperature import expected_calibration_error
from action_heads.tuning_modes import ALL
from experiments.ablation_report import compare, format_text, read_rows, summarize, write_report
from experiments.ablation_rows import (
    BACKBONE,
    BASELINES,
    PARTS,
    SHIPPED,
    TRUE_ACTIONS,
    TRUE_ACTORS,
    AblationRow,
    make_rows,
)
from experiments.actor_data import prepare_actors
from experiments.cross_validation import HeldOutPredictions, predict_out_of_fold, repeat_folds
from experiments.experiment_setup import BoolArray, ExperimentSetup, FloatArray, IntArray
from inference.devices import find_device
from pipeline.cached_detector import CachedDetector
from pipeline.clip_windows import clip_presence_ratios
from pipeline.commands import console
from pipeline.commands.argument_types import positive
from pipeline.commands.arguments import add_detector_arguments, add_run_arguments, config_from
from pipeline.evaluation.split_report import trivial_baselines
from pipeline.training.operating_points import GateSearch
from thresholds.fitness import PresenceTable
from thresholds.gates import check_gates, load_gates
from thresholds.stable import tune_stable
from thresholds.tuning import SearchSettings


@dataclass
class Ablation:
    """Evaluates rows; rows that differ only in the decision share their heads.

    Attributes:
        setup: What all rows have in common whose boxes are confirmed.
        unconfirmed: What all others have in common.
        folds: The fold in which each sample is held out, shape (repeats, samples).
    """

    setup: ExperimentSetup
    unconfirmed: ExperimentSetup
    folds: IntArray
    _predictions: dict[tuple[int, float, str, bool], list[dict[str, HeldOutPredictions]]] = field(default_factory=dict)

    def predict_labels(self, row: AblationRow) -> BoolArray:
        """Predict the labels of every sample in each repeat, shape (repeats, samples, labels)."""
        setup = self._setup_for(row)
        if row.oracle == TRUE_ACTIONS:
            predicted = setup.actual & self._labels_of_actors(setup.present)
            return np.repeat(predicted[None], len(self.folds), axis=0)
        return np.stack([row.decision.predict(predictions, setup) for predictions in self.predict(row)])

    def predict(self, row: AblationRow) -> list[dict[str, HeldOutPredictions]]:
        """Return the heads' predictions for single frames by actor, in each repeat."""
        key = (id(row.variant), row.train_share, row.oracle, row.confirmed)
        if key not in self._predictions:
            setup = self._setup_for(row)
            prepared = prepare_actors(row.variant, setup)
            # Fine-tuning all layers takes hours, so it is not repeated.
            folds = self.folds if row.variant.tuning_mode != ALL else self.folds[:1]
            self._predictions[key] = [
                predict_out_of_fold(prepared, setup, fold, self._draw_train_samples(row.train_share, repeat))
                for repeat, fold in enumerate(folds)
            ]
        return self._predictions[key]

    def _setup_for(self, row: AblationRow) -> ExperimentSetup:
        setup = self.setup if row.confirmed else self.unconfirmed
        if row.oracle != TRUE_ACTORS:
            return setup
        return replace(setup, present=setup.taxonomy.actors_of(setup.actual))

    def _draw_train_samples(self, share: float, seed: int) -> BoolArray:
        """Draw a share of the train sources, and return a mask of their samples, shape (samples,)."""
        sources = np.unique(self.setup.groups[: self.setup.train_size])
        drawn = np.random.default_rng(seed).permutation(sources)[: round(share * len(sources))]
        return np.isin(self.setup.groups, drawn)

    def _labels_of_actors(self, present: BoolArray) -> BoolArray:
        """Return which labels belong to present actors, shape (samples, labels)."""
        labels = np.zeros((len(present), len(self.setup.taxonomy.labels)), dtype=bool)
        for actor in self.setup.taxonomy.actors:
            labels[:, actor.label_indices] = present[:, [actor.index]]
        return labels


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set with the splits train and test")
    parser.add_argument("--stills", type=Path, metavar="CSV", help="labelled images to train on as well")
    parser.add_argument(
        "--all-rows",
        action="store_true",
        help="include what takes hours: the published recipe, and alternatives that have been dropped before",
    )
    parser.add_argument("--rows", nargs="+", metavar="TEXT", help="only rows whose names contain one of these texts")
    parser.add_argument("--folds", type=positive, default=5, help="default: 5")
    parser.add_argument(
        "--repeats", "--draws", type=positive, default=3, help="of the cross-validation, with other folds (default: 3)"
    )
    parser.add_argument("--no-test", action="store_true", help="do not score the test split")
    parser.add_argument("--thresholds", type=Path, metavar="FILE", help="the gate file (default: the detector's)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the scores, updated after every row")
    parser.add_argument("--resume", action="store_true", help="reuse the rows that --out already contains")
    add_detector_arguments(parser)
    add_run_arguments(parser)
    return parser


def make_setup(arguments: argparse.Namespace) -> ExperimentSetup:
    """Read the data set, detect the actors and apply the gates.

    Raises:
        UserError: If the data set or the gates are invalid.
    """
    config = config_from(arguments)
    taxonomy = load_taxonomy(config.taxonomy)
    detector = CachedDetector.from_config(config, taxonomy)
    gates = check_gates(
        load_gates(config.gates_file), taxonomy.actor_names, detector.identity, str(config.gates_file), published=True
    )
    train = read_samples(arguments.data, "train", taxonomy)
    samples = train + ([] if arguments.no_test else read_samples(arguments.data, "test", taxonomy))
    return ExperimentSetup(
        samples=samples,
        train_size=len(train),
        stills=read_stills(arguments.stills, "train", taxonomy) if arguments.stills else [],
        present=gates.present(presence_ratios(detector, samples, taxonomy)),
        taxonomy=taxonomy,
        detector=detector,
        feature_cache=FeatureCache(arguments.cache / "features" if arguments.cache else None),
        logit_cache=FeatureCache(arguments.cache / "out_of_fold" if arguments.cache else None),
        seed=arguments.seed,
        device=find_device(arguments.device),
    )


def without_confirmation(setup: ExperimentSetup) -> ExperimentSetup:
    """Return the same setup with a detector whose boxes nothing confirms, and gates that are tuned for it."""
    detector = replace(setup.detector, confirmer=None)
    ratios = presence_ratios(detector, setup.samples, setup.taxonomy)
    train = slice(0, setup.train_size)
    table = PresenceTable(ratios[train], setup.taxonomy.actors_of(setup.actual[train]), setup.groups[train])
    gates = tune_stable(table, GateSearch.objective, SearchSettings(seed=setup.seed))
    return replace(setup, detector=detector, present=ratios >= gates.values)


def presence_ratios(detector: CachedDetector, samples: Sequence[Sample], taxonomy: Taxonomy) -> NDArray[np.float64]:
    """Return each sample's presence ratios, shape (samples, actors).

    Raises:
        ClipError: If a clip cannot be read.
    """
    ratios = [
        clip_presence_ratios(detector.detect(sample.clip).detections, len(taxonomy.actors))
        for sample in console.progress_bar(samples, "finding actors", "sample")
    ]
    return np.stack(ratios)


def calibration_errors(row: AblationRow, ablation: Ablation) -> dict[str, float]:
    """Compute the expected calibration error of held-out predictions, by split: `cv` (first repeat only) and `test`."""
    setup = ablation.setup  # whose targets are those of all rows
    predictions = ablation.predict(row)[0]
    pairs: dict[str, list[tuple[FloatArray, BoolArray]]] = {"cv": [], "test": []}
    for name, of_actor in predictions.items():
        for sample in np.unique(of_actor.sample_index):
            targets = setup.actual[sample, setup.taxonomy.actor(name).label_indices]
            split = "cv" if sample < setup.train_size else "test"
            pairs[split].append((row.decision.pool(of_actor.logits[of_actor.sample_index == sample]), targets))
    errors = {}
    for split, of_split in pairs.items():
        if of_split:
            probabilities, targets = (np.concatenate(column) for column in zip(*of_split, strict=True))
            errors[split] = expected_calibration_error(probabilities, targets)
    return errors


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate all rows, print the tables and write the JSON."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.resume and not arguments.out:
        parser.error("--resume requires --out")
    setup = make_setup(arguments)
    report: dict[str, Any] = {
        "data": arguments.data.name,
        "train": setup.train_size,
        "test": len(setup.samples) - setup.train_size,
        "stills": len(setup.stills),
        "sources": len(set(setup.groups[: setup.train_size].tolist())),
        "folds": arguments.folds,
        "repeats": arguments.repeats,
        "seed": arguments.seed,
        "detector": str(setup.detector.identity),
        "trunk": load_trunk("embedded", find_backbone(BACKBONE)).sha256,
    }
    earlier_rows = read_rows(arguments.out, report) if arguments.resume else {}
    report["rows"] = []
    for row in evaluate(setup, arguments, earlier_rows):
        report["rows"].append(row)
        if arguments.out:
            write_report(arguments.out, report)
    shipped = next(row["scores"] for row in report["rows"] if row["name"] == SHIPPED)
    for row in report["rows"]:
        row["difference_to_shipped"] = {} if row["name"] == SHIPPED else compare(row["scores"], shipped, setup)
    if arguments.out:
        write_report(arguments.out, report)
    for part in PARTS:
        rows = [row for row in report["rows"] if row["part"] == part]
        console.print_result(f"{part}\n\n{format_text(rows)}\n")
    return console.DONE


def evaluate(
    setup: ExperimentSetup, arguments: argparse.Namespace, earlier_rows: Mapping[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Evaluate the selected rows, unless an earlier report contains them, and the trivial baselines.

    Yields:
        One row of the report after the other.
    """
    ablation = Ablation(setup, without_confirmation(setup), repeat_folds(setup, arguments.folds, arguments.repeats))
    for row in make_rows(setup.seed, arguments.all_rows):
        if row.name in earlier_rows:
            yield earlier_rows[row.name]
        elif row.name == SHIPPED or not arguments.rows or any(text in row.name for text in arguments.rows):
            scores = summarize(ablation.predict_labels(row), setup)
            errors = {} if row.oracle else calibration_errors(row, ablation)
            yield {"part": row.part, "name": row.name, "scores": scores, "calibration_error": errors}
    baselines = trivial_baselines(setup.present, setup.actual, setup.actual[: setup.train_size], setup.taxonomy)
    for name, predicted in baselines.items():
        scores = summarize(predicted[None], setup)
        yield {"part": BASELINES, "name": name, "scores": scores, "calibration_error": {}}


if __name__ == "__main__":
    sys.exit(console.run_guarded(main))
