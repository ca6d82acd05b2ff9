"""Head files: safetensors with a manifest in the header that says what the head is, how to feed it and what made it.

A head that started from an embedded trunk holds only the tensors that its training was allowed to move; the rest is
that trunk's. A head that started from anything else holds all of its tensors.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d.taxonomy import Actor, Taxonomy
from action_heads.crops import INPUT_KINDS, MOTION_DIM, MOTION_LAYER, MOVING, VIEWS_BY_INPUT
from action_heads.tensor_files import read_arrays, read_header, read_tensors, write_tensors
from action_heads.trunk_files import EMBEDDED, trunk_path
from action_heads.tuning_modes import ALL, CLASSIFIER, TUNING_MODES
from common.errors import CheckpointError
from common.files import check_keys, sha256_file

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
    """What a head's file says about itself.

    Attributes:
        actor: Whose head it is.
        labels: Label names in output order.
        backbone: Network architecture, a name from `action_heads.backbones`.
        tuned: What training was allowed to move, a name from `action_heads.tuning_modes.TUNING_MODES`.
        input: What it was shown, one of `action_heads.crops.INPUT_KINDS`.
        preprocessing: Fields of `action_heads.preprocessing.Preprocessing`.
        trunk: What it started from: source and sha256.
        recipe: Fields of `action_heads.training.recipes.Recipe`; for `classifier`, of the regression.
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
        """Whether some of the head's tensors are those of the embedded trunk."""
        return self.trunk.get("source") == EMBEDDED and self.tuned != ALL

    @property
    def is_last_layer(self) -> bool:
        """Whether the head is a last layer on the embedded trunk, and nothing else."""
        return self.needs_trunk and self.tuned == CLASSIFIER


def head_path(folder: Path, actor: str) -> Path:
    """Where an actor's head lies in a folder of heads."""
    return folder / f"{actor}.safetensors"


def find_heads(folder: Path, taxonomy: Taxonomy, fallback: Path | None = None) -> dict[str, Path]:
    """Find every actor's head: in a folder, or in the one that stands in for heads that it lacks.

    Args:
        folder: Holds `<actor>.safetensors` for one actor of the taxonomy at least.
        taxonomy: Whose actors.
        fallback: Another such folder; None for none.

    Returns:
        Paths by actor, in the taxonomy's order.

    Raises:
        CheckpointError: If a head is in neither; all missing ones are named.
    """
    own = {actor.name: head_path(folder, actor.name) for actor in taxonomy.actors}
    found = {name: path for name, path in own.items() if path.is_file()}
    if found and fallback:  # a folder without any head is a mistake, and no wish for others
        rest = {name: head_path(fallback, name) for name in own if name not in found}
        found |= {name: path for name, path in rest.items() if path.is_file()}
    missing = [name for name in own if name not in found]
    if missing:
        raise CheckpointError(
            f"{folder}: no head for {', '.join(missing)}; train each with "
            f"retrain_head.py --actor NAME --data DATA --out {folder}"
        )
    return {name: found[name] for name in own}


def hash_heads(folder: Path) -> dict[str, str]:
    """Hash every head in a folder.

    Returns:
        SHA-256 by actor, in name order; empty if there is no such folder.
    """
    return {path.stem: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))}


def save_head(path: Path, network: "nn.Module", manifest: HeadManifest) -> None:
    """Write a head, atomically: a head that is being replaced stays whole until the new one is."""
    from action_heads.backbones import find_backbone, tensors_of

    tensors = tensors_of(network)
    if manifest.needs_trunk:
        own = find_backbone(manifest.backbone).movable(network, manifest.tuned)
        tensors = {name: tensor for name, tensor in tensors.items() if name in own}
    write_tensors(path, tensors, {"format": FORMAT, **asdict(manifest)})


def read_manifest(path: Path) -> HeadManifest:
    """Read what a head's file says about itself, without its weights.

    Raises:
        CheckpointError: If there is no such file, it is no safetensors file, or it is no head of ours.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such head; train it with retrain_head.py --actor {path.stem}")
    content = read_header(path, FORMAT, "head", f"train it anew with retrain_head.py --actor {path.stem}")
    check_keys(content, f"{path}: manifest", CheckpointError, [field.name for field in fields(HeadManifest)])
    for name, kind in MANIFEST_TYPES.items():
        if not isinstance(content[name], kind):
            raise CheckpointError(f"{path}: manifest: {name}: {kind.__name__} was expected, found {content[name]!r}")
    for name, allowed in (("tuned", TUNING_MODES), ("input", INPUT_KINDS)):
        if content[name] not in allowed:
            raise CheckpointError(
                f"{path}: manifest: {name}: one of {', '.join(allowed)} was expected, found {content[name]!r}"
            )
    manifest = HeadManifest(**{**content, "labels": tuple(content["labels"])})
    if len(VIEWS_BY_INPUT[manifest.input]) > 1 and not manifest.is_last_layer:
        raise CheckpointError(
            f"{path}: manifest: input: {manifest.input} is for heads that are a last layer on the embedded trunk"
        )
    return manifest


def check_manifest(path: Path, manifest: HeadManifest, actor: Actor) -> None:
    """Check that a head is the one wanted, and that the trunk that it needs is there.

    Raises:
        CheckpointError: If its actor, labels or trunk differ, naming both sides.
    """
    pairs = [
        ("actor", manifest.actor, actor.name),
        ("labels", " ".join(map(str, manifest.labels)), " ".join(actor.label_names)),
    ]
    for what, found, wanted in pairs:
        if found != wanted:
            raise CheckpointError(f"{path}: the file's {what} is '{found}', this run wants '{wanted}'")
    if not manifest.needs_trunk:
        return
    trunk = trunk_path(manifest.backbone)
    if not trunk.is_file():
        raise CheckpointError(f"{path}: the trunk that it was trained on is missing: {trunk}; get it anew")
    found, wanted = sha256_file(trunk), str(manifest.trunk.get("sha256"))
    if found != wanted:
        raise CheckpointError(
            f"{path}: trained on a trunk with sha256 {wanted[:8]}…, but {trunk} has {found[:8]}…: put that trunk back, "
            f"or train the head anew with retrain_head.py --actor {actor.name}"
        )


def load_head(
    path: Path, actor: Actor, trunks: "Mapping[str, Trunk] | None" = None
) -> tuple["nn.Module", HeadManifest]:
    """Load a head for one actor, strictly.

    Args:
        path: The head's file.
        actor: Whose head it must be, and with which labels.
        trunks: Embedded trunks that are loaded already, by backbone: the network then holds their very tensors, as far
            as it has none of its own. None loads what is needed.

    Returns:
        The network in evaluation mode, and the manifest.

    Raises:
        CheckpointError: If the file is no such head; mismatches name both sides.
    """
    import torch

    from action_heads.backbones import find_backbone, tensors_of
    from action_heads.model import assemble, check_tensors, load_trunk

    manifest = read_manifest(path)
    check_manifest(path, manifest, actor)
    backbone = find_backbone(manifest.backbone, str(path))
    with torch.device("meta"):
        empty = backbone.build_head(len(actor.labels), manifest.input)
    wanted = tensors_of(empty)
    shared: Mapping[str, torch.Tensor] = {}
    if manifest.needs_trunk:
        own = backbone.movable(empty, manifest.tuned)
        wanted = {name: tensor for name, tensor in wanted.items() if name in own}
        shared = ((trunks or {}).get(backbone.name) or load_trunk(EMBEDDED, backbone)).state
    state = read_tensors(path)
    check_tensors(str(path), state, wanted, backbone.name)
    return assemble(backbone, len(actor.labels), {**shared, **state}, manifest.input), manifest


@dataclass(frozen=True)
class Classifier:
    """A head that is a last layer, without PyTorch: logits are weight @ features + bias, and motion's share.

    Attributes:
        weight: Shape (outputs, D), D features of each view side by side.
        bias: Shape (outputs,).
        motion: Shape (outputs, M); M is 0 where the head is not told how the actor moves.
    """

    weight: "NDArray[np.float32]"
    bias: "NDArray[np.float32]"
    motion: "NDArray[np.float32]"


def read_classifier(path: Path, manifest: HeadManifest) -> Classifier:
    """Read a head that is a last layer and nothing else, without PyTorch.

    Args:
        path: The head's file.
        manifest: What the file says of itself.

    Raises:
        CheckpointError: If the file holds anything else.
    """
    import numpy as np

    tensors = read_arrays(path)
    outputs = len(manifest.labels)
    motion = tensors.pop(f"{MOTION_LAYER}.weight", np.zeros((outputs, 0), np.float32))
    found = {name.rpartition(".")[2]: array for name, array in tensors.items()}
    shapes = {name: tensor.shape for name, tensor in found.items()}
    if len(tensors) != 2 or shapes.get("bias") != (outputs,) or shapes.get("weight", ())[:1] != (outputs,):
        raise CheckpointError(f"{path}: a last layer of {outputs} outputs was expected, the file has {shapes}")
    wanted = (outputs, MOTION_DIM if manifest.input == MOVING else 0)
    if motion.shape != wanted:
        raise CheckpointError(f"{path}: motion has shape {motion.shape} in the file, {wanted} was expected")
    return Classifier(found["weight"], found["bias"], motion)
