"""Add ONE actor to those that are known: train its head and find its gate; nothing else changes, to the byte."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from action_heads.input_kinds import BOTH, INPUT_KINDS
from pipeline.commands import console
from pipeline.commands.arguments import (
    add_detector_arguments,
    add_run_arguments,
    add_training_arguments,
    config_from,
)

if TYPE_CHECKING:
    from a2d.taxonomy import Actor
    from pipeline.training.head_training import HeadTrainingPlan

EPILOG = "exit code: 0 all clips used, 1 some clip was skipped (head and gate are written), 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--actor", required=True, help="its name in --taxonomy, a copy of a2d/taxonomy.yaml with it")
    add_training_arguments(parser)
    parser.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="gates of the other actors (default: the detector's own)"
    )
    parser.add_argument(
        "--input", choices=INPUT_KINDS, default=BOTH, help="what the head is given (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="write heads/<actor>.safetensors and gates.yaml there"
    )
    add_detector_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train the head, find the gate, and print how to use both."""
    from a2d.skipped_samples import SkippedSamples
    from a2d.taxonomy import load_taxonomy
    from common.downloads import find_weights
    from pipeline.cached_detector import CachedDetector
    from pipeline.training.head_training import retrain_head
    from pipeline.training.known_gates import KnownGates, describe_evidence
    from pipeline.training.new_actor import LabelledSplit, add_gate
    from thresholds.gates import check_gates, load_gates, save_gates

    taxonomy = load_taxonomy(arguments.taxonomy)
    actor = taxonomy.actor(arguments.actor)
    config = config_from(arguments)
    detector = CachedDetector.from_config(config, taxonomy)
    gates = load_gates(config.gates_file)
    published = find_weights(arguments.detector) is not None
    check_gates(gates, gates.actors, detector.identity, str(config.gates_file), published=published)
    plan = make_plan(arguments, actor, detector.runtime.device)
    console.make_folder(plan.out)
    print(plan.describe(), file=sys.stderr)
    report = retrain_head(plan, taxonomy, detector, console.progress_bar)
    print(report.table())
    skipped = SkippedSamples(arguments.strict)
    labelled = LabelledSplit(arguments.data, arguments.split, skipped)
    extended = add_gate(KnownGates(gates, config.gates_file.name), actor, labelled, detector, console.progress_bar)
    file = arguments.out / "gates.yaml"
    save_gates(extended, file)
    print(f"\nthe gate of {actor.name}: {extended.values[actor.index]:.3f}; with the other gates, unchanged, in {file}")
    print(
        f"use them with: --taxonomy {arguments.taxonomy} --detector {arguments.detector} --heads {plan.out} "
        f"--thresholds {file}"
    )
    for warning in [*report.warnings, *describe_evidence(extended, [actor.name])]:
        console.print_warning(f"warning: {warning}")
    return console.report_skipped(list(dict.fromkeys([*report.skipped, *skipped.reasons])))


def make_plan(arguments: argparse.Namespace, actor: "Actor", device: str) -> "HeadTrainingPlan":
    """Create the plan for training the head."""
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from action_heads.training.recipes import DEFAULT
    from action_heads.trunk_files import EMBEDDED
    from pipeline.commands.retrain_head import BACKBONE, TUNING_MODE
    from pipeline.training.auxiliary_frames import AuxiliaryWeights
    from pipeline.training.head_training import HeadTrainingPlan

    return HeadTrainingPlan(
        actor=actor,
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out / "heads",
        trunk=load_trunk(EMBEDDED, find_backbone(BACKBONE), arguments.seed),
        tuning_mode=TUNING_MODE,
        input_kind=arguments.input,
        recipe=DEFAULT,
        sample_every_seconds=arguments.sample_every_seconds,
        seed=arguments.seed,
        device=device,
        cache=arguments.cache / "features" if arguments.cache else None,
        stills=arguments.stills,
        auxiliary_weights=AuxiliaryWeights(arguments.auxiliary_weight, arguments.stills_weight),
        strict=arguments.strict,
    )
