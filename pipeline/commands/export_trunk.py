"""Write a trunk file from a backbone's ImageNet weights.

Heads that are trained on it as the embedded trunk contain only the tensors that their training changes.
"""

import argparse
from pathlib import Path

from action_heads.tuning_modes import BACKBONE_NAMES
from common.units import format_size
from pipeline.commands import console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--backbone", required=True, help=" or ".join(BACKBONE_NAMES))
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the trunk, .safetensors")


def run(arguments: argparse.Namespace) -> int:
    """Write the trunk."""
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from action_heads.trunk_files import TrunkManifest, save_trunk
    from common.files import sha256_file

    backbone = find_backbone(arguments.backbone)
    trunk = load_trunk("imagenet", backbone)
    source = f"{trunk.source}, sha256 {trunk.sha256}"
    manifest = TrunkManifest(backbone.name, trunk.preprocessing.to_dict(), source, trunk.licence)
    save_trunk(arguments.out, trunk.state, manifest)
    size = format_size(arguments.out.stat().st_size)
    console.print_result(f"wrote {arguments.out} ({size}, sha256 {sha256_file(arguments.out)}) from {trunk.source}")
    return console.DONE
