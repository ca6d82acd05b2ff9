"""Word vectors of the actors' and actions' names, added to layers of two networks (the flow report, architecture 4).

The report begins "Actor and action by mapping videos with the descriptors". An actor and an action predictor, each a
ResNet-152, get new layers of 50 in place of their last ones; "we concatenated these layers and added the concatenated
mean values of embeddings from actions and actors to the corresponding FC layers"; further layers with ReLU predict the
43 labels. Read by the word, what is added is the same for all pictures: the mean vector of the actors' names and that
of the actions'.

Its vectors are GloVe's 6B 50D. The option `vectors` of a recipe names a file of them, in GloVe's text format; without
one, small ones are trained on the labels' captions ("adult walking"). A line on stderr says which. A trained file holds
its own.

What the report leaves open: its tables are not in the text. One further layer of 50 is taken. The predictors learn
first, with last layers of their own, then everything learns the labels: Adam 1e-4, batches of 16, 30 epochs each, and
10 with a cosine schedule for the final layers, as in `rivals.systems.flow_lines`. The small recipe trains all at once.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from rivals.losses import bce
from rivals.recipes import FrameInput, NetworkSettings, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.flow_lines import BATCH_SIZE, EARLY, OPTIMIZER, REPORT, end_to_end
from rivals.weights import load_trunk
from rivals.word_vectors import read_vectors, train_vectors

EPOCHS = 30
OPTIONS = {"width": 50, "vectors": ""}
FROZEN = tuple(name.replace("trunk", part) for part in ("actor", "action") for name in EARLY)


class WordNetwork(nn.Module):
    """Two trunks, the actor's and the action's, whose layers get mean word vectors added.

    Args:
        actor: From pictures (B, 3, S, S) to feature vectors (B, D).
        action: Likewise.
        labels: Each `actor-action`.
        width: Of the layers, and length of the word vectors.
    """

    def __init__(self, actor: StagedTrunk, action: StagedTrunk, labels: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.actor, self.action = actor, action
        self.actor_layer, self.action_layer = nn.Linear(actor.width, width), nn.Linear(action.width, width)
        actors, actions = names_of(labels)
        self.actors, self.actions = nn.Linear(actor.width, len(actors)), nn.Linear(action.width, len(actions))
        self.classifier = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, len(labels)))
        self.actors_of: torch.Tensor
        self.actions_of: torch.Tensor
        self.words: torch.Tensor
        self.register_buffer("actors_of", _membership(labels, 0, actors), persistent=False)
        self.register_buffer("actions_of", _membership(labels, 1, actions), persistent=False)
        self.register_buffer("words", torch.zeros(2 * width))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return logits of labels, actors and actions, then which labels have each actor, and each action."""
        actor, action = self.actor(pictures), self.action(pictures)
        layers = torch.cat([self.actor_layer(actor), self.action_layer(action)], dim=1) + self.words
        labels = self.classifier(torch.relu(layers))
        return labels, self.actors(actor), self.actions(action), self.actors_of, self.actions_of


def _membership(labels: tuple[str, ...], part: int, names: list[str]) -> torch.Tensor:
    return torch.tensor([[float(label.split("-", 1)[part] == name) for label in labels] for name in names])


def names_of(labels: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the names of the actors and of the actions of labels, each once.

    >>> names_of(("adult-walking", "adult-none", "car-none"))
    (['adult', 'car'], ['walking', 'none'])
    """
    actors, actions = zip(*(label.split("-", 1) for label in labels), strict=True)
    return list(dict.fromkeys(actors)), list(dict.fromkeys(actions))


def mean_vectors(labels: tuple[str, ...], width: int, path: str) -> torch.Tensor:
    """Return the mean vector of the actors' names, then that of the actions', shape (2 * width,)."""
    actors, actions = names_of(labels)
    words = [*actors, *actions]
    if path:
        vectors = read_vectors(Path(path), words, width)
    else:
        vectors = train_vectors([label.split("-", 1) for label in labels], words, width)
    tqdm.write(f"word vectors: {path or 'trained on the captions of the labels; GloVe ones are not'}", file=sys.stderr)
    means = [vectors[: len(actors)].mean(axis=0), vectors[len(actors) :].mean(axis=0)]
    return torch.from_numpy(np.concatenate(means))


def label_loss(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """Compute the binary cross-entropy of the labels."""
    return bce(outputs[0], targets)


def part_loss(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """Compute the binary cross-entropy of the actors, plus that of the actions."""
    _, actors, actions, actors_of, actions_of = outputs
    of_actors = bce(actors, (targets @ actors_of.T).clamp(max=1))
    return of_actors + bce(actions, (targets @ actions_of.T).clamp(max=1))


def joint_loss(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """Compute the sum of both, for a training in one phase."""
    return label_loss(outputs, targets) + part_loss(outputs, targets)


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    actor, action = (load_trunk(build.settings.backbone, build.weights) for _ in range(2))
    network = WordNetwork(actor, action, build.labels, options["width"])
    if build.weights is not None:
        network.words.copy_(mean_vectors(build.labels, options["width"], options["vectors"]))
    return network


SYSTEMS = systems_by_name(
    System(
        name="glove",
        title="two ResNet-152, of actors and actions, with mean word vectors",
        report=f"{REPORT}, section 2.4.3",
        published_f1=None,
        build=_build,
        probabilities=lambda outputs: torch.sigmoid(outputs[0]),
        recipes={
            PAPER: Recipe(
                PAPER,
                NetworkSettings("resnet152", FrameInput(224), options=OPTIONS),
                "imagenet",
                (Phase(EPOCHS, BATCH_SIZE, "parts", OPTIMIZER), *end_to_end("labels", FROZEN)),
            ),
            SMALL: SmallRecipe("labels_and_parts", options=OPTIONS).recipe(),
        },
        losses={"labels": label_loss, "parts": part_loss, "labels_and_parts": joint_loss},
    )
)
