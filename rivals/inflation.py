"""Networks of images made into networks of clips: each kernel repeated along time.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017: a clip of one
image repeated gives what the image gave, away from the clip's ends.
"""

from typing import Any

import torch
from torch import nn

from common.errors import CheckpointError
from rivals.stages import StagedTrunk


def inflate(trunk: StagedTrunk) -> StagedTrunk:
    """Make a residual network of images one of clips, in place: its input becomes (B, 3, N, S, S).

    Kernels and strides become as long in time as they are wide, except that the first layer keeps every frame, as in
    the 3D ResNets of Hara et al. ("Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR
    2018), and that average poolings take single frames, since there may be only one.

    Raises:
        CheckpointError: If the network has layers that cannot be inflated.
    """
    if not trunk.has_maps:
        raise CheckpointError("this backbone cannot be cut into stages, which the system needs")
    is_first = True
    for name, layer in list(trunk.named_modules()):
        if isinstance(layer, nn.Conv2d):
            trunk.set_submodule(name, _inflate_convolution(layer, is_first))
            is_first = False
        elif isinstance(layer, nn.BatchNorm2d):
            normalization = nn.BatchNorm3d(layer.num_features, layer.eps, layer.momentum)
            normalization.load_state_dict(layer.state_dict())
            trunk.set_submodule(name, normalization.train(layer.training))
        elif isinstance(layer, nn.MaxPool2d):
            trunk.set_submodule(name, nn.MaxPool3d(layer.kernel_size, layer.stride, layer.padding))
        elif isinstance(layer, nn.AvgPool2d):
            trunk.set_submodule(name, _inflate_average(layer))
    trunk.neck = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())
    trunk.mean, trunk.std = trunk.mean[..., None], trunk.std[..., None]
    trunk.is_video = True
    return trunk


def _inflate_average(layer: nn.AvgPool2d) -> nn.AvgPool3d:
    kernel, stride, padding = (_pair(size) for size in (layer.kernel_size, layer.stride, layer.padding))
    return nn.AvgPool3d((1, *kernel), (stride[0], *stride), (0, *padding), layer.ceil_mode, layer.count_include_pad)


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _inflate_convolution(layer: nn.Conv2d, is_first: bool) -> nn.Conv3d:
    sizes: Any = (layer.kernel_size, layer.stride, layer.padding)
    kernel, stride, padding = ((size[0], *size) for size in sizes)
    if is_first:
        stride = (1, *stride[1:])
    inflated = nn.Conv3d(
        layer.in_channels, layer.out_channels, kernel, stride, padding, groups=layer.groups, bias=layer.bias is not None
    )
    with torch.no_grad():
        inflated.weight.copy_(layer.weight[:, :, None].expand_as(inflated.weight) / kernel[0])
        if inflated.bias is not None and layer.bias is not None:
            inflated.bias.copy_(layer.bias)
    return inflated
