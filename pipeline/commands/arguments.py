"""Arguments that several commands share: the same option has the same name and the same meaning everywhere."""

import argparse
from dataclasses import fields
from pathlib import Path

from action_heads.defaults import AUXILIARY_WEIGHT, STILLS_WEIGHT
from common.paths import cache_folder
from inference.runtime import BACKENDS, PRECISIONS
from pipeline.commands.argument_types import (
    folder_or_address,
    fraction,
    fraction_or_auto,
    grey_levels,
    positive,
    seconds,
    seed,
    thread_count,
)
from pipeline.config import TaggerConfig
from pipeline.known_detectors import (
    EMBEDDED,
    KNOWN_DETECTORS,
    PUBLISHED_GATES_FILE,
    PUBLISHED_SETTINGS,
    DetectorDefaults,
)
from pipeline.known_heads import KNOWN_HEADS, find_heads_folder


def add_taxonomy_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which actors and labels there are."""
    parser.add_argument(
        "--taxonomy", type=Path, default=TaggerConfig.taxonomy, metavar="FILE", help="actors and labels"
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every command that runs networks."""
    add_taxonomy_argument(parser)
    parser.add_argument("--device", default=TaggerConfig.device, help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: 0)")
    add_threads_argument(parser)


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads; the command line applies it before a command runs."""
    parser.add_argument(
        "--threads",
        type=thread_count,
        metavar="N",
        help="threads that compute (default: as many as there are cores, or as a container's CPU quota allows)",
    )


def add_data_arguments(parser: argparse.ArgumentParser, split: str, what: str) -> None:
    """Add the arguments that name a labelled data set and one of its splits.

    Args:
        parser: Where to add them.
        split: The default split.
        what: What is done with the split, for example `train on`.
    """
    parser.add_argument(
        "--data", type=Path, required=True, help="A2D, its course layout, or a CSV file with file,labels,split"
    )
    parser.add_argument("--split", default=split, help=f"{what} this split (default: %(default)s)")


def add_strict_argument(parser: argparse.ArgumentParser) -> None:
    """Add whether a clip or image that cannot be used ends the command, instead of being skipped."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first missing, unreadable or truncated clip or image, with exit code 2 "
        "(default: skip it, say so, and end with exit code 1)",
    )


def add_plots_argument(parser: argparse.ArgumentParser) -> None:
    """Add where to draw what the command measures."""
    parser.add_argument("--plots", type=Path, metavar="DIR", help="also write plots there, each as SVG and as PNG")


def add_held_out_argument(parser: argparse.ArgumentParser) -> None:
    """Add the split that is reported on besides the one that is trained or tuned on."""
    parser.add_argument("--held-out", metavar="SPLIT", help="also report on this split (default: val or test)")


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that run stage 1."""
    group = parser.add_argument_group("stage 1: the actor detector")
    group.add_argument(
        "--detector",
        default=TaggerConfig.detector,
        metavar="NAME",
        help=f"{', '.join(KNOWN_DETECTORS)}, or another of Ultralytics' names, such as yolov3u (searched in the "
        "weights folder, otherwise downloaded), or a .pt or "
        ".safetensors file (default: %(default)s)",
    )
    group.add_argument(
        "--imgsz",
        "--image-size",
        dest="image_size",
        type=positive,
        metavar="PIXELS",
        help=f"long side of the detector's input (default: {_default_of('image_size')})",
    )
    group.add_argument(
        "--conf",
        "--confidence",
        dest="confidence",
        type=fraction,
        metavar="C",
        help=f"minimum confidence of a box (default: {_default_of('confidence')})",
    )
    group.add_argument(
        "--confirmation",
        default=TaggerConfig.confirmation,
        metavar="FILE",
        help="layers that confirm its boxes, as retrain-confirmation writes them, or none; auto: the embedded ones, if "
        "the gates were tuned with them (default: %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=positive,
        help="frames in one forward pass (default: 4 on a CPU, 16 on a GPU)",
    )
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        default=TaggerConfig.backend,
        help="what runs the networks; auto: PyTorch on a GPU, otherwise OpenVINO (default: auto)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=TaggerConfig.precision,
        help="what they compute in; auto: f32; int8: the detector only, needs --calibration (default: auto)",
    )
    group.add_argument(
        "--calibration",
        nargs="+",
        default=(),
        metavar="PATH",
        help="clips like those to be tagged, from whose frames the quantization to int8 is calibrated, once",
    )
    group.add_argument(
        "--published",
        action="store_true",
        help="what the challenge report used: image size 224, confidence 0.5, and its gates, unless others are named",
    )
    add_trust_argument(group)
    group.add_argument(
        "--cache",
        type=folder_or_address,
        default=cache_folder(),
        metavar="DIR",
        help="folder of cached detections; s3:// or gs://, where all workers of a cluster can use it",
    )
    group.add_argument("--no-cache", dest="cache", action="store_const", const=None, help="cache no detections")
    _add_speed_options(parser)


def add_trust_argument(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add whether detectors may run code when they are loaded."""
    parser.add_argument(
        "--trust-weights",
        action="store_true",
        help="load a .pt detector even if it contains more than layers and tensors: it can then run any code as you",
    )


def _add_speed_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that make stage 1 faster and less accurate."""
    group = parser.add_argument_group("speed options: faster, but presence ratios change (see benchmarks/README.md)")
    group.add_argument(
        "--stride",
        type=positive,
        default=TaggerConfig.stride,
        metavar="N",
        help="process every Nth frame only; all are decoded, and each stands for those skipped after it (default: 1)",
    )
    group.add_argument(
        "--reuse-below",
        type=grey_levels,
        default=TaggerConfig.reuse_below,
        metavar="LEVELS",
        help="do not process frames that differ from the last processed one by less than this, in grey levels of 255 "
        "on average (default: 0, process all)",
    )
    group.add_argument(
        "--skip-loop-filter",
        dest="loop_filter",
        action="store_false",
        help="skip the codec's deblocking filter",
    )


def heads_folder(text: str) -> Path:
    """Parse a folder of heads, or the backbone of shipped ones."""
    folder = find_heads_folder(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no folder, and none of the shipped heads: {', '.join(KNOWN_HEADS)}"
        )
    return folder


def add_tagger_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that run the whole pipeline."""
    add_detector_arguments(parser)
    group = parser.add_argument_group("gates and stage 2: the action heads")
    gates = [f"{name}: {known.thresholds.name}" for name, known in KNOWN_DETECTORS.items() if known.thresholds]
    group.add_argument(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help=f"the gate file (default: the one tuned for the detector; {', '.join(gates)})",
    )
    group.add_argument(
        "--heads",
        type=heads_folder,
        default=TaggerConfig.heads,
        metavar="DIR",
        help=f"folder with one head per actor, or the backbone of shipped heads: {', '.join(KNOWN_HEADS)} "
        "(default: %(default)s)",
    )
    add_sampling_argument(group)
    group.add_argument(
        "--label-threshold",
        type=fraction_or_auto,
        default=TaggerConfig.label_threshold,
        metavar="P",
        help="minimum probability of a predicted action; auto: in each clip that of the highest expected F1 "
        "(default: auto)",
    )
    group.add_argument(
        "--until-sure", type=fraction, metavar="EPS", help="few looks: this share of decisions may differ, such as 0.01"
    )
    group.add_argument("--force", action="store_true", help="use gates tuned for another detector or other settings")


def add_sampling_argument(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add how often a head is given a frame."""
    parser.add_argument(
        "--look-every",
        "--sample-every",
        dest="sample_every_seconds",
        type=seconds,
        default=TaggerConfig.sample_every_seconds,
        metavar="SECONDS",
        help="how often a head is given a frame of a clip while its actor is visible (default: %(default)s)",
    )


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that train a head."""
    add_data_arguments(parser, "train", "train on")
    add_held_out_argument(parser)
    add_strict_argument(parser)
    add_sampling_argument(parser)
    parser.add_argument(
        "--borrow",
        "--auxiliary-weight",
        dest="auxiliary_weight",
        type=fraction,
        default=AUXILIARY_WEIGHT,
        metavar="WEIGHT",
        help="weight of a clip of an auxiliary actor (borrows_from in the taxonomy) relative to one of this actor; "
        "only where the last layer alone is trained (default: %(default)s; 0: none)",
    )
    parser.add_argument(
        "--stills",
        type=Path,
        metavar="CSV",
        help="labelled images to train on as well: a table with the columns file and labels, and, if you like, split "
        "and source",
    )
    parser.add_argument(
        "--stills-weight",
        type=fraction,
        default=STILLS_WEIGHT,
        metavar="WEIGHT",
        help="weight of a still relative to a clip, where the last layer alone is trained (default: %(default)s)",
    )


def _default_of(setting: str) -> str:
    """Describe the default of a detector setting."""
    embedded, other = KNOWN_DETECTORS[EMBEDDED].settings, DetectorDefaults().settings
    return f"{getattr(embedded, setting)} of the {EMBEDDED} one, {getattr(other, setting)} of others"


def config_from(arguments: argparse.Namespace) -> TaggerConfig:
    """Create a configuration from parsed arguments; what a command does not take keeps its default."""
    given = {f.name: getattr(arguments, f.name) for f in fields(TaggerConfig) if hasattr(arguments, f.name)}
    if getattr(arguments, "published", False):
        published = PUBLISHED_SETTINGS
        given["image_size"] = given.get("image_size") or published.image_size
        given["confidence"] = published.confidence if given.get("confidence") is None else given["confidence"]
        if "thresholds" in given and given["thresholds"] is None:
            given |= {
                "thresholds": PUBLISHED_GATES_FILE,
                "force": True,
            }  # the report does not identify its detector's file
    return TaggerConfig(**given)
