"""Rows of the ablation: from the published recipe to the shipped heads, and single changes to the shipped heads."""

from dataclasses import dataclass, field, replace

import numpy as np

from action_heads.backbones import find_backbone
from action_heads.defaults import LABEL_THRESHOLD
from action_heads.input_kinds import CROP, MOVING, WHOLE_FRAME
from action_heads.label_decision import to_probabilities
from action_heads.model import Trunk, load_trunk
from action_heads.tuning_modes import ALL
from experiments.experiment_setup import HeadVariant
from experiments.label_decision import MOST_LIKELY_ONLY, LabelDecision
from experiments.learners import mix_features, repeat_rare_labels

STEPS = "step by step"
ALTERNATIVES = "one change to the shipped heads"
LIMITS = "less data and perfect stages"
BASELINES = "trivial baselines"
PARTS = (STEPS, ALTERNATIVES, LIMITS, BASELINES)

PUBLISHED = "published recipe"
WITH_STILLS = "and stills"
CONFIRMED = "and boxes confirmed"
SHIPPED = "and the labels of the highest expected F1 (shipped)"
ONLY_ACTORS_MISSED = "true actions behind the gates"
PUBLISHED_SAMPLING_SECONDS = 1.5  # 3 to 5 frames are labelled per clip in A2D
BACKBONE = "efficientnet_lite0"
STILLS_WEIGHTS = (0.03, 0.3)
TRAIN_SHARES = (0.25, 0.5, 0.75)

TRUE_ACTORS, TRUE_ACTIONS = "actors", "actions"
MOST_LIKELY_DECISION = LabelDecision(threshold=MOST_LIKELY_ONLY)
FIXED_DECISION = LabelDecision(threshold=LABEL_THRESHOLD)


@dataclass(frozen=True)
class AblationRow:
    """One row of the table.

    Attributes:
        part: The part of the table, one of `PARTS`.
        name: What is changed, compared with the previous row (in `STEPS`) or with the shipped heads.
        variant: How the heads are trained.
        decision: How labels are decided.
        oracle: `TRUE_ACTORS` or `TRUE_ACTIONS` if those are given; otherwise empty.
        train_share: Share of the train sources to train on, in (0, 1].
        confirmed: Whether the detector's boxes are confirmed, in training and before the gates.
    """

    part: str
    name: str
    variant: HeadVariant
    decision: LabelDecision = field(default_factory=LabelDecision)
    oracle: str = ""
    train_share: float = 1.0
    confirmed: bool = True


def make_rows(seed: int, all_rows: bool = False) -> list[AblationRow]:
    """Create the rows that have heads; rows with the same heads share the `HeadVariant` object.

    Args:
        seed: Seed of the trunk's random weights, if it has any.
        all_rows: Whether to include what takes hours: the published recipe, whose networks are fine-tuned, and the
            alternatives that have been dropped before.
    """
    trunk = load_trunk("embedded", find_backbone(BACKBONE), seed)
    steps = [
        AblationRow(STEPS, name, variant, FIXED_DECISION, confirmed=False)
        for name, variant in _make_steps(trunk).items()
    ]
    shipped = steps[-1].variant
    alternatives = _make_alternatives(shipped) if all_rows else {}
    shares = TRAIN_SHARES if all_rows else ()
    published = [
        steps[0],
        replace(steps[0], name=f"{PUBLISHED}, threshold 0.5", decision=LabelDecision(threshold=0.5)),
        replace(steps[0], name=f"{PUBLISHED}, most likely action only", decision=MOST_LIKELY_DECISION),
    ]
    return [
        *(published if all_rows else []),
        *steps[1:],
        AblationRow(STEPS, CONFIRMED, shipped, FIXED_DECISION),
        AblationRow(STEPS, SHIPPED, shipped),
        *(AblationRow(ALTERNATIVES, name, variant) for name, variant in alternatives.items()),
        *(AblationRow(ALTERNATIVES, name, shipped, decision) for name, decision in _make_decisions().items()),
        *(AblationRow(LIMITS, f"{share:.0%} of the sources", shipped, train_share=share) for share in shares),
        AblationRow(LIMITS, "true actors instead of the gates", shipped, oracle=TRUE_ACTORS),
        AblationRow(LIMITS, ONLY_ACTORS_MISSED, shipped, oracle=TRUE_ACTIONS),
    ]


def _make_steps(trunk: Trunk) -> dict[str, HeadVariant]:
    shipped = HeadVariant(trunk)
    without_stills = replace(shipped, stills_weight=0)
    uncalibrated = replace(without_stills, auxiliary_weight=0, calibrated=False)
    return {
        PUBLISHED: replace(
            shipped, input_kind=WHOLE_FRAME, tuning_mode=ALL, sample_every_seconds=PUBLISHED_SAMPLING_SECONDS
        ),
        "frozen trunk, logistic regression on all labels": replace(uncalibrated, input_kind=WHOLE_FRAME),
        "crop with context instead of the whole frame": replace(uncalibrated, input_kind=CROP),
        "whole frame and crop": uncalibrated,
        "and temperature scaling": replace(without_stills, auxiliary_weight=0),
        "and auxiliary clips of other animals": without_stills,
        WITH_STILLS: shipped,
    }


def _make_alternatives(shipped: HeadVariant) -> dict[str, HeadVariant]:
    return {
        **{f"stills count {weight:g}": replace(shipped, stills_weight=weight) for weight in STILLS_WEIGHTS},
        "ResNet-34 (--heads resnet34)": replace(shipped, trunk=load_trunk("embedded", find_backbone("resnet34"))),
        "and motion of one track, without the camera's": replace(shipped, input_kind=MOVING),
        "and motion of the most confident boxes": replace(shipped, input_kind=MOVING, track=False, camera=False),
        "and changes of the crop's features": replace(shipped, feature_changes=True),
        "up to three boxes per frame": replace(shipped, boxes_per_frame=3),
        "and mirror images in prediction": replace(shipped, mirrored=True),
        "mixup of features": replace(shipped, auxiliary_weight=0, stills_weight=0, augment=mix_features),
        "rare labels count twice": replace(shipped, auxiliary_weight=0, stills_weight=0, augment=repeat_rare_labels),
        "one threshold per label": replace(shipped, per_label_thresholds=True),
        "a frame every 1.5 s": replace(shipped, sample_every_seconds=PUBLISHED_SAMPLING_SECONDS),
    }


def _make_decisions() -> dict[str, LabelDecision]:
    return {
        "most likely action only": MOST_LIKELY_DECISION,
        "frames: mean of probabilities": LabelDecision(lambda logits: to_probabilities(logits).mean(axis=0)),
        "frames: mean of the top three": LabelDecision(
            lambda logits: to_probabilities(np.sort(logits, axis=0)[-3:].mean(axis=0))
        ),
        "frames: maximum": LabelDecision(lambda logits: to_probabilities(logits.max(axis=0))),
        "frames: noisy-or": LabelDecision(lambda logits: 1 - np.prod(1 - to_probabilities(logits), axis=0)),
    }
