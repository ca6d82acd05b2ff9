"""Cross-validate the whole of stage 2 over the train clips, and score the test clips once, beside what costs nothing.

Run from the repository root:

    python -m benchmarks.heads_cv --data clips.csv --backbone efficientnet_lite0 --input crop frame --out result.json

Every fold keeps a source together. Detections and features come from the cache; what is not there is computed once.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from tabulate import tabulate

from a2d.bootstrap import bootstrap_columns, bootstrap_f1
from a2d.dataset import Sample, read_samples
from a2d.files import write_atomically
from a2d.labels import Actor, Taxonomy, load_taxonomy
from a2d.metrics import count
from action_heads.backbones import find_backbone
from action_heads.classifier import LabelledFeatures, fit_last_layer
from action_heads.crops import INPUT_KINDS
from action_heads.features import FeatureCache
from action_heads.frames import LabelledFrames, read_labelled_frames
from action_heads.looks import Look, samples_of
from action_heads.model import Trunk, load_trunk
from action_heads.readout import say_labels, to_logits, to_probabilities
from action_heads.recipes import CLASSIFIER, TUNINGS, Recipe, recipe_from_name
from action_heads.training import predict_frames, train_head
from pipeline import cli
from pipeline.config import TaggerConfig, find_device
from pipeline.looks import choose_looks
from pipeline.retraining import label_features
from pipeline.scoring import trivial_answers
from pipeline.stage1 import CachedDetector
from thresholds.gates import Gates, check_gates, load_gates

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Variant:
    """One way to make the heads.

    Attributes:
        trunk: What they start from.
        input: What they are shown.
        tuning: What may move.
    """

    trunk: Trunk
    input: str
    tuning: str

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.trunk.backbone.name}, {self.input}, {self.tuning}"


@dataclass(frozen=True)
class Setting:
    """What all variants have in common.

    Attributes:
        samples: Of the train split, then of the test split.
        train: Number of samples of the train split.
        present: What the gates say, shape (samples, actors).
        fold: The fold that holds each train sample out, shape (train,).
        taxonomy: Actors and labels.
        detector: Stage 1.
        recipe: For the tunings that take epochs.
        look_every: How often a head looks at a clip, in training as in tagging, in seconds.
        cache: Of features.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
    """

    samples: Sequence[Sample]
    train: int
    present: BoolArray
    fold: NDArray[np.int64]
    taxonomy: Taxonomy
    detector: CachedDetector
    recipe: Recipe
    look_every: float
    cache: FeatureCache
    seed: int
    device: str

    @property
    def actual(self) -> BoolArray:
        """What is true, shape (samples, labels)."""
        return np.stack([self.taxonomy.encode(sample.labels) for sample in self.samples])


class Learner(Protocol):
    """The looks at one actor, to learn from some and be asked about others."""

    def learn_and_predict(self, learned: BoolArray, asked: BoolArray) -> NDArray[np.float32]:
        """Train a head on some looks (N,) and give its logits for others, shape (asked, outputs)."""


@dataclass(frozen=True)
class RegressionLearner:
    """Learns the last layer by regression on kept features."""

    features: LabelledFeatures

    def learn_and_predict(self, learned: BoolArray, asked: BoolArray) -> NDArray[np.float32]:
        """Train a head on some looks (N,) and give its logits for others, shape (asked, outputs)."""
        return fit_last_layer(self.features.at(learned)).logits(self.features.values[asked, 0])


@dataclass(frozen=True)
class EpochLearner:
    """Trains by epochs on images."""

    to_learn: LabelledFrames
    to_ask: LabelledFrames
    variant: Variant
    setting: Setting

    def learn_and_predict(self, learned: BoolArray, asked: BoolArray) -> NDArray[np.float32]:
        """Train a head on some looks (N,) and give its logits for others, shape (asked, outputs)."""
        setting, preprocessing = self.setting, self.variant.trunk.preprocessing
        material = LabelledFrames(self.to_learn.images[learned], self.to_learn.targets[learned])
        head = train_head(
            material,
            self.variant.trunk,
            setting.recipe,
            preprocessing,
            setting.seed,
            setting.device,
            self.variant.tuning,
        )
        shown = LabelledFrames(self.to_ask.images[asked], self.to_ask.targets[asked])
        return to_logits(predict_frames(head, shown, preprocessing, setting.device))


def make_learner(actor: Actor, looks: Sequence[Look], variant: Variant, setting: Setting) -> Learner:
    """Get the looks ready, from the cache as far as that has them."""
    if variant.tuning == CLASSIFIER:
        return RegressionLearner(
            label_features(actor, looks, variant.trunk, variant.input, setting.cache, setting.device, _decoding)
        )
    preprocessing = variant.trunk.preprocessing
    size = preprocessing.stored_size if setting.recipe.augment else preprocessing.size
    to_learn = read_labelled_frames(actor, looks, variant.input, size, _decoding)
    to_ask = read_labelled_frames(actor, looks, variant.input, preprocessing.size, _decoding)
    return EpochLearner(to_learn, to_ask, variant, setting)


def predict_out_of_fold(variant: Variant, setting: Setting) -> BoolArray:
    """Say labels of every sample: of train ones by heads that know none of their sources, of test ones by heads of all.

    Returns:
        Shape (samples, labels).
    """
    said = np.zeros((len(setting.samples), len(setting.taxonomy.labels)), dtype=bool)
    place_of = {id(sample): place for place, sample in enumerate(setting.samples)}
    for actor in cli.progress_bar(setting.taxonomy.actors, variant.name, "head"):
        own = {id(sample) for sample in samples_of(actor, setting.samples)}
        wanted = [s for s, there in zip(setting.samples, setting.present[:, actor.index], strict=True)
                  if there or id(s) in own]  # fmt: skip
        looks = choose_looks(wanted, actor, setting.detector, variant.input, setting.look_every)
        sample = np.array([place_of[id(look.sample)] for look in looks], dtype=np.int64)
        labelled = np.array([id(look.sample) in own for look in looks], dtype=bool)
        learner = make_learner(actor, looks, variant, setting)
        # Test samples are the last "fold": held out from heads of all train samples.
        fold = np.append(setting.fold, np.full(len(setting.samples) - setting.train, -1))[sample]
        for held_out in np.unique(fold):
            learned = labelled & (fold != held_out) & (sample < setting.train)
            asked = (fold == held_out) & setting.present[sample, actor.index]
            if not learned.any() or not asked.any():
                continue
            logits = learner.learn_and_predict(learned, asked)
            for place in np.unique(sample[asked]):
                mean = logits[sample[asked] == place].mean(axis=0)
                said[place, actor.label_indices] = say_labels(to_probabilities(mean))
    return said


def assign_folds(samples: Sequence[Sample], taxonomy: Taxonomy, folds: int, seed: int) -> NDArray[np.int64]:
    """Give each sample the fold that holds it out, shape (samples,): sources stay whole, kinds of actor are spread."""
    first = [taxonomy.label(sample.labels[0]).kind if sample.labels else "" for sample in samples]
    groups = [sample.group for sample in samples]
    fold = np.zeros(len(samples), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(first, first, groups)):
        fold[held_out] = number
    return fold


def summarise(said: BoolArray, setting: Setting) -> dict[str, Any]:
    """Score what was said of both splits."""
    taxonomy = setting.taxonomy
    actors, labels = taxonomy.actor_names, [label.name for label in taxonomy.labels]
    parts = {"cv": slice(0, setting.train), "test": slice(setting.train, None)}
    groups = [sample.group for sample in setting.samples]
    scores = {}
    for name, rows in parts.items():
        if len(setting.samples[rows]):
            interval = bootstrap_f1(said[rows], setting.actual[rows], groups[rows], setting.seed)
            counts = count(said[rows], setting.actual[rows])
            scores[name] = {
                **counts.sample_averaged.to_dict(),
                "f1_interval": interval,
                "micro_f1": counts.micro.f1,
                "macro_f1": counts.macro.f1,
                "actors": bootstrap_columns(
                    taxonomy.actors_of(said[rows]), taxonomy.actors_of(setting.actual[rows]), actors, groups[rows],
                    setting.seed,
                ),
                "labels": bootstrap_columns(said[rows], setting.actual[rows], labels, groups[rows], setting.seed),
            }  # fmt: skip
    return scores


def table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay the scores out as text, in percent."""
    columns = ["labels", *(f"{part}\n{letter}" for part in ("CV", "TEST") for letter in ("P", "R", "F1", "95 %"))]
    rows = []
    for name, parts in scores.items():
        row = [name]
        for part in ("cv", "test"):
            found = parts.get(part)
            if found is None:
                row += ["", "", "", ""]
                continue
            row += [f"{100 * found[key]:.1f}" for key in ("precision", "recall", "f1")]
            row.append("–".join(f"{100 * bound:.1f}" for bound in found["f1_interval"]))
        rows.append(row)
    return tabulate(rows, columns, disable_numparse=True, colalign=("left", *["right"] * 8))


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set with the splits train and test")
    parser.add_argument("--backbone", nargs="+", default=["efficientnet_lite0"], help="default: efficientnet_lite0")
    parser.add_argument("--trunk", default="embedded", help="as for retrain_head.py (default: embedded)")
    parser.add_argument("--input", nargs="+", choices=INPUT_KINDS, default=list(INPUT_KINDS), help="default: both")
    parser.add_argument("--tune", nargs="+", choices=TUNINGS, default=[CLASSIFIER], help="default: classifier")
    parser.add_argument("--recipe", default="default", help="for the other tunings (default: default)")
    parser.add_argument("--thresholds", type=Path, metavar="FILE", help="the gates (default: the detector's own)")
    parser.add_argument("--folds", type=cli.positive, default=5, help="default: 5")
    parser.add_argument("--no-test", action="store_true", help="leave the test split alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the scores as JSON")
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
    return Setting(
        samples=samples,
        train=len(train),
        present=_gate(samples, detector, gates, taxonomy),
        fold=assign_folds(train, taxonomy, arguments.folds, arguments.seed),
        taxonomy=taxonomy,
        detector=detector,
        recipe=recipe_from_name(arguments.recipe),
        look_every=TaggerConfig().look_every,
        cache=FeatureCache(arguments.cache / "features" if arguments.cache else None),
        seed=arguments.seed,
        device=find_device(arguments.device),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every variant, print the table, write the JSON."""
    arguments = build_parser().parse_args(argv)
    trunks = [load_trunk(arguments.trunk, find_backbone(name), arguments.seed) for name in arguments.backbone]
    setting = make_setting(arguments)
    scores: dict[str, dict[str, Any]] = {}
    for trunk, kind, tuning in product(trunks, arguments.input, arguments.tune):
        variant = Variant(trunk, kind, tuning)
        scores[variant.name] = summarise(predict_out_of_fold(variant, setting), setting)
    trivial = trivial_answers(setting.present, setting.actual, setting.actual[: setting.train], setting.taxonomy)
    scores |= {name: summarise(said, setting) for name, said in trivial.items()}
    cli.show(table(scores))
    if arguments.out:
        content = {
            "data": arguments.data.name,
            "train": setting.train,
            "test": len(setting.samples) - setting.train,
            "folds": arguments.folds,
            "seed": arguments.seed,
            "detector": str(setting.detector.identity),
            "trunks": {trunk.backbone.name: [trunk.source, trunk.sha256] for trunk in trunks},
            "look_every": setting.look_every,
            "scores": scores,
        }
        write_atomically(arguments.out, json.dumps(content, indent=1) + "\n")
    return cli.DONE


def _gate(samples: Sequence[Sample], detector: CachedDetector, gates: Gates, taxonomy: Taxonomy) -> BoolArray:
    ratios = [
        detector.detect(sample.clip).detections.presence_ratios(len(taxonomy.actors))
        for sample in cli.progress_bar(samples, "finding actors", "sample")
    ]
    return gates.present(np.stack(ratios))


def _decoding(clips: Sequence[Path]) -> Any:
    return cli.progress_bar(clips, "decoding", "clip")


if __name__ == "__main__":
    sys.exit(cli.run(main))
