"""Backbones by name: torchvision's, EfficientNet-Lite, and any network of timm that ends in one linear layer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn
from torchvision import models

from common.downloads import TORCHVISION_WEIGHTS, check_download, download
from common.errors import CheckpointError
from common.files import nearest
from networks.efficientnet_lite import EFFICIENTNET_LITES, LITE_MEAN, LITE_STD, EfficientNetLite
from networks.pretrained import PretrainedWeights
from networks.timm_networks import build_timm, find_timm

TIMM_PREFIX = "timm:"
IMAGENET, KINETICS = "imagenet", "kinetics"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
LAST_LAYERS = {"vgg16": "classifier.6", "alexnet": "classifier.6"}
CLASSES = {IMAGENET: 1000, KINETICS: 400}


@dataclass(frozen=True)
class Backbone:
    """A published network.

    Attributes:
        name: Name on the command line and in files.
        build: Builds the untrained network with its own classes.
        classifier: Name of its last layer, a `nn.Linear`.
        mean: Mean of the RGB channels that its weights expect, in [0, 1].
        std: Standard deviation, likewise.
        published: Name of its published weights: `imagenet`, or `kinetics` for a network of clips.
        pretrained: Finds them, or downloads them.
    """

    name: str
    build: Callable[[], nn.Module]
    classifier: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    published: str
    pretrained: Callable[[], PretrainedWeights]


def find_backbone(name: str, where: str = "--backbone") -> Backbone:
    """Return the backbone with a name.

    Args:
        name: One of torchvision's in `TORCHVISION_WEIGHTS`, `efficientnet_lite0` to `2`, or `timm:NAME`.
        where: What names it, for the message.

    Raises:
        CheckpointError: If there is no such backbone; the message names those that exist.
    """
    lites = {lite.name: lite for lite in EFFICIENTNET_LITES}
    if name in TORCHVISION_WEIGHTS:
        return _torchvision_backbone(name)
    if name in lites:
        return _lite_backbone(lites[name])
    if name.startswith(TIMM_PREFIX):
        return _timm_backbone(name, where)
    allowed = [*TORCHVISION_WEIGHTS, *lites, f"{TIMM_PREFIX}NAME"]
    raise CheckpointError(f"{where}: unknown backbone {name!r}; {nearest(name, allowed)}")


def _torchvision_backbone(name: str) -> Backbone:
    is_video = hasattr(models.video, name)
    published = KINETICS if is_video else IMAGENET
    return Backbone(
        name=name,
        build=partial(models.get_model, name, weights=None, num_classes=CLASSES[published]),
        classifier=LAST_LAYERS.get(name, "fc"),
        mean=KINETICS_MEAN if is_video else IMAGENET_MEAN,
        std=KINETICS_STD if is_video else IMAGENET_STD,
        published=published,
        pretrained=partial(_find_torchvision, name, published),
    )


def _find_torchvision(name: str, published: str) -> PretrainedWeights:
    known = TORCHVISION_WEIGHTS[name]
    path = check_download(known) if known.path.is_file() else download(known)
    return PretrainedWeights(path, f"{published} (torchvision {known.file_name})", "BSD-3-Clause", dict)


def _lite_backbone(lite: EfficientNetLite) -> Backbone:
    return Backbone(
        lite.name, partial(lite.build, CLASSES[IMAGENET]), "classifier", LITE_MEAN, LITE_STD, IMAGENET, lite.imagenet
    )


def _timm_backbone(name: str, where: str) -> Backbone:
    found = find_timm(name.removeprefix(TIMM_PREFIX), where)
    build = partial(build_timm, found.model, CLASSES[IMAGENET])
    return Backbone(name, build, found.classifier, found.mean, found.std, IMAGENET, found.pretrained)
