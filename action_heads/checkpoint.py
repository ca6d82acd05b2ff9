"""Head files: safetensors with a manifest in the header that says what the head is, how to feed it and what made it."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d.errors import CheckpointError
from a2d.files import check_keys, sha256_file, write_atomically
from a2d.labels import Actor

if TYPE_CHECKING:
    from torch import nn

FORMAT = "actor-action-head/1"
WHOLE_FRAMES = "frame"  # the one kind of input that heads are fed
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
        backbone: Network architecture, `resnet34`.
        tuned: What training moved: `all`.
        input: What it was shown: `frame`, whole frames.
        preprocessing: Fields of `action_heads.preprocessing.Preprocessing`.
        trunk: What it started from: source and sha256.
        recipe: Fields of `action_heads.recipes.Recipe`.
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


def head_path(folder: Path, actor: str) -> Path:
    """Where an actor's head lies in a folder of heads."""
    return folder / f"{actor}.safetensors"


def hash_heads(folder: Path) -> dict[str, str]:
    """Hash every head in a folder.

    Returns:
        SHA-256 by actor, in name order; empty if there is no such folder.
    """
    return {path.stem: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))}


def save_head(path: Path, network: "nn.Module", manifest: HeadManifest) -> None:
    """Write a head, atomically: a head that is being replaced stays whole until the new one is."""
    import safetensors.torch

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One entry only: safetensors writes several in no fixed order, and the same head must give the same bytes.
    header = {"manifest": json.dumps({"format": FORMAT, **asdict(manifest)})}
    write_atomically(path, safetensors.torch.save(state, metadata=header))


def read_manifest(path: Path) -> HeadManifest:
    """Read what a head's file says about itself, without its weights.

    Raises:
        CheckpointError: If there is no such file, it is no safetensors file, or it is no head of ours.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"{path}: no such head; train it with retrain_head.py --actor {path.stem}")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as reason:
        raise CheckpointError(f"{path}: not a readable safetensors file ({reason})") from None
    if "manifest" not in header:
        raise CheckpointError(f"{path}: no head of ours: there is no manifest in its header")
    try:
        content = dict(json.loads(header["manifest"]))
    except ValueError as reason:
        raise CheckpointError(f"{path}: the manifest in its header cannot be read ({reason})") from None
    found = content.pop("format", None)
    if found != FORMAT:
        raise CheckpointError(f"{path}: format {found!r} was found, {FORMAT!r} was expected")
    check_keys(content, f"{path}: manifest", CheckpointError, [field.name for field in fields(HeadManifest)])
    for name, kind in MANIFEST_TYPES.items():
        if not isinstance(content[name], kind):
            raise CheckpointError(f"{path}: manifest: {name}: {kind.__name__} was expected, found {content[name]!r}")
    return HeadManifest(**{**content, "labels": tuple(content["labels"])})


def check_manifest(path: Path, manifest: HeadManifest, actor: Actor, backbone: str) -> None:
    """Check that a head is the one wanted.

    Raises:
        CheckpointError: If its actor, labels, backbone or input differ, naming both sides.
    """
    pairs = [
        ("actor", manifest.actor, actor.name),
        ("labels", " ".join(map(str, manifest.labels)), " ".join(actor.label_names)),
        ("backbone", manifest.backbone, backbone),
        ("input", manifest.input, WHOLE_FRAMES),
    ]
    for what, found, wanted in pairs:
        if found != wanted:
            raise CheckpointError(f"{path}: the file's {what} is '{found}', this run wants '{wanted}'")


def load_head(path: Path, actor: Actor) -> tuple["nn.Module", HeadManifest]:
    """Load a head for one actor, strictly.

    Args:
        path: The head's file.
        actor: Whose head it must be, and with which labels.

    Returns:
        The network in evaluation mode, and the manifest.

    Raises:
        CheckpointError: If the file is no such head; mismatches name both sides.
    """
    import safetensors.torch

    from action_heads.model import BACKBONE, build_head, check_tensors

    manifest = read_manifest(path)
    check_manifest(path, manifest, actor, BACKBONE)
    network = build_head(len(actor.labels))
    state = safetensors.torch.load_file(path)
    check_tensors(str(path), state, network.state_dict())
    network.load_state_dict(state)
    return network.eval(), manifest
