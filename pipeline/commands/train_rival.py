"""Train another system of the A2D challenge, by name; score-split and tag use it with --system."""

import argparse
import sys
from pathlib import Path

from common.errors import TrainingError
from pipeline.commands import console
from pipeline.commands.argument_types import positive
from pipeline.commands.arguments import (
    add_data_arguments,
    add_held_out_argument,
    add_run_arguments,
    add_strict_argument,
)
from pipeline.known_systems import SYSTEMS_FOLDER, system_file
from rivals.recipes import OPTIMIZERS
from rivals.registry import ENSEMBLE, NAMES
from rivals.system import PAPER, SMALL

EPILOG = (
    "exit code: 0 all clips used, 1 some clip was skipped (the file is written), 2 wrong usage. A training that was "
    "stopped continues when the same command is given again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--system", required=True, metavar="NAME", help=", ".join(NAMES))
    add_data_arguments(parser, "train", "train on")
    add_held_out_argument(parser)
    add_strict_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"the .safetensors file to write (default: {SYSTEMS_FOLDER}/NAME.safetensors)",
    )
    parser.add_argument(
        "--members",
        nargs="+",
        metavar="NAME|FILE",
        help=f"of --system {ENSEMBLE}: trained systems, or two_stage; each is weighted by its F1 on the split val, if "
        "there is one, or on --split (default: all systems that are trained)",
    )
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument(
        "--recipe",
        default=SMALL,
        help=f"{SMALL}: minutes on two cores; {PAPER}: the report's own numbers, which start from published weights, "
        "downloaded if they are not in the weights folder (default: %(default)s)",
    )
    recipe.add_argument(
        "--weights",
        help="what the backbone starts from: imagenet (kinetics for a network of clips), embedded, random, or a file "
        "(default: the recipe's)",
    )
    recipe.add_argument(
        "--backbone", help="a network of torchvision, efficientnet_lite0, or timm:NAME (default: the recipe's)"
    )
    recipe.add_argument("--size", type=positive, metavar="PIXELS", help="side of the input (default: the recipe's)")
    recipe.add_argument(
        "--epochs", type=positive, nargs="+", help="instead of the recipe's; one number, or one for each of its phases"
    )
    recipe.add_argument("--training-batch-size", type=positive, help="instead of the recipe's")
    recipe.add_argument("--training-optimizer", choices=OPTIMIZERS, help="instead of the recipe's")
    recipe.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train the system, and print its scores."""
    from a2d.taxonomy import load_taxonomy
    from inference.devices import find_device
    from pipeline.training.rival_training import RivalPlan, train_rival
    from rivals.recipe_changes import Changes, adjust_recipe
    from rivals.registry import find_system

    if arguments.system == ENSEMBLE:
        return _make_ensemble(arguments)
    if arguments.members:
        raise TrainingError(f"--members are those of --system {ENSEMBLE}, not of {arguments.system}")
    system = find_system(arguments.system)
    changes = Changes(
        arguments.backbone,
        arguments.weights,
        arguments.size,
        arguments.epochs,
        arguments.training_batch_size,
        arguments.training_optimizer,
        arguments.learning_rate,
    )
    plan = RivalPlan(
        system=system,
        recipe=adjust_recipe(system.recipe(arguments.recipe), changes),
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out or system_file(system.name),
        seed=arguments.seed,
        device=find_device(arguments.device),
        strict=arguments.strict,
    )
    console.make_folder(plan.out.parent)
    print(plan.describe(), file=sys.stderr)
    report = train_rival(plan, load_taxonomy(arguments.taxonomy), console.progress_bar)
    print(report.table())
    return console.report_skipped(report.skipped)


def _make_ensemble(arguments: argparse.Namespace) -> int:
    """Make the ensemble, and print its scores and its members'."""
    from a2d.taxonomy import load_taxonomy
    from pipeline.config import TaggerConfig
    from pipeline.training.ensemble_fitting import EnsemblePlan, fit_ensemble, trained_systems

    for name in ("weights", "backbone", "size", "epochs", "training_batch_size", "training_optimizer", "learning_rate"):
        if getattr(arguments, name) is not None:
            raise TrainingError(f"--{name.replace('_', '-')} changes a recipe, which --system {ENSEMBLE} has not")
    plan = EnsemblePlan(
        members=tuple(arguments.members or trained_systems()),
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out or system_file(ENSEMBLE),
        config=TaggerConfig(taxonomy=arguments.taxonomy, device=arguments.device),
        strict=arguments.strict,
    )
    console.make_folder(plan.out.parent)
    report = fit_ensemble(plan, load_taxonomy(arguments.taxonomy), console.progress_bar)
    print(report.table())
    return console.report_skipped(report.skipped)
