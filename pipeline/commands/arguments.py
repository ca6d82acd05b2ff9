"""Arguments that several commands share: the same option has the same name and the same meaning everywhere."""

import argparse
from dataclasses import fields
from pathlib import Path

from common.paths import cache_folder
from inference.runtime import BACKENDS, PRECISIONS
from pipeline.config import TaggerConfig
from pipeline.known_detectors import EMBEDDED, KNOWN_DETECTORS, DetectorDefaults


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} was given, a whole number from 1 is allowed")
    return number


def natural(text: str) -> int:
    """Parse a whole number from 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} was given, a whole number from 0 is allowed")
    return number


def seed(text: str) -> int:
    """Parse a whole number from 0 that every generator takes."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to {2**32 - 1} is allowed")
    return number


def fraction(text: str) -> float:
    """Parse a number in [0, 1]."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to 1 is allowed")
    return number


def seconds(text: str) -> float:
    """Parse a stretch of time."""
    number = float(text)
    if not 0.01 <= number <= 3600:
        raise argparse.ArgumentTypeError(f"{text} was given, 0.01 to 3600 is allowed")
    return number


def levels(text: str) -> float:
    """Parse a difference in grey levels."""
    number = float(text)
    if not 0 <= number <= 255:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to 255 is allowed")
    return number


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes."""
    defaults = TaggerConfig()
    parser.add_argument("--taxonomy", type=Path, default=defaults.taxonomy, metavar="FILE", help="actors and labels")
    parser.add_argument("--device", default=defaults.device, help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--seed", type=seed, default=0, help="of everything random (default: 0)")


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the commands take that run stage 1."""
    defaults = TaggerConfig()
    group = parser.add_argument_group("stage 1: the actor detector")
    group.add_argument(
        "--detector",
        default=defaults.detector,
        metavar="NAME",
        help=f"{', '.join(KNOWN_DETECTORS)} (looked for in the weights folder, else downloaded), or a .pt or "
        ".safetensors file (default: %(default)s)",
    )
    group.add_argument(
        "--imgsz",
        dest="image_size",
        type=positive,
        metavar="PIXELS",
        help=f"long side of what the detector sees (default: {_default_of('image_size')})",
    )
    group.add_argument(
        "--conf",
        dest="confidence",
        type=fraction,
        metavar="C",
        help=f"from which confidence a box counts (default: {_default_of('confidence')})",
    )
    group.add_argument(
        "--batch-size", type=positive, default=defaults.batch_size, help="frames in one pass (default: %(default)s)"
    )
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        default=defaults.backend,
        help="what runs the networks; auto: PyTorch on a GPU, else OpenVINO (default: auto)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=defaults.precision,
        help="what they compute in; auto: bf16 on a GPU, else f32; int8: the detector, and needs --calibration "
        "(default: auto)",
    )
    group.add_argument(
        "--calibration",
        nargs="+",
        default=(),
        metavar="PATH",
        help="clips like those that will be tagged, by whose frames the detector is brought to int8, once",
    )
    group.add_argument("--cache", type=Path, default=cache_folder(), metavar="DIR", help="where detections are kept")
    group.add_argument("--no-cache", dest="cache", action="store_const", const=None, help="keep no detections")
    _add_shortcuts(parser)


def _add_shortcuts(parser: argparse.ArgumentParser) -> None:
    """Add what makes stage 1 faster at a price."""
    group = parser.add_argument_group("shortcuts: faster, at a price in presence ratios (see benchmarks/README.md)")
    group.add_argument(
        "--stride",
        type=positive,
        default=TaggerConfig.stride,
        metavar="N",
        help="look at every Nth frame only; all are decoded, and each stands for those skipped after it (default: 1)",
    )
    group.add_argument(
        "--reuse-below",
        type=levels,
        default=TaggerConfig.reuse_below,
        metavar="LEVELS",
        help="do not look at frames that differ by less from the last one looked at, in grey levels of 255 on average "
        "(default: 0, looks at all)",
    )
    group.add_argument(
        "--skip-loop-filter",
        dest="loop_filter",
        action="store_false",
        help="leave the edges of the codec's blocks rough",
    )


def add_tagger_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the commands take that run the whole pipeline."""
    add_detector_arguments(parser)
    defaults = TaggerConfig()
    group = parser.add_argument_group("gate and stage 2: the action heads")
    gates = [f"{name}: {known.thresholds.name}" for name, known in KNOWN_DETECTORS.items() if known.thresholds]
    group.add_argument(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help=f"the gates (default: those tuned for the detector; {', '.join(gates)})",
    )
    group.add_argument(
        "--heads", type=Path, default=defaults.heads, metavar="DIR", help="one head an actor (default: %(default)s)"
    )
    group.add_argument(
        "--look-every",
        type=seconds,
        default=defaults.look_every,
        metavar="SECONDS",
        help="how often a head looks at a clip while its actor is there (default: %(default)s)",
    )
    group.add_argument(
        "--label-threshold",
        type=fraction,
        default=defaults.label_threshold,
        metavar="P",
        help="from which probability an action is said (default: %(default)s)",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="use gates made for another detector or other settings",
    )


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the commands take that train a head."""
    from action_heads.training.recipes import AUXILIARY_WEIGHT

    parser.add_argument("--data", type=Path, required=True, help="A2D, its course layout, or a CSV file,labels,split")
    parser.add_argument("--split", default="train", help="train on this split (default: train)")
    parser.add_argument("--held-out", metavar="SPLIT", help="report on this one too (default: val or test)")
    parser.add_argument(
        "--look-every",
        type=seconds,
        default=TaggerConfig.look_every,
        metavar="SECONDS",
        help="how often it looks at clips whose labels hold for all of it (default: %(default)s)",
    )
    parser.add_argument(
        "--borrow",
        type=fraction,
        default=AUXILIARY_WEIGHT,
        metavar="WEIGHT",
        help="how much a clip of an actor that this one borrows from (see the taxonomy) counts beside an own one; only "
        "where the last layer alone is trained (default: %(default)s; 0: nothing)",
    )


def _default_of(setting: str) -> str:
    """Say what a setting of the detector is unless it is given."""
    embedded, other = KNOWN_DETECTORS[EMBEDDED], DetectorDefaults()
    return f"{getattr(embedded, setting)} of the {EMBEDDED} one, {getattr(other, setting)} of others"


def config_from(arguments: argparse.Namespace) -> TaggerConfig:
    """Make a configuration from parsed arguments; what a command does not take keeps its default."""
    given = {f.name: getattr(arguments, f.name) for f in fields(TaggerConfig) if hasattr(arguments, f.name)}
    return TaggerConfig(**given)
