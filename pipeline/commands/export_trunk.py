"""Make a trunk file from a backbone's ImageNet weights.

    python -m pipeline.commands.export_trunk --backbone efficientnet_lite0 --out models/trunk_efficientnet_lite0.safetensors

Heads that start from it as the embedded trunk hold only what their training moves.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common.files import sha256_file
from pipeline.commands import console as cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.commands.export_trunk", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--backbone", required=True, help="efficientnet_lite0 or resnet34")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the trunk, .safetensors")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the trunk."""
    arguments = build_parser().parse_args(argv)
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from action_heads.trunk_files import TrunkManifest, save_trunk

    backbone = find_backbone(arguments.backbone)
    trunk = load_trunk("imagenet", backbone)
    source = f"{trunk.source}, sha256 {trunk.sha256}"
    manifest = TrunkManifest(backbone.name, trunk.preprocessing.to_dict(), source, backbone.imagenet().licence)
    save_trunk(arguments.out, trunk.state, manifest)
    size = arguments.out.stat().st_size / 1e6
    cli.show(f"wrote {arguments.out} ({size:.1f} MB, sha256 {sha256_file(arguments.out)}) from {trunk.source}")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
