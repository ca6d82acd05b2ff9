"""Fitted statistical classifiers as a PyTorch module: their numbers are buffers, so that files hold tensors alone."""

from collections.abc import Mapping

import torch
from torch import nn

from rivals.fusion_fitting import FittedClassifiers

KINDS = ("lda", "trees", "naive_bayes", "qda", "svm", "logistic_regression")
MAX_SIZES = {"support": 1_000_000, "trees": 1000, "depth": 8}


class Fusion(nn.Module):
    """One classifier per label on standardized prediction vectors; until it is filled, all logits are 0.

    Args:
        kind: One of `KINDS`; `rivals.fusion_fitting` says what they are.
        length: Of the vectors.
        labels: Number of labels.
        sizes: What `rivals.fusion_fitting.FittedClassifiers.sizes` says; empty for classifiers that are to be fitted.

    Raises:
        ValueError: If there is no such kind, or a size is impossible.
    """

    def __init__(self, kind: str, length: int, labels: int, sizes: Mapping[str, int] | None = None) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"fusion {kind!r}; one of {', '.join(KINDS)} was expected")
        self.kind, self.labels = kind, labels
        for name, shape in buffer_shapes(kind, length, labels, sizes or {}).items():
            self.register_buffer(name, torch.zeros(shape))
        self.get_buffer("scale").fill_(1)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels), for vectors (B, length)."""
        rows = (vectors - self.get_buffer("mean")) / self.get_buffer("scale")
        if self.kind in ("lda", "logistic_regression"):
            return nn.functional.linear(rows, self.get_buffer("weight"), self.get_buffer("bias"))
        if self.kind in ("naive_bayes", "qda"):
            return self._gaussian_logits(rows)
        if self.kind == "svm":
            return self._machine_logits(rows)
        return self._tree_logits(rows)

    def fill(self, fitted: FittedClassifiers) -> None:
        """Take over the numbers of fitted classifiers, whose shapes must be the buffers'."""
        self.load_state_dict({name: torch.from_numpy(array) for name, array in fitted.arrays.items()})

    def _gaussian_logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Return how much more probable each label's presence is than its absence, as a logarithm."""
        deviations = rows[:, None] - self.get_buffer("means")
        whitening = self.get_buffer("whitening")
        if whitening.ndim == 3:
            deviations = torch.einsum("bkf,kfg->bkg", deviations, whitening)
        else:
            deviations = deviations * whitening
        scores = self.get_buffer("offsets") - 0.5 * deviations.square().sum(dim=2)
        absent, present = scores.unflatten(1, (self.labels, 2)).unbind(dim=2)
        return present - absent

    def _machine_logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the decisions of support vector machines with an RBF kernel of gamma 1 / length."""
        distances = torch.cdist(rows, self.get_buffer("support"), compute_mode="donot_use_mm_for_euclid_dist")
        kernel = torch.exp(-distances.square() / rows.shape[1])
        return nn.functional.linear(kernel, self.get_buffer("dual"), self.get_buffer("bias"))

    def _tree_logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the weighted votes of trees, whose splits are stored level by level."""
        feature, threshold = self.get_buffer("feature").flatten(0, 1).long(), self.get_buffer("threshold").flatten(0, 1)
        leaves = self.get_buffer("leaves")
        trees = torch.arange(len(feature), device=rows.device)
        node = torch.zeros(len(rows), len(feature), dtype=torch.long, device=rows.device)
        splits = feature.shape[1]
        while splits:  # once per level
            goes_right = rows.gather(1, feature[trees, node]) > threshold[trees, node]
            node = 2 * node + 1 + goes_right.long()
            splits //= 2
        votes = leaves.flatten(0, 1)[trees, node - feature.shape[1]]
        return votes.unflatten(1, leaves.shape[:2]).sum(dim=2) + self.get_buffer("bias")


def buffer_shapes(kind: str, length: int, labels: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the buffers of a kind by name; none has four dimensions, which files store halved.

    Args:
        kind: One of `KINDS`.
        length: Of the vectors.
        labels: Number of labels.
        sizes: See `Fusion`; what lacks is 1.

    Raises:
        ValueError: If a size is not a whole number within `MAX_SIZES`.
    """
    known = {name: sizes.get(name, 1) for name in MAX_SIZES}
    for name, size in known.items():
        if type(size) is not int or not 1 <= size <= MAX_SIZES[name]:
            raise ValueError(f"{name}: 1 to {MAX_SIZES[name]} was expected, found {size!r}")
    shapes: dict[str, tuple[int, ...]] = {"mean": (length,), "scale": (length,)}
    if kind in ("naive_bayes", "qda"):
        whitening = (2 * labels, length, length) if kind == "qda" else (2 * labels, length)
        return {**shapes, "means": (2 * labels, length), "whitening": whitening, "offsets": (2 * labels,)}
    shapes["bias"] = (labels,)
    if kind == "svm":
        return {**shapes, "support": (known["support"], length), "dual": (labels, known["support"])}
    if kind == "trees":
        trees, splits = (labels, known["trees"]), 2 ** known["depth"] - 1
        nodes = (*trees, splits)
        return {**shapes, "feature": nodes, "threshold": nodes, "leaves": (*trees, splits + 1)}
    return {**shapes, "weight": (labels, length)}
