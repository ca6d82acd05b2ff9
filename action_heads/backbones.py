"""The backbones of the action heads by name: EfficientNet-Lite, ResNet-34, and those of timm."""

from functools import partial

from torch import nn
from torchvision.models import resnet34

from action_heads.backbone import Backbone
from action_heads.preprocessing import Preprocessing
from action_heads.tuning_modes import TIMM_PREFIX, check_backbone
from common.downloads import KNOWN_WEIGHTS, check_download, download
from networks.efficientnet_lite import EFFICIENTNET_LITES, LITE_MEAN, LITE_STD, EfficientNetLite
from networks.pretrained import PretrainedWeights
from networks.timm_networks import build_timm, find_timm

LITE_STAGES = ("blocks.5", "blocks.6", "conv_head", "bn2")


def find_backbone(name: str, where: str = "--backbone") -> Backbone:
    """Return the backbone with a name.

    Args:
        name: Its name.
        where: Where the name was given, for the error message.

    Raises:
        CheckpointError: If there is no such backbone; the message names those that exist.
    """
    check_backbone(name, where)
    if name in BACKBONES:
        return BACKBONES[name]
    return _timm_backbone(name, where)


def _build_resnet34(outputs: int) -> nn.Module:
    network: nn.Module = resnet34(weights=None, num_classes=outputs)
    return network


def _resnet34_imagenet() -> PretrainedWeights:
    known = KNOWN_WEIGHTS["imagenet"]
    path = check_download(known) if known.path.is_file() else download(known)
    return PretrainedWeights(path, "imagenet (torchvision IMAGENET1K_V1)", "BSD-3-Clause", dict)


def _lite_backbone(lite: EfficientNetLite) -> Backbone:
    return Backbone(
        name=lite.name,
        build=lite.build,
        pooling="global_pool",
        classifier="classifier",
        last_stage=LITE_STAGES,
        preprocessing=Preprocessing(lite.size, LITE_MEAN, LITE_STD),
        pretrained=lite.imagenet,
    )


def _timm_backbone(name: str, where: str) -> Backbone:
    """Describe one of timm's networks.

    Raises:
        CheckpointError: If timm has no such network, or its last layer is not linear.
    """
    found = find_timm(name.removeprefix(TIMM_PREFIX), where)
    mean, std = ((float(r), float(g), float(b)) for r, g, b in (found.mean, found.std))
    return Backbone(
        name=name,
        build=partial(build_timm, found.model),
        pooling="",
        classifier=found.classifier,
        last_stage=(),
        preprocessing=Preprocessing(found.size, mean, std),
        pretrained=found.pretrained,
    )


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        *(_lite_backbone(lite) for lite in EFFICIENTNET_LITES),
        Backbone(
            name="resnet34",
            build=_build_resnet34,
            pooling="avgpool",
            classifier="fc",
            last_stage=("layer4",),
            preprocessing=Preprocessing(),
            pretrained=_resnet34_imagenet,
        ),
    )
}
