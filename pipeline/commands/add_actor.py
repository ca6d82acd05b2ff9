"""Add ONE actor to those that are known: its head and its gate; everything else stays as it is, to the byte."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from action_heads.crops import INPUT_KINDS
from pipeline.commands import console as cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actor", required=True, help="its name in --taxonomy, a copy of a2d/taxonomy.yaml with it")
    cli.add_training_arguments(parser)
    parser.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="gates of the other actors (default: the detector's own)"
    )
    parser.add_argument("--input", choices=INPUT_KINDS, default="moving", help="what the head sees (default: moving)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="write heads/<actor>.safetensors and gates.yaml there"
    )
    cli.add_detector_arguments(parser)
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train the head, find the gate, and say how to use both."""
    arguments = build_parser().parse_args(argv)
    from a2d.taxonomy import load_taxonomy
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from action_heads.training.recipes import DEFAULT
    from action_heads.tuning_modes import CLASSIFIER
    from common.downloads import KNOWN_WEIGHTS
    from pipeline.cached_detector import CachedDetector
    from pipeline.training.head_training import Progress, RetrainingPlan, retrain_head
    from pipeline.training.new_actor import add_gate
    from thresholds.gates import check_gates, load_gates, save_gates

    taxonomy = load_taxonomy(arguments.taxonomy)
    actor = taxonomy.actor(arguments.actor)
    config = cli.config_from(arguments)
    detector = CachedDetector.from_config(config, taxonomy)
    gates = load_gates(config.gates_file)
    published = arguments.detector in KNOWN_WEIGHTS
    check_gates(gates, gates.actors, detector.identity, str(config.gates_file), published=published)
    plan = RetrainingPlan(
        actor=actor,
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out / "heads",
        trunk=load_trunk("embedded", find_backbone("efficientnet_lite0"), arguments.seed),
        tuning=CLASSIFIER,
        input=arguments.input,
        recipe=DEFAULT,
        look_every=arguments.look_every,
        seed=arguments.seed,
        device=config.runtime.device,
        cache=arguments.cache / "features" if arguments.cache else None,
        lent_weight=arguments.borrow,
    )
    cli.make_folder(plan.out)
    print(plan.describe(), file=sys.stderr)
    progress = Progress(*cli.training_bars())
    print(retrain_head(plan, taxonomy, detector, progress).table())
    added = add_gate(
        gates,
        actor,
        arguments.data,
        arguments.split,
        taxonomy,
        detector,
        lambda clips: cli.progress_bar(clips, "detecting", "clip"),
    )
    file = arguments.out / "gates.yaml"
    save_gates(added, file)
    print(f"\nthe gate of {actor.name}: {added.values[actor.index]:.3f}; with the others', as they were, in {file}")
    print(
        f"use them with: --taxonomy {arguments.taxonomy} --detector {arguments.detector} --heads {plan.out} "
        f"--thresholds {file}"
    )
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
