"""Head files: safetensors with a manifest in the header that describes the head, its preprocessing and its training.

The file of a head that was initialized from an embedded trunk, or from one whose file lies beside it, contains only the
tensors that its training could change; the others are the trunk's. The file of any other head contains all tensors.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d.taxonomy import Actor, Taxonomy
from action_heads.input_kinds import INPUT_KINDS, MOTION_DIM, MOTION_LAYER, MOVING, VIEWS_BY_INPUT
from action_heads.trunk_files import EMBEDDED, PREFIX, SHARED, trunk_path
from action_heads.tuning_modes import ALL, CLASSIFIER, TUNING_MODES
from common.errors import CheckpointError
from common.files import MAX_SHOWN, check_fields, sha256_file, shorten
from networks.tensor_files import read_arrays, read_header, read_tensors, write_tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from action_heads.model import Trunk

FORMAT = "actor-action-head/2"
MANIFEST_TYPES = {
    **dict.fromkeys(("actor", "backbone", "tuned", "input"), str),
    **dict.fromkeys(("preprocessing", "trunk", "recipe", "data", "scores"), dict),
    "labels": list,
    "seed": int,
}


@dataclass(frozen=True)
class HeadManifest:
    """Description of a head, stored in its file.

    Attributes:
        actor: Name of the actor.
        labels: Label names in output order.
        backbone: Name of the architecture, see `action_heads.backbones`.
        tuned: Tuning mode of the training, one of `action_heads.tuning_modes.TUNING_MODES`.
        input: Kind of input, one of `action_heads.input_kinds.INPUT_KINDS`.
        preprocessing: Fields of `action_heads.preprocessing.Preprocessing`.
        trunk: Source and sha256 of the trunk that it was initialized from.
        recipe: Fields of `action_heads.training.recipes.Recipe`; for tuning mode `classifier`, of the regression.
        data: Summary of the training data: name, split, samples, sources, images, samples per label.
        seed: Of the training.
        scores: Measured after training, by split: number of images, precision, recall, F1 (sample-averaged).
    """

    actor: str
    labels: tuple[str, ...]
    backbone: str
    tuned: str
    input: str
    preprocessing: dict[str, Any]
    trunk: dict[str, str]
    recipe: dict[str, Any]
    data: dict[str, Any]
    seed: int
    scores: dict[str, Any]

    @property
    def needs_trunk(self) -> bool:
        """Whether some of the head's tensors are those of a trunk in another file, embedded or beside it."""
        return self.trunk.get("source") in (EMBEDDED, SHARED) and self.tuned != ALL

    @property
    def is_classifier_only(self) -> bool:
        """Whether the head consists of a classifier on an unchanged trunk in another file."""
        return self.needs_trunk and self.tuned == CLASSIFIER


def head_path(folder: Path, actor: str) -> Path:
    """Return the path of an actor's head in a folder of heads."""
    return folder / f"{actor}.safetensors"


def find_trunk(head: Path, manifest: HeadManifest) -> Path:
    """Return where the trunk should be that a head was trained on, beside the head or in the project."""
    return trunk_path(manifest.backbone, head.parent if manifest.trunk.get("source") == SHARED else None)


def find_heads(folder: Path, taxonomy: Taxonomy, fallback: Path | None = None) -> dict[str, Path]:
    """Find every actor's head in a folder, or in a fallback folder for actors whose head is missing there.

    Args:
        folder: Contains `<actor>.safetensors` for at least one actor of the taxonomy.
        taxonomy: Actors and labels.
        fallback: Folder with the other heads, or None.

    Returns:
        Paths by actor, in the taxonomy's order.

    Raises:
        CheckpointError: If a head is in neither folder; the message names all missing ones.
    """
    paths = {actor.name: head_path(folder, actor.name) for actor in taxonomy.actors}
    found = {name: path for name, path in paths.items() if path.is_file()}
    if found and fallback:  # a folder without any head is a mistake rather than a request for the fallback
        rest = {name: head_path(fallback, name) for name in paths if name not in found}
        found |= {name: path for name, path in rest.items() if path.is_file()}
    missing = [name for name in paths if name not in found]
    if missing:
        raise CheckpointError(
            f"{folder}: no head for {', '.join(missing)}; train each with "
            f"retrain_head.py --actor NAME --data DATA --out {folder}"
        )
    return {name: found[name] for name in paths}


def hash_heads(folder: Path) -> dict[str, str]:
    """Hash every head in a folder.

    Returns:
        SHA-256 by actor, in name order; empty if the folder does not exist.
    """
    files = [path for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith(PREFIX)]
    return {path.stem: sha256_file(path) for path in files}


def save_head(path: Path, network: "nn.Module", manifest: HeadManifest) -> None:
    """Write a head atomically, so that a head that is being replaced stays intact until the new one is complete."""
    from action_heads.backbones import find_backbone
    from networks.tensors import network_tensors

    tensors = network_tensors(network)
    if manifest.needs_trunk:
        trained = find_backbone(manifest.backbone).trainable_tensors(network, manifest.tuned)
        tensors = {name: tensor for name, tensor in tensors.items() if name in trained}
    write_tensors(path, tensors, {"format": FORMAT, **asdict(manifest)})


def read_manifest(path: Path) -> HeadManifest:
    """Read a head's manifest, without its weights.

    Raises:
        CheckpointError: If the file does not exist, is not a safetensors file, or is not a head in the current format.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such head; train it with retrain_head.py --actor {path.stem}")
    header = read_header(path, FORMAT, "head", f"train it again with retrain_head.py --actor {path.stem}")
    content = check_fields(header, f"{path}: manifest", CheckpointError, MANIFEST_TYPES)
    if not all(isinstance(label, str) for label in content["labels"]):
        raise CheckpointError(f"{path}: manifest: labels: texts were expected, found {shorten(content['labels'])}")
    for name, allowed in (("tuned", TUNING_MODES), ("input", INPUT_KINDS)):
        if content[name] not in allowed:
            raise CheckpointError(
                f"{path}: manifest: {name}: one of {', '.join(allowed)} was expected, found {shorten(content[name])}"
            )
    manifest = HeadManifest(**{**content, "labels": tuple(content["labels"])})
    if len(VIEWS_BY_INPUT[manifest.input]) > 1 and not manifest.is_classifier_only:
        raise CheckpointError(
            f"{path}: manifest: input: {manifest.input} requires a head that is only a classifier on a trunk in "
            "another file"
        )
    return manifest


def check_manifest(path: Path, manifest: HeadManifest, actor: Actor) -> None:
    """Check that a head belongs to an actor, and that the trunk that it needs is available.

    Raises:
        CheckpointError: If its actor, labels or trunk differ from the expected ones; the message names both.
    """
    pairs = [
        ("actor", manifest.actor, actor.name),
        ("labels", " ".join(map(str, manifest.labels)), " ".join(actor.label_names)),
    ]
    for name, found, expected in pairs:
        if found != expected:
            raise CheckpointError(f"{path}: the file's {name} is '{found[:MAX_SHOWN]}', this run requires '{expected}'")
    if not manifest.needs_trunk:
        return
    trunk = find_trunk(path, manifest)
    if not trunk.is_file():
        raise CheckpointError(f"{path}: the trunk that it was trained on is missing: {trunk}; restore the file")
    found, expected = sha256_file(trunk), str(manifest.trunk.get("sha256"))
    if found != expected:
        raise CheckpointError(
            f"{path}: trained on a trunk with sha256 {expected[:8]}…, but {trunk} has {found[:8]}…: restore "
            f"that trunk, or train the head again with retrain_head.py --actor {actor.name}"
        )


def load_head(
    path: Path, actor: Actor, trunks: "Mapping[Path, Trunk] | None" = None
) -> tuple["nn.Module", HeadManifest]:
    """Load the head of an actor; its tensors must match the manifest exactly.

    Args:
        path: The head's file.
        actor: Actor and labels that it must have.
        trunks: Trunks that are already loaded, by file: the network then shares their tensors where it has none itself.
            None loads the trunk if it is needed.

    Returns:
        The network in evaluation mode, and the manifest.

    Raises:
        CheckpointError: If the file is not such a head; for mismatches, the message names both sides.
    """
    import torch

    from action_heads.backbones import find_backbone
    from action_heads.model import assemble, load_trunk_file
    from networks.tensors import check_tensors, network_tensors

    manifest = read_manifest(path)
    check_manifest(path, manifest, actor)
    backbone = find_backbone(manifest.backbone, str(path))
    with torch.device("meta"):
        empty = backbone.build_head(len(actor.labels), manifest.input)
    expected = network_tensors(empty)
    shared: Mapping[str, torch.Tensor] = {}
    if manifest.needs_trunk:
        trained = backbone.trainable_tensors(empty, manifest.tuned)
        expected = {name: tensor for name, tensor in expected.items() if name in trained}
        file = find_trunk(path, manifest)
        shared = ((trunks or {}).get(file) or load_trunk_file(file, backbone)).state
    state = read_tensors(path)
    check_tensors(str(path), state, expected, backbone.name)
    return assemble(backbone, len(actor.labels), {**shared, **state}, manifest.input), manifest


@dataclass(frozen=True)
class ClassifierWeights:
    """Weights of a head's classifier, without PyTorch: logits are weight @ features + bias + motion @ motion features.

    Attributes:
        weight: Shape (outputs, D), for the concatenated features of all views.
        bias: Shape (outputs,).
        motion: Shape (outputs, M); M is 0 if the head does not use motion features.
        motion_range: Lowest and highest value of each motion feature in training, shape (2, M).
    """

    weight: "NDArray[np.float32]"
    bias: "NDArray[np.float32]"
    motion: "NDArray[np.float32]"
    motion_range: "NDArray[np.float32]"


def read_classifier_weights(path: Path, manifest: HeadManifest) -> ClassifierWeights:
    """Read the file of a head that is only a classifier, without PyTorch.

    Args:
        path: The head's file.
        manifest: The file's manifest.

    Raises:
        CheckpointError: If the file contains anything else.
    """
    import numpy as np

    tensors = read_arrays(path)
    outputs = len(manifest.labels)
    motion = tensors.pop(f"{MOTION_LAYER}.weight", np.zeros((outputs, 0), np.float32))
    motion_range = tensors.pop(f"{MOTION_LAYER}.range", np.zeros((2, 0), np.float32))
    found = {name.rpartition(".")[2]: array for name, array in tensors.items()}
    shapes = {name: array.shape for name, array in found.items()}
    if len(tensors) != 2 or shapes.get("bias") != (outputs,) or shapes.get("weight", ())[:1] != (outputs,):
        raise CheckpointError(f"{path}: a classifier with {outputs} outputs was expected, the file has {shapes}")
    dim = MOTION_DIM if manifest.input == MOVING else 0
    if motion.shape != (outputs, dim) or motion_range.shape != (2, dim):
        raise CheckpointError(
            f"{path}: motion has the shapes {motion.shape} and {motion_range.shape} in the file, {(outputs, dim)} and "
            f"{(2, dim)} were expected; if an earlier version trained the head, train it again with "
            f"retrain_head.py --actor {manifest.actor}"
        )
    return ClassifierWeights(found["weight"], found["bias"], motion, motion_range)
