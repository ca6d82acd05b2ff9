"""Published weights of a network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PretrainedWeights:
    """Published weights.

    Attributes:
        path: The weights file.
        source: Human-readable description.
        licence: Of the weights.
        rename: Maps the file's state dict to the network's, perhaps with a classifier.
    """

    path: Path
    source: str
    licence: str
    rename: "Callable[[dict[str, Tensor]], dict[str, Tensor]]"
