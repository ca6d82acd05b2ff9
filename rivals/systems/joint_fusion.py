"""Three networks, of actors, actions and pairs, whose predictions are joined (the flow report, architecture 2).

The report begins "Actor and action by mapping videos with the descriptors". It joins them in two ways.

"We use the prediction vectors from the baseline Actor and Action prediction models, and architecture 1 for the joint
prediction and subsequently use several statistical machine learning multi-class classifiers, on the output vectors":
7 + 9 + 43 logits here, which are "standard-normalized", and a classifier per label against all others
(`rivals.fusion_fitting`). "The best result achieved was through Linear Discriminant Analysis", the recipe `paper`, of
about 0.57; its tables are not in the text. `paper_trees`, `paper_naive_bayes`, `paper_qda`, `paper_svm` and
`paper_logistic_regression` are the others that it names.

`paper_layers`, its second variant: layers of 128 at the three networks, "subsequently projecting them onto a hidden
layer of dimension 128", and a last layer of 43; "comparable to the first variant". ReLU stands after both here.

The classifiers are fitted to what the three networks predict of the very pictures that they were trained on, unchanged,
as the report seems to do; the networks are surer of these than of others, and what is fitted relies on them too much.

What the report leaves open: the three networks are trained at once, by the sum of their cross-entropies, which is as if
each were trained alone, since they share no weight. Each is trained as `rivals.systems.flow_lines` says: Adam 1e-4,
batches of 16, 30 epochs, then 10 with a cosine schedule for the final layers. For `paper_layers`, everything learns the
labels afterwards, in the same way. The small recipes freeze the first stages of the three trunks.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rivals.batches import make_batch, split_into_batches
from rivals.data import PictureStore
from rivals.fusion import KINDS, Fusion
from rivals.fusion_fitting import fit_classifiers
from rivals.label_parts import (
    LabelParts,
    PartOutputs,
    final_bce,
    final_probabilities,
    separate_and_final_bce,
    separate_bce,
)
from rivals.recipes import FrameInput, NetworkSettings, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.flow_lines import BATCH_SIZE, EARLY, OPTIMIZER, REPORT, end_to_end
from rivals.weights import load_trunk

DEFAULT, LAYERS = KINDS[0], "layers"
WIDTH = 128
NETWORKS = ("actor", "action", "joint")
FROZEN = tuple(name.replace("trunk", network) for network in NETWORKS for name in EARLY)
SMALL_FROZEN = tuple(f"{network}.{stage}" for network in NETWORKS for stage in ("stem", "layer1", "layer2"))
Trunks = tuple[StagedTrunk, StagedTrunk, StagedTrunk]


class ThreeNetworks(nn.Module):
    """Networks of actors, actions and pairs, each with a last layer of its own.

    Args:
        trunks: The three, each from pictures (B, 3, S, S) to feature vectors (B, D).
        labels: Names of the labels.
    """

    def __init__(self, trunks: Trunks, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.actor, self.action, self.joint = trunks
        self.parts = LabelParts(labels)
        self.sizes = (len(self.parts.actors), len(self.parts.actions), len(labels))
        widths = [trunk.width for trunk in trunks]
        self.actors, self.actions, self.pairs = map(nn.Linear, widths, self.sizes)

    def features(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Return the three feature vectors."""
        return [self.actor(pictures), self.action(pictures), self.joint(pictures)]

    def logits(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the logits of actors, actions and pairs."""
        return [self.actors(features[0]), self.actions(features[1]), self.pairs(features[2])]

    def with_final(self, logits: list[torch.Tensor], final: torch.Tensor) -> PartOutputs:
        """Return what the losses take."""
        actors, actions, pairs = logits
        return actors, actions, pairs, final, self.parts.actor_members, self.parts.action_members


class StatisticalFusion(ThreeNetworks):
    """Three networks, and classifiers on their logits.

    Args:
        trunks: See `ThreeNetworks`.
        build: The kind of the classifiers, the labels, and what was fitted.
    """

    def __init__(self, trunks: Trunks, build: Build) -> None:
        super().__init__(trunks, build.labels)
        self.fusion = Fusion(build.settings.options["fusion"], sum(self.sizes), build.outputs, build.fitted)

    def forward(self, pictures: torch.Tensor) -> PartOutputs:
        """Return the logits of each network and the classifiers' ones."""
        logits = self.logits(self.features(pictures))
        return self.with_final(logits, self.fusion(torch.cat(logits, dim=1)))


class LayerFusion(ThreeNetworks):
    """Three networks, each with a layer, which are projected onto a hidden one and a last one.

    Args:
        trunks: See `ThreeNetworks`.
        labels: Names of the labels.
        width: Of each layer and of the hidden one.
    """

    def __init__(self, trunks: Trunks, labels: tuple[str, ...], width: int) -> None:
        super().__init__(trunks, labels)
        self.layers = nn.ModuleList(nn.Linear(trunk.width, width) for trunk in trunks)
        self.hidden = nn.Linear(len(trunks) * width, width)
        self.classifier = nn.Linear(width, len(labels))

    def forward(self, pictures: torch.Tensor) -> PartOutputs:
        """Return the logits of each network and the final ones."""
        features = self.features(pictures)
        layers = [layer(vector) for layer, vector in zip(self.layers, features, strict=True)]
        hidden = torch.relu(self.hidden(torch.relu(torch.cat(layers, dim=1))))
        return self.with_final(self.logits(features), self.classifier(hidden))


def fit_fusion(network: nn.Module, store: PictureStore, device: str) -> dict[str, Any]:
    """Fit the classifiers to the networks' logits of the training pictures, and put them into the network.

    Args:
        network: A `StatisticalFusion`; another one needs nothing and stays as it is.
        store: The training pictures.
        device: Where the network is.

    Returns:
        The sizes that a network needs to take the classifiers from a file.
    """
    if not isinstance(network, StatisticalFusion):
        return {}
    moments = list(store.moments())
    vectors = []
    with torch.inference_mode():
        for batch in split_into_batches(range(len(moments)), BATCH_SIZE):
            pictures = make_batch([store.pictures(*moments[index]) for index in batch], device)
            vectors.append(torch.cat(network.logits(network.features(pictures)), dim=1).float().cpu())
    targets = store.targets[[row for row, _ in moments]]
    kind = network.fusion.kind
    fitted = fit_classifiers(kind, torch.cat(vectors).numpy(), targets)
    network.fusion = Fusion(kind, sum(network.sizes), targets.shape[1], fitted.sizes)
    network.fusion.fill(fitted)
    network.fusion.to(device).eval()
    return dict(fitted.sizes)


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    actor, action, joint = (load_trunk(build.settings.backbone, build.weights) for _ in NETWORKS)
    if options["fusion"] == LAYERS:
        return LayerFusion((actor, action, joint), build.labels, options["width"])
    return StatisticalFusion((actor, action, joint), build)


def _recipes(kind: str) -> tuple[Recipe, Recipe]:
    """Return the published and the small recipe of a kind, named after it unless it is the default."""
    options: dict[str, Any] = {"fusion": kind, "width": WIDTH} if kind == LAYERS else {"fusion": kind}
    settings = NetworkSettings("resnet152", FrameInput(224), options=options)
    phases = end_to_end("separate", FROZEN)
    small_loss = "separate"
    if kind == LAYERS:
        phases = (Phase(30, BATCH_SIZE, "separate", OPTIMIZER), *end_to_end("final", FROZEN))
        small_loss = "separate_and_final"
    suffix = "" if kind == DEFAULT else f"_{kind}"
    small = SmallRecipe(small_loss, SMALL_FROZEN, options=options).recipe()
    return Recipe(f"{PAPER}{suffix}", settings, "imagenet", phases), replace(small, name=f"{SMALL}{suffix}")


SYSTEMS = systems_by_name(
    System(
        name="joint_fusion",
        title="three ResNet-152, of actors, actions and pairs, and linear discriminant analysis of their predictions",
        report=f"{REPORT}, section 2.4.1",
        published_f1=0.57,
        build=_build,
        probabilities=final_probabilities,
        recipes={recipe.name: recipe for kind in (*KINDS, LAYERS) for recipe in _recipes(kind)},
        losses={"separate": separate_bce, "final": final_bce, "separate_and_final": separate_and_final_bce},
        fit_after=fit_fusion,
    )
)
