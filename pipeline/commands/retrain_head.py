"""Train ONE actor's action head, or all, each by itself; no other head changes, to the byte."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from action_heads.input_kinds import BOTH, INPUT_KINDS, WHOLE_FRAME
from action_heads.training.recipes import PAPER, adjust_recipe, recipe_from_name
from action_heads.trunk_files import EMBEDDED
from action_heads.tuning_modes import ALL, BACKBONE_NAMES, CLASSIFIER, TIMM_PREFIX, TUNING_MODES
from pipeline.commands import console
from pipeline.commands.argument_types import positive
from pipeline.commands.arguments import (
    add_detector_arguments,
    add_plots_argument,
    add_run_arguments,
    add_training_arguments,
    config_from,
)
from pipeline.commands.engine_arguments import (
    RAY,
    add_engine_arguments,
    detection_ahead,
    report_restarts,
    start_cluster,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from a2d.taxonomy import Taxonomy
    from pipeline.detection_ahead import DetectionAhead
    from pipeline.supervision.calls import Outcome
    from pipeline.training.all_heads import HeadJob
    from pipeline.training.head_training import HeadTrainingPlan, HeadTrainingReport

BACKBONE, TUNING_MODE, INPUT, PLAIN_INPUT = "efficientnet_lite0", CLASSIFIER, BOTH, WHOLE_FRAME
PUBLISHED_TRUNK = "imagenet"
PAPER_BACKBONE, PAPER_TUNING_MODE = "resnet34", ALL  # what --recipe paper implies
EPILOG = "exit code: 0 all clips used, 1 some clip was skipped (the head is written), 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--actor", help="person, ball, bird, car, cat or dog, or one of --taxonomy")
    which.add_argument(
        "--all",
        action="store_true",
        help="train the heads of all actors that the clips show, as a run with --actor for each would",
    )
    add_training_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of heads")
    add_plots_argument(parser)
    add_engine_arguments(parser, "detect and, with --all, train")
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
    """Train the head, or all, then print every head's hash before and after."""
    from a2d.taxonomy import load_taxonomy

    taxonomy = load_taxonomy(arguments.taxonomy)
    plan = make_plan(arguments, taxonomy)
    console.make_folder(arguments.out)
    if arguments.plots:
        console.make_folder(arguments.plots)
    with detection_ahead(arguments) as ahead:
        train = train_all if arguments.all else train_one
        return train(arguments, plan, taxonomy, ahead)


def train_one(
    arguments: argparse.Namespace, plan: "HeadTrainingPlan", taxonomy: "Taxonomy", ahead: "DetectionAhead"
) -> int:
    """Train the head of a plan in this process; return the exit code."""
    from pipeline.cached_detector import CachedDetector
    from pipeline.training.all_heads import LabelledClips
    from pipeline.training.head_training import retrain_head

    config = config_from(arguments)
    detector = CachedDetector.from_config(config, taxonomy)
    print(plan.describe(), file=sys.stderr)
    if ahead.start:
        detector = ahead.prepare(config, detector, LabelledClips.read(plan, taxonomy).to_detect(plan, taxonomy))
        report_restarts(ahead.restarts)
    report = retrain_head(plan, taxonomy, detector, console.progress_bar)
    print_report(arguments, report)
    return console.report_skipped(report.skipped)


def train_all(
    arguments: argparse.Namespace, plan: "HeadTrainingPlan", taxonomy: "Taxonomy", ahead: "DetectionAhead"
) -> int:
    """Train the heads of all actors that the clips show, and print their tables in the order of the taxonomy.

    Returns:
        The exit code.
    """
    from pipeline.training.all_heads import TrainedHeads, make_jobs

    heads = TrainedHeads.before(plan.out, taxonomy.actor_names)
    jobs = make_jobs(plan, config_from(arguments), taxonomy, ahead, elsewhere=arguments.engine == RAY)
    report_restarts(ahead.restarts)
    shown = {job.plan.actor.name for job in jobs}
    for name in taxonomy.actor_names:
        if name not in shown:
            console.print_note(f"{name}: no clip of the split {plan.split!r} shows it, so its head is not trained")
            heads.leave_out(name)
    for job in jobs:
        print(job.plan.describe(), file=sys.stderr)
    for job, outcome in _train(arguments, jobs):
        if outcome.error:
            console.print_error(f"{job.plan.actor.name}: {outcome.error}")
        for report in heads.add(job.plan.actor.name, outcome):
            print_report(arguments, report)
            print()
    print(heads.table())
    code = console.report_skipped(heads.skipped)
    return console.SOME_FAILED if heads.failed else code


def _train(arguments: argparse.Namespace, jobs: "Sequence[HeadJob]") -> "Iterator[tuple[HeadJob, Outcome]]":
    """Train heads in this process, in some at a time, or on a cluster; yields each as soon as it is done."""
    from pipeline.training.all_heads import train_here, train_in_processes, train_on_cluster

    if arguments.engine == RAY:
        with start_cluster(arguments) as cluster:
            yield from train_on_cluster(jobs, cluster.call_all)
    elif arguments.workers:
        yield from train_in_processes(jobs, arguments.workers)
    else:
        yield from train_here(jobs, console.progress_bar)


def print_report(arguments: argparse.Namespace, report: "HeadTrainingReport") -> None:
    """Print a head's tables and warnings, and draw its plots."""
    print(report.table())
    for warning in report.warnings:
        console.print_warning(f"warning: {warning}")
    if arguments.plots:
        from pipeline.plots.figures import PlotFolder
        from pipeline.plots.head_curves import plot_training

        plots = PlotFolder(arguments.plots)
        plot_training(plots, report)
        console.report_plots(plots)


def make_plan(arguments: argparse.Namespace, taxonomy: "Taxonomy") -> "HeadTrainingPlan":
    """Create the plan that the arguments describe; with --all, for the first actor."""
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
        actor=taxonomy.actors[0] if arguments.all else taxonomy.actor(arguments.actor),
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
