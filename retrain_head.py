"""Train ONE actor's action head; every other head stays as it is, to the byte."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actor", required=True, help="person, ball, bird, car, cat or dog, or one of --taxonomy")
    parser.add_argument("--data", type=Path, required=True, help="A2D, its course layout, or a CSV file,labels,split")
    parser.add_argument("--split", default="train", help="train on this split (default: train)")
    parser.add_argument("--held-out", metavar="SPLIT", help="report on this one too (default: val or test)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of heads")
    parser.add_argument(
        "--trunk",
        default="random",
        help="what to start from: a ResNet-34 file, imagenet (downloaded by torchvision), or random (default)",
    )
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--recipe", default="default", help="default (all labels, augmented, balanced) or paper")
    recipe.add_argument("--epochs", type=cli.positive, help="instead of the recipe's")
    recipe.add_argument("--batch-size", type=cli.positive, help="instead of the recipe's")
    recipe.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    recipe.add_argument(
        "--frames-per-clip", type=cli.positive, default=4, help="of clips whose labels hold for all of it (default: 4)"
    )
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train the head, then print every head's hash before and after."""
    arguments = build_parser().parse_args(argv)
    from a2d.labels import load_taxonomy
    from action_heads.model import load_trunk
    from action_heads.recipes import adjust, recipe_from_name
    from pipeline.config import find_device
    from pipeline.retraining import RetrainingPlan, retrain_head

    taxonomy = load_taxonomy(arguments.taxonomy)
    recipe = recipe_from_name(arguments.recipe)
    plan = RetrainingPlan(
        actor=taxonomy.actor(arguments.actor),
        data=arguments.data,
        split=arguments.split,
        held_out=arguments.held_out,
        out=arguments.out,
        trunk=load_trunk(arguments.trunk, arguments.seed),
        recipe=adjust(
            recipe,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
        ),
        frames_per_clip=arguments.frames_per_clip,
        seed=arguments.seed,
        device=find_device(arguments.device),
    )
    cli.make_folder(arguments.out)
    print(plan.describe(), file=sys.stderr)
    report = retrain_head(
        plan,
        taxonomy,
        lambda clips: cli.progress_bar(list(clips), "decoding", "clip"),
        lambda epochs: cli.progress_bar(list(epochs), "training", "epoch"),
    )
    print(report.table())
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
