"""Trunk files: networks without the classifier, from which the heads of a backbone are initialized."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import CheckpointError
from common.files import check_fields
from common.paths import MODELS
from networks.tensor_files import read_header, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "actor-action-trunk/2"
MANIFEST_TYPES = {"backbone": str, "preprocessing": dict, "source": str, "licence": str}
EMBEDDED = "embedded"  # in the project
SHARED = "shared"  # beside the heads that were trained on it
PREFIX = "trunk_"
EMBEDDED_FOLDER = MODELS


@dataclass(frozen=True)
class TrunkManifest:
    """Description of a trunk, stored in its file.

    Attributes:
        backbone: Name of the architecture, see `action_heads.backbones`.
        preprocessing: Fields of `action_heads.preprocessing.Preprocessing`.
        source: Human-readable description of where the weights come from.
        licence: Of the weights.
    """

    backbone: str
    preprocessing: dict[str, Any]
    source: str
    licence: str


def trunk_path(backbone: str, folder: Path | None = None) -> Path:
    """Return the path of a backbone's trunk in a folder of heads; None for the embedded one."""
    return (folder or EMBEDDED_FOLDER) / f"{PREFIX}{backbone.replace(':', '-')}.safetensors"


def save_trunk(path: Path, tensors: "Mapping[str, Tensor]", manifest: TrunkManifest, eight_bits: bool = False) -> None:
    """Write a trunk atomically; the same weights give the same bytes. `eight_bits` halves the file's size."""
    write_tensors(path, tensors, {"format": FORMAT, **asdict(manifest)}, eight_bits)


def read_trunk_manifest(path: Path) -> TrunkManifest:
    """Read a trunk's manifest.

    Raises:
        CheckpointError: If the file is not a trunk in the current format.
    """
    header = read_header(path, FORMAT, "trunk", "create it again")
    return TrunkManifest(**check_fields(header, f"{path}: manifest", CheckpointError, MANIFEST_TYPES))
