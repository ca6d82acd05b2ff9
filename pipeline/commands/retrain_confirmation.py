"""Train the layers that confirm the detector's boxes: is the actor really there?"""

import argparse
from pathlib import Path

from action_heads.trunk_files import EMBEDDED
from pipeline.commands import console
from pipeline.commands.arguments import (
    add_data_arguments,
    add_detector_arguments,
    add_run_arguments,
    add_sampling_argument,
    add_strict_argument,
    config_from,
)
from pipeline.config import EMBEDDED_CONFIRMATION

BACKBONE = "efficientnet_lite0"
EPILOG = (
    "Gates belong to the layers: tune them afterwards, with tune-thresholds --confirmation FILE. "
    "exit code: 0 all clips used, 1 some clip was skipped (the layers are written), 2 wrong usage"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data_arguments(parser, "train", "train on")
    parser.add_argument(
        "--out", type=Path, default=Path(EMBEDDED_CONFIRMATION.name), metavar="FILE", help="(default: %(default)s)"
    )
    add_strict_argument(parser)
    add_sampling_argument(parser)
    add_detector_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train the layers, then print how well they judge."""
    from dataclasses import replace

    from a2d.taxonomy import load_taxonomy
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from pipeline.cached_detector import CachedDetector
    from pipeline.config import NO_CONFIRMATION
    from pipeline.training.confirmation_training import ConfirmationPlan, retrain_confirmation

    taxonomy = load_taxonomy(arguments.taxonomy)
    config = replace(config_from(arguments), confirmation=NO_CONFIRMATION)
    plan = ConfirmationPlan(
        data=arguments.data,
        split=arguments.split,
        trunk=load_trunk(EMBEDDED, find_backbone(BACKBONE)),
        sample_every_seconds=arguments.sample_every_seconds,
        out=arguments.out,
        cache=arguments.cache / "features" if arguments.cache else None,
        seed=arguments.seed,
        strict=arguments.strict,
    )
    report = retrain_confirmation(plan, taxonomy, CachedDetector.from_config(config, taxonomy), console.progress_bar)
    print(report.table())
    return console.report_skipped(report.skipped)
