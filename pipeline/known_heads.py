"""The action heads that the project ships, by name."""

from pathlib import Path

from common.paths import MODELS

EMBEDDED_HEADS = MODELS / "heads"
KNOWN_HEADS = {
    "efficientnet_lite0": EMBEDDED_HEADS,
    "resnet34": MODELS / "heads_resnet34",
}
"""Folders by the backbone of their heads; the default is the more accurate one, ResNet-34 the published method's."""


def find_heads_folder(name_or_folder: str) -> Path:
    """Return the folder of shipped heads, for a backbone of `KNOWN_HEADS`, or else the folder that is named.

    >>> find_heads_folder("mine/heads").as_posix()
    'mine/heads'
    >>> find_heads_folder("resnet34").name
    'heads_resnet34'
    """
    return KNOWN_HEADS.get(name_or_folder, Path(name_or_folder))
