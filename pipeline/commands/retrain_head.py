"""Train ONE actor's action head; no other head changes, to the byte."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from action_heads.input_kinds import BOTH, INPUT_KINDS, WHOLE_FRAME
from action_heads.training.recipes import PAPER, adjust_recipe, recipe_from_name
from action_heads.trunk_files import EMBEDDED
from action_heads.tuning_modes import ALL, BACKBONE_NAMES, CLASSIFIER, TIMM_PREFIX, TUNING_MODES
from pipeline.commands import console
from pipeline.commands.arguments import (
    add_detector_arguments,
    add_plots_argument,
    add_run_arguments,
    add_training_arguments,
    config_from,
    positive,
)

if TYPE_CHECKING:
    from a2d.taxonomy import Taxonomy
    from pipeline.training.head_training import HeadTrainingPlan

BACKBONE, TUNING_MODE, INPUT, PLAIN_INPUT = "efficientnet_lite0", CLASSIFIER, BOTH, WHOLE_FRAME
PUBLISHED_TRUNK = "imagenet"
PAPER_BACKBONE, PAPER_TUNING_MODE = "resnet34", ALL  # what --recipe paper implies
EPILOG = "exit code: 0 all clips used, 1 some clip was skipped (the head is written), 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--actor", required=True, help="person, ball, bird, car, cat or dog, or one of --taxonomy")
    add_training_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of heads")
    add_plots_argument(parser)
    network = parser.add_argument_group("network")
    network.add_argument(
        "--backbone",
        help=f"{', '.join(BACKBONE_NAMES)}, or timm:NAME for a network of timm (default: {BACKBONE})",
    )
    network.add_argument(
        "--trunk",
        help="what to start from: embedded, imagenet (the published weights: downloaded, or an installed package's), "
        "random, or a file of weights (default: embedded; for a network of timm, its published weights)",
    )
    network.add_argument(
        "--tune",
        choices=TUNING_MODES,
        help="; ".join(f"{name}: {what}" for name, what in TUNING_MODES.items()) + f" (default: {TUNING_MODE})",
    )
    network.add_argument(
        "--input",
        choices=INPUT_KINDS,
        help="frame: the whole frame; crop: a square around the actor; both; moving: both, and motion features "
        f"(default: {INPUT} where the last layer alone is trained, otherwise {PLAIN_INPUT})",
    )
    recipe = parser.add_argument_group("recipe, for all tuning modes but classifier")
    recipe.add_argument(
        "--recipe",
        default="default",
        help=f"default (all labels, augmented, balanced) or paper (which implies --backbone {PAPER_BACKBONE} "
        f"--tune {PAPER_TUNING_MODE} --input {PLAIN_INPUT} unless they are given)",
    )
    recipe.add_argument("--epochs", type=positive, help="instead of the recipe's")
    recipe.add_argument("--training-batch-size", type=positive, help="instead of the recipe's")
    recipe.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    add_detector_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train the head, then print every head's hash before and after."""
    from a2d.taxonomy import load_taxonomy
    from pipeline.cached_detector import CachedDetector
    from pipeline.training.head_training import retrain_head

    taxonomy = load_taxonomy(arguments.taxonomy)
    plan = make_plan(arguments, taxonomy)
    detector = CachedDetector.from_config(config_from(arguments), taxonomy)
    console.make_folder(arguments.out)
    if arguments.plots:
        console.make_folder(arguments.plots)
    print(plan.describe(), file=sys.stderr)
    report = retrain_head(plan, taxonomy, detector, console.progress_bar)
    print(report.table())
    for warning in report.warnings:
        console.print_warning(f"warning: {warning}")
    if arguments.plots:
        from pipeline.plots.figures import PlotFolder
        from pipeline.plots.head_curves import plot_training

        plots = PlotFolder(arguments.plots)
        plot_training(plots, report)
        console.report_plots(plots)
    return console.report_skipped(report.skipped)


def make_plan(arguments: argparse.Namespace, taxonomy: "Taxonomy") -> "HeadTrainingPlan":
    """Create the plan that the arguments describe."""
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from inference.devices import find_device
    from pipeline.training.auxiliary_frames import AuxiliaryWeights
    from pipeline.training.head_training import HeadTrainingPlan

    recipe = recipe_from_name(arguments.recipe)
    is_paper = recipe == PAPER
    tuning_mode = arguments.tune or (PAPER_TUNING_MODE if is_paper else TUNING_MODE)
    backbone = find_backbone(arguments.backbone or (PAPER_BACKBONE if is_paper else BACKBONE))
    default_input = INPUT if tuning_mode == TUNING_MODE else PLAIN_INPUT
    default_trunk = PUBLISHED_TRUNK if backbone.name.startswith(TIMM_PREFIX) else EMBEDDED
    return HeadTrainingPlan(
        actor=taxonomy.actor(arguments.actor),
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out,
        trunk=load_trunk(arguments.trunk or default_trunk, backbone, arguments.seed),
        tuning_mode=tuning_mode,
        input_kind=arguments.input or default_input,
        recipe=adjust_recipe(
            recipe,
            epochs=arguments.epochs,
            batch_size=arguments.training_batch_size,
            learning_rate=arguments.learning_rate,
        ),
        sample_every_seconds=arguments.sample_every_seconds,
        seed=arguments.seed,
        device=find_device(arguments.device),
        cache=arguments.cache / "features" if arguments.cache else None,
        stills=arguments.stills,
        auxiliary_weights=AuxiliaryWeights(arguments.auxiliary_weight, arguments.stills_weight),
        strict=arguments.strict,
        score_epochs=arguments.plots is not None,
    )
