"""What a system is: its report, its network, its loss, how its outputs become probabilities, and its recipes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import nearest
from rivals.recipes import NetworkSettings, Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from rivals.data import PictureStore

    Loss = Callable[[Any, Tensor], Tensor]
    Draw = Callable[[Sequence[NDArray[np.uint8]]], Iterable[NDArray[np.uint8]]]
    FitAfter = Callable[[nn.Module, PictureStore, str], dict[str, Any]]

PAPER, SMALL = "paper", "small"


@dataclass(frozen=True)
class Build:
    """What a system's network is built from.

    Attributes:
        settings: Of the network.
        labels: Label names, in output order.
        weights: What backbones start from, see `rivals.weights.load_weights`; None if a file's tensors follow anyway.
        fitted: What the system's `fit_after` returned in the training, for a network that is read from a file.
    """

    settings: NetworkSettings
    labels: tuple[str, ...]
    weights: str | None = None
    fitted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Number of labels: 43 for A2D."""
        return len(self.labels)


@dataclass(frozen=True)
class System:
    """One of the challenge's systems.

    Attributes:
        name: Name on the command line and in files.
        title: What it is, in a few words.
        report: Which of the compiled reports describes it, and in which section.
        published_f1: Sample-averaged F1 on A2D's validation frames, in [0, 1]; None if the report gives none.
        build: Builds the network. It takes pictures, float, RGB in [0, 1], of the shape (B, 3, S, S), or
            (B, N, 3, S, S) if it is given N above 1, and returns whatever its losses and `probabilities` take.
        probabilities: From the network's output to the probability of each label, shape (B, labels), in [0, 1].
        recipes: `PAPER` and `SMALL`, and named variants.
        losses: Of its own, besides `rivals.losses.LOSSES`: from the network's output and the targets (B, labels) to
            a scalar.
        draw: Makes the network's pictures, M of them, M the same for all, from the frames of a moment; each picture
            and each frame has the shape (H, W, 3), uint8, BGR, whatever its size. None uses the frames themselves.
        fit_after: Called after the last phase with the network, the training pictures and the device: fits what is
            not fitted by gradient descent, puts it into the network's buffers, and returns what `build` needs to know
            of it (`Build.fitted`), as JSON can hold it.
        learns: Whether its report could train it; otherwise it need not be able to memorise a few samples.
    """

    name: str
    title: str
    report: str
    published_f1: float | None
    build: "Callable[[Build], nn.Module]"
    probabilities: "Callable[[Any], Tensor]"
    recipes: Mapping[str, Recipe]
    losses: "Mapping[str, Loss]" = field(default_factory=dict)
    draw: "Draw | None" = None
    fit_after: "FitAfter | None" = None
    learns: bool = True

    def recipe(self, name: str) -> Recipe:
        """Return the recipe with a name.

        Raises:
            UserError: If there is no such recipe.
        """
        if name not in self.recipes:
            raise UserError(f"{self.name}: unknown recipe {name!r}; {nearest(name, self.recipes)}")
        return self.recipes[name]


def systems_by_name(*systems: System) -> dict[str, System]:
    """Return systems by name, as `rivals.registry` looks for them in a module's `SYSTEMS`."""
    return {system.name: system for system in systems}
