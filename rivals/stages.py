"""A backbone without its classifier, cut into stages that have the same names whatever the network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from common.errors import CheckpointError

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
"""As in ResNet, where `layer3` and `layer4` end at a 16th and a 32nd of the picture's side."""
PROBE_PIXELS, PROBE_FRAMES = 64, 4


class StagedTrunk(nn.Module):
    """A backbone as five stages, and what makes a feature vector of the last one's map.

    Its input is float RGB in [0, 1], shape (B, 3, S, S), or (B, 3, N, S, S) for networks of clips; it normalizes it.

    Attributes:
        width: Length of the feature vector.
        source: What its weights are, in words.
        has_maps: Whether it could be cut into stages.
    """

    def __init__(self, network: nn.Module, classifier: str, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        last: Any = network.get_submodule(classifier)
        self.width = int(last.in_features)
        self.source = "random"
        self.is_video = any(isinstance(module, nn.Conv3d) for module in network.modules())
        self.mean: torch.Tensor
        self.std: torch.Tensor
        shape = (3, 1, 1, 1) if self.is_video else (3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(shape), persistent=False)
        stages, neck = _cut(network, classifier)
        self.has_maps = bool(stages)
        for name in STAGES:
            self.add_module(name, stages.get(name, nn.Identity()))
        self.neck = neck
        self.classifier: nn.Module = last

    def drop_classifier(self) -> None:
        """Drop the layer that predicted the classes that the network was published with."""
        self.classifier = nn.Identity()

    def normalize(self, pictures: torch.Tensor) -> torch.Tensor:
        """Standardize the channels as the network's weights expect."""
        normalized: torch.Tensor = (pictures - self.mean) / self.std
        return normalized if self.is_video else normalized.contiguous(memory_format=torch.channels_last)

    def run(self, map_: torch.Tensor, stages: Sequence[str]) -> torch.Tensor:
        """Pass a map through some stages."""
        for name in stages:
            map_ = self.get_submodule(name)(map_)
        return map_

    def map_after(self, pictures: torch.Tensor, stage: str) -> torch.Tensor:
        """Return the map after a stage, shape (B, C, H, W).

        Raises:
            CheckpointError: If the network could not be cut into stages.
        """
        if not self.has_maps:
            raise CheckpointError("this backbone cannot be cut into stages, which the system needs")
        return self.run(self.normalize(pictures), STAGES[: STAGES.index(stage) + 1])

    def features_from(self, map_: torch.Tensor, stage: str) -> torch.Tensor:
        """Return the feature vectors (B, width) that the rest of the network makes of the map after a stage."""
        features: torch.Tensor = self.neck(self.run(map_, STAGES[STAGES.index(stage) + 1 :]))
        return features

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return feature vectors, shape (B, width)."""
        return self.features_from(self.run(self.normalize(pictures), STAGES), STAGES[-1])

    def channels(self, stage: str) -> int:
        """Return the number of channels of the map after a stage."""
        shape = (1, 3, *([PROBE_FRAMES] if self.is_video else []), PROBE_PIXELS, PROBE_PIXELS)
        was_training = self.training
        with torch.no_grad():
            channels = self.eval().map_after(torch.zeros(shape), stage).shape[1]
        self.train(was_training)
        return channels


def _cut(network: nn.Module, classifier: str) -> tuple[dict[str, nn.Module], nn.Module]:
    """Return the stages of a network, and what makes a feature vector of the last map.

    Without stages, the second is the whole network without its last layer.
    """
    parts = dict(network.named_children())
    if "layer4" in parts:  # ResNets and their descendants, of torchvision and timm, of images and clips
        stem = nn.Sequential(*(part for name, part in parts.items() if name in RESNET_STEM))
        stages = {"stem": stem, **{name: parts[name] for name in STAGES[1:]}}
        pooling = parts["avgpool"] if "avgpool" in parts else parts["global_pool"]
        return stages, nn.Sequential(pooling, nn.Flatten())
    if {"conv_stem", "blocks", "conv_head", "global_pool"} <= set(parts):
        return _cut_efficientnet(parts), nn.Sequential(parts["global_pool"], nn.Flatten())
    if {"features", "avgpool", "classifier"} <= set(parts):  # VGG and AlexNet of torchvision
        layers: Any = parts["classifier"]
        return _cut_at_poolings(parts["features"]), nn.Sequential(parts["avgpool"], nn.Flatten(), *layers[:-1])
    network.set_submodule(classifier, nn.Identity())
    return {}, network


RESNET_STEM = ("conv1", "bn1", "act1", "relu", "maxpool", "stem")


def _cut_efficientnet(parts: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Cut an EfficientNet of timm, whose last two stages of blocks end at a 32nd, the two before at a 16th."""
    found: Any = parts["blocks"]
    blocks = list(found)
    head = [part for name, part in parts.items() if name in ("conv_head", "bn2")]
    return {
        "stem": nn.Sequential(parts["conv_stem"], parts["bn1"], *blocks[:-6]),
        "layer1": nn.Sequential(*blocks[-6:-5]),
        "layer2": nn.Sequential(*blocks[-5:-4]),
        "layer3": nn.Sequential(*blocks[-4:-2]),
        "layer4": nn.Sequential(*blocks[-2:], *head),
    }


def _cut_at_poolings(features: Any) -> dict[str, nn.Module]:
    """Cut layers after every pooling; a network with fewer poolings than stages leaves the first of these empty."""
    parts: list[list[nn.Module]] = [[]]
    for layer in features:
        parts[-1].append(layer)
        if isinstance(layer, nn.MaxPool2d):
            parts.append([])
    filled = [part for part in parts if part][-len(STAGES) :]
    empty: list[list[nn.Module]] = [[]] * (len(STAGES) - len(filled))
    return {name: nn.Sequential(*part) for name, part in zip(STAGES, [*empty, *filled], strict=True)}
