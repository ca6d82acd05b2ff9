"""Which labels the training samples of a head teach: without samples or without counterexamples, it cannot tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count
from a2d.taxonomy import Actor
from action_heads.training.linear_probe import AuxiliaryFeatures
from action_heads.training.samples import SampledFrame, target_matrix

FEW_SAMPLES = 2  # with so few samples, or counterexamples, a label is named in a warning


@dataclass(frozen=True)
class LabelCoverage:
    """How many training samples show each label of a head, and how many do not.

    Attributes:
        labels: The labels, in output order.
        samples: Number of the actor's own samples.
        showing: How many of them show each label, shape (outputs,).
        borrowed: Samples of auxiliary actors that show each label's action and that do not, shape (2, outputs).
    """

    labels: tuple[str, ...]
    samples: int
    showing: NDArray[np.int64]
    borrowed: NDArray[np.int64]

    @property
    def without_samples(self) -> list[str]:
        """Labels of which there is no sample, of the actor itself or of an auxiliary one."""
        return self._select(self.showing + self.borrowed[0] == 0)

    @property
    def without_counterexamples(self) -> list[str]:
        """Labels that every sample shows."""
        return self._select(self.samples - self.showing + self.borrowed[1] == 0)

    @property
    def commonest(self) -> str:
        """The label that most of the actor's own samples show, the first of several."""
        return self.labels[int(self.showing.argmax())]

    def to_dict(self) -> dict[str, Any]:
        """Return what a head's manifest records."""
        return {
            "labels_without_samples": self.without_samples,
            "labels_without_counterexamples": self.without_counterexamples,
        }

    def warnings(self) -> list[str]:
        """Name the labels that the samples do not teach, or hardly, with counts."""
        missing, constant = self.without_samples, self.without_counterexamples
        if len(missing) + len(constant) == len(self.labels):
            shown = f"all {self.samples} samples show {', '.join(constant)}" if constant else "no sample shows a label"
            return [f"{shown} and nothing else: the head cannot tell anything else, and its scores mean nothing"]
        lines = []
        if constant:
            lines.append(f"all {self.samples} samples show {', '.join(constant)}: the head always predicts it")
        if missing:
            lines.append(f"none of the {self.samples} samples shows {', '.join(missing)}: the head cannot learn it")
        few = self._select((self.showing <= FEW_SAMPLES) & (self.showing > 0) & (self.borrowed[0] == 0))
        if few:
            counts = dict(zip(self.labels, self.showing.tolist(), strict=True))
            listed = ", ".join(f"{label} ({counts[label]})" for label in few)
            lines.append(f"few of the {self.samples} samples show {listed}")
        return lines

    def _select(self, mask: NDArray[np.bool_]) -> list[str]:
        return [label for label, is_selected in zip(self.labels, mask.tolist(), strict=True) if is_selected]


def count_labels(
    actor: Actor, frames: Sequence[SampledFrame], auxiliary: AuxiliaryFeatures | None = None
) -> LabelCoverage:
    """Count the samples of a head's training by label.

    Args:
        actor: The actor whose head is trained.
        frames: Its sampled frames.
        auxiliary: The auxiliary training data.
    """
    samples = list({id(frame.sample): frame.sample for frame in frames}.values())
    showing = target_matrix(actor, samples).sum(axis=0)
    borrowed = np.zeros((2, len(actor.labels)), np.int64)
    if auxiliary:
        _, first = np.unique(auxiliary.features.sample, return_index=True)
        targets, known = auxiliary.features.targets[first], auxiliary.known[first]
        borrowed = np.stack([(targets & known).sum(axis=0), (~targets & known).sum(axis=0)])
    return LabelCoverage(actor.label_names, len(samples), showing, borrowed)


def constant_f1(actor: Actor, label: str, targets: NDArray[np.bool_]) -> float:
    """Compute the sample-averaged F1 of always predicting one label, which shows what a head's F1 is worth.

    Args:
        actor: Whose labels.
        label: One of them.
        targets: Shape (samples, outputs).
    """
    predicted = np.zeros_like(targets)
    predicted[:, actor.label_names.index(label)] = True
    return count(predicted, targets).sample_averaged.f1
