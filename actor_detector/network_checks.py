"""Checks of a detector's network after it was loaded, and its preparation for inference; none needs Ultralytics."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from common.errors import DetectorError
from common.files import shorten

MAX_CLASSES = 10_000


def is_layer(name: str) -> bool:
    """Return whether a pickled model may contain objects of a class, by its full name."""
    module = name.rpartition(".")[0]
    return f"{module}.".startswith(("torch.nn.modules.", "ultralytics.nn.modules.", "ultralytics.utils.loss.")) or (
        module in ("ultralytics.nn.tasks", "ultralytics.utils", "ultralytics.utils.tal", "ultralytics.yolo.utils")
    )


def check_network(network: Any) -> None:
    """Run a network once, and check its weights: a damaged file may describe a network that cannot run.

    Raises:
        DetectorError: If a weight is not finite, or there is no output.
    """
    import torch

    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DetectorError(f"'{name}' contains values that are not finite")
    with torch.inference_mode():
        output = network(torch.zeros(1, 3, 64, 64))
    if not isinstance(output[0] if isinstance(output, tuple | list) else output, torch.Tensor):
        raise DetectorError("it does not return boxes")


def class_names_of(network: Any, path: Path) -> dict[int, str]:
    """Return a network's class names by output; Ultralytics' files contain a list or a mapping.

    Raises:
        DetectorError: If they are anything else.
    """
    names = getattr(network, "names", None)
    found = dict(enumerate(names)) if isinstance(names, list | tuple) else names
    is_valid = isinstance(found, dict) and 0 < len(found) <= MAX_CLASSES and set(found) == set(range(len(found)))
    if not isinstance(found, dict) or not is_valid or not all(isinstance(name, str) for name in found.values()):
        raise DetectorError(f"{path}: class names were expected, found {shorten(names)}")
    return dict(found)


def fold_batch_norm(backbone: Any) -> None:
    """Fold batch normalization into torchvision's convolutions; Ultralytics' `fuse` only covers its own."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in backbone.modules():
        children = list(getattr(block, "_modules", {}).items())
        for (name, conv), (next_name, norm) in pairwise(children):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(block, name, fuse_conv_bn_eval(conv, norm))
                setattr(block, next_name, torch.nn.Identity())
