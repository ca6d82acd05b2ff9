"""Confirmation: is the actor really in the box that the detector drew? A small layer per actor on the trunk's features.

A detector that is fast mistakes things for others: a running dog for a bird, a crawling baby for a dog. The heads'
trunk, which has seen a thousand classes, looks at the crop around the box anyway. On its features, one logistic
regression per actor was fitted to the clips of a data set: its boxes in clips that are labelled with the actor against
its boxes in all others.

Gates and heads that are made on the clips that the layers were fitted to would trust them too much. Therefore the file
also contains layers that were fitted without a part of those clips, and where something is made on these clips, each of
them is judged by the layers that have not seen it, nor any other clip of its source (cross-fitting, Chernozhukov et al.
2018).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from action_heads.frame_views import FrameViews
from action_heads.input_kinds import CROP
from action_heads.prediction import BATCH_SIZE, NETWORK_FORMAT
from action_heads.preprocessing import Preprocessing
from action_heads.trunk_files import trunk_path
from action_heads.tuning_modes import check_backbone
from common.errors import CheckpointError
from common.files import check_fields, sha256_file, shorten
from inference.interfaces import Engine, Network, content_key
from inference.runtime import Runtime
from networks.tensor_files import read_arrays, read_header, write_tensors

if TYPE_CHECKING:
    from torch import nn

FORMAT = "actor-action-confirmation/1"
DIGEST_LENGTH = 16  # hexadecimal digits of a clip's sha256 by which it is recognised
MANIFEST_TYPES = {
    "actors": list,
    "backbone": str,
    "trunk": str,
    "preprocessing": dict,
    "part_of_clip": dict,
    "recipe": dict,
    "data": dict,
    "scores": dict,
}


@dataclass(frozen=True)
class ConfirmationManifest:
    """Description of the layers, stored in their file.

    Attributes:
        actors: Names of the actors that have a layer.
        backbone: Name of the trunk's architecture, see `action_heads.backbones`.
        trunk: SHA-256 of the trunk's file in the project.
        preprocessing: Fields of `action_heads.preprocessing.Preprocessing`.
        part_of_clip: By the first digits of a clip's SHA-256, the part of the data that it belonged to, from 1.
        recipe: How the layers were fitted.
        data: Summary of the training data: name, split, clips, sources, boxes by actor.
        scores: Measured on the parts of the data that a layer was not fitted to, by actor.
    """

    actors: tuple[str, ...]
    backbone: str
    trunk: str
    preprocessing: dict[str, Any]
    part_of_clip: dict[str, int]
    recipe: dict[str, Any]
    data: dict[str, Any]
    scores: dict[str, Any]


@dataclass(frozen=True, eq=False)
class ConfirmationLayers:
    """The layers: an actor is in a crop if `weight @ features + bias` is above 0.

    Attributes:
        weight: Fitted to all of the data, then to all but each part of it, shape (1 + parts, actors, D).
        bias: Shape (1 + parts, actors).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, actor: int, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the logits of all layers of an actor, given by its index, from (..., D) to (..., 1 + parts)."""
        logits: NDArray[np.float32] = features @ self.weight[:, actor].T + self.bias[:, actor]
        return logits


def save_confirmation(path: Path, layers: ConfirmationLayers, manifest: ConfirmationManifest) -> None:
    """Write the layers atomically; the same layers give the same bytes."""
    import torch

    tensors = {"weight": torch.from_numpy(layers.weight), "bias": torch.from_numpy(layers.bias)}
    write_tensors(path, tensors, {"format": FORMAT, **asdict(manifest)})


def load_confirmation(path: Path) -> tuple[ConfirmationLayers, ConfirmationManifest]:
    """Read layers and their description, without PyTorch.

    Raises:
        CheckpointError: If the file does not exist, is not such a file, or does not fit the project's trunk.
    """
    remedy = "make it again with actor-action retrain-confirmation"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {remedy}, or switch it off with --confirmation none")
    header = read_header(path, FORMAT, "confirmation", remedy)
    content = check_fields(header, f"{path}: manifest", CheckpointError, MANIFEST_TYPES)
    actors = content["actors"]
    if not all(isinstance(name, str) for name in actors) or len(set(actors)) < len(actors):
        raise CheckpointError(f"{path}: manifest: actors: different names were expected, found {shorten(actors)}")
    manifest = ConfirmationManifest(**{**content, "actors": tuple(actors)})
    check_backbone(manifest.backbone, str(path))
    layers = _read_layers(path, len(actors))
    parts = len(layers.weight) - 1
    if not all(type(part) is int and 0 < part <= parts for part in manifest.part_of_clip.values()):
        raise CheckpointError(f"{path}: manifest: part_of_clip: parts from 1 to {parts} were expected")
    _check_trunk(path, manifest)
    return layers, manifest


def _read_layers(path: Path, actors: int) -> ConfirmationLayers:
    arrays = read_arrays(path)
    shapes = {name: array.shape for name, array in arrays.items()}
    weight_shape = shapes.get("weight", ())
    if (
        set(arrays) != {"weight", "bias"}
        or len(weight_shape) != 3
        or weight_shape[:2] != shapes["bias"]
        or weight_shape[0] < 1
        or weight_shape[1] != actors
    ):
        raise CheckpointError(
            f"{path}: weight (1 + parts, {actors}, D) and bias (1 + parts, {actors}) were expected, not {shapes}"
        )
    return ConfirmationLayers(arrays["weight"], arrays["bias"])


def _check_trunk(path: Path, manifest: ConfirmationManifest) -> None:
    trunk = trunk_path(manifest.backbone)
    found = sha256_file(trunk) if trunk.is_file() else "no file"
    if found != manifest.trunk:
        raise CheckpointError(
            f"{path}: made with a trunk with sha256 {manifest.trunk[:8]}…, but {trunk} has {found[:8]}…: restore that "
            "trunk, or make it again with actor-action retrain-confirmation"
        )


class Confirmer:
    """Judges the boxes of frames. May be used by several threads.

    Args:
        path: The layers' file.
        runtime: Runs the trunk; the heads' engine of the same trunk, if they were given the same runtime.

    Attributes:
        path: The file.
        sha256: Of the file.
        actors: Index of each actor's layer, by name.

    Raises:
        CheckpointError: If the file is missing or wrong.
    """

    def __init__(self, path: Path, runtime: Runtime) -> None:
        self.path = path
        self.sha256 = sha256_file(path) if path.is_file() else ""
        self.layers, self.manifest = load_confirmation(path)
        self.actors = {name: index for index, name in enumerate(self.manifest.actors)}
        self.preprocessing = Preprocessing.from_dict(self.manifest.preprocessing, f"{path}: preprocessing")
        self.runtime = runtime

    @property
    def engine(self) -> Engine:
        """What computes a crop's features; loaded when first needed."""
        size = (self.preprocessing.size, self.preprocessing.size)
        key = content_key(NETWORK_FORMAT, self.manifest.trunk, self.preprocessing.to_dict())
        build = partial(_build_trunk, self.manifest.backbone, self.preprocessing, self.runtime.device)
        return self.runtime.shared_engine(Network(key, build), size, BATCH_SIZE)

    def submit_frame(
        self, views: FrameViews, boxes: Mapping[str, NDArray[np.float32]]
    ) -> Callable[[], dict[str, NDArray[np.float32]]]:
        """Start to judge the boxes of one frame.

        Args:
            views: The frame.
            boxes: Each actor's box, corners in pixels, shape (4,).

        Returns:
            A function that waits, and returns the logits of all layers by actor, shape (1 + parts,); none for actors
            without a layer or a box.
        """
        pending = {
            name: views.submit(self.engine, CROP, box, self.preprocessing.size)
            for name, box in boxes.items()
            if name in self.actors and not np.isnan(box).any()
        }
        return lambda: {
            name: self.layers.logits(self.actors[name], output.result()[0]) for name, output in pending.items()
        }

    def part_of(self, clip_sha256: str) -> int:
        """Return which layers judge a clip: 0, those fitted to all data, unless the clip is part of that data."""
        return self.manifest.part_of_clip.get(clip_sha256[:DIGEST_LENGTH], 0)


def _build_trunk(backbone: str, preprocessing: Preprocessing, device: str) -> "nn.Module":
    from action_heads.backbones import find_backbone
    from action_heads.model import feature_extractor, load_trunk_file
    from inference.torch_engine import Preprocessed

    trunk = load_trunk_file(trunk_path(backbone), find_backbone(backbone)).to(device)
    return Preprocessed(feature_extractor(trunk), preprocessing.mean, preprocessing.std)
