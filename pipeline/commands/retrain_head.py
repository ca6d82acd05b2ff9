"""Train ONE actor's action head; every other head stays as it is, to the byte."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from action_heads.crops import INPUT_KINDS
from action_heads.trunk_files import EMBEDDED
from action_heads.tuning_modes import TUNING_MODES
from pipeline.commands import console as cli

BACKBONE, TUNING, INPUT, PLAIN_INPUT = "efficientnet_lite0", "classifier", "moving", "frame"
PAPER_BACKBONE, PAPER_TUNING = "resnet34", "all"  # what --recipe paper means besides


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actor", required=True, help="person, ball, bird, car, cat or dog, or one of --taxonomy")
    cli.add_training_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of heads")
    network = parser.add_argument_group("network")
    network.add_argument("--backbone", help=f"efficientnet_lite0 or resnet34 (default: {BACKBONE})")
    network.add_argument(
        "--trunk",
        default="embedded",
        help="what to start from: embedded (default), imagenet (downloaded, or an installed package's), random, or a "
        "file of weights",
    )
    network.add_argument(
        "--tune",
        choices=TUNING_MODES,
        help="; ".join(f"{name}: {what}" for name, what in TUNING_MODES.items()) + f" (default: {TUNING})",
    )
    network.add_argument(
        "--input",
        choices=INPUT_KINDS,
        help="frame: the whole frame; crop: a square around the actor; both; moving: both, and how the actor moves "
        f"(default: {INPUT} where the last layer alone is trained on the embedded trunk, else {PLAIN_INPUT})",
    )
    recipe = parser.add_argument_group("recipe, for all tunings but classifier")
    recipe.add_argument(
        "--recipe",
        default="default",
        help=f"default (all labels, augmented, balanced) or paper (which means --backbone {PAPER_BACKBONE} "
        f"--tune {PAPER_TUNING} --input {PLAIN_INPUT} too, where they are not given)",
    )
    recipe.add_argument("--epochs", type=cli.positive, help="instead of the recipe's")
    recipe.add_argument("--training-batch-size", type=cli.positive, help="instead of the recipe's")
    recipe.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    cli.add_detector_arguments(parser)
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train the head, then print every head's hash before and after."""
    arguments = build_parser().parse_args(argv)
    from a2d.taxonomy import load_taxonomy
    from action_heads.backbones import find_backbone
    from action_heads.model import load_trunk
    from action_heads.training.recipes import PAPER, adjust_recipe, recipe_from_name
    from pipeline.cached_detector import CachedDetector
    from pipeline.config import find_device
    from pipeline.training.head_training import Progress, RetrainingPlan, retrain_head

    taxonomy = load_taxonomy(arguments.taxonomy)
    recipe = recipe_from_name(arguments.recipe)
    paper = recipe == PAPER
    tuning = arguments.tune or (PAPER_TUNING if paper else TUNING)
    backbone = find_backbone(arguments.backbone or (PAPER_BACKBONE if paper else BACKBONE))
    plan = RetrainingPlan(
        actor=taxonomy.actor(arguments.actor),
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out,
        trunk=load_trunk(arguments.trunk, backbone, arguments.seed),
        tuning=tuning,
        input=arguments.input or (INPUT if tuning == TUNING and arguments.trunk == EMBEDDED else PLAIN_INPUT),
        recipe=adjust_recipe(
            recipe,
            epochs=arguments.epochs,
            batch_size=arguments.training_batch_size,
            learning_rate=arguments.learning_rate,
        ),
        look_every=arguments.look_every,
        seed=arguments.seed,
        device=find_device(arguments.device),
        cache=arguments.cache / "features" if arguments.cache else None,
        lent_weight=arguments.borrow,
    )
    detector = CachedDetector.from_config(cli.config_from(arguments), taxonomy)
    cli.make_folder(arguments.out)
    print(plan.describe(), file=sys.stderr)
    report = retrain_head(
        plan,
        taxonomy,
        detector,
        Progress(*cli.training_bars()),
    )
    print(report.table())
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
