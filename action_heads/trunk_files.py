"""Trunk files: what all heads of one backbone start from, and share as far as their training leaves it alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from action_heads.tensor_files import read_header, write_tensors
from common.errors import CheckpointError
from common.files import check_keys
from common.paths import PROJECT

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "actor-action-trunk/2"
EMBEDDED = "embedded"
EMBEDDED_FOLDER = PROJECT / "models"


@dataclass(frozen=True)
class TrunkManifest:
    """What a trunk's file says about itself.

    Attributes:
        backbone: Network architecture, a name from `action_heads.backbones`.
        preprocessing: How it was fed, fields of `action_heads.preprocessing.Preprocessing`.
        source: What it was made from, for people.
        licence: Of the weights.
    """

    backbone: str
    preprocessing: dict[str, Any]
    source: str
    licence: str


def trunk_path(backbone: str, folder: Path | None = None) -> Path:
    """Where a backbone's trunk lies; by default the embedded one's."""
    return (folder or EMBEDDED_FOLDER) / f"trunk_{backbone}.safetensors"


def save_trunk(path: Path, tensors: "Mapping[str, Tensor]", manifest: TrunkManifest, eight_bits: bool = False) -> None:
    """Write a trunk, atomically; the same weights give the same bytes. In 8 bits it takes half the room."""
    write_tensors(path, tensors, {"format": FORMAT, **asdict(manifest)}, eight_bits)


def read_trunk_manifest(path: Path) -> TrunkManifest:
    """Read what a trunk's file says about itself.

    Raises:
        CheckpointError: If it is no trunk of ours.
    """
    content = read_header(path, FORMAT, "trunk", "make it anew")
    check_keys(content, f"{path}: manifest", CheckpointError, [field.name for field in fields(TrunkManifest)])
    return TrunkManifest(**content)
