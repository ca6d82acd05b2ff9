"""Lists of known boxes of one actor, which take the place of the teachers' pseudo-labels in the images they name.

A teacher misses what it was not taught: detectors trained on COCO find a quarter of the footballs on a wide pitch. And
an image whose ball nobody marks teaches that a ball is background.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.formats.tables import Record, read_records
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from common.errors import DatasetError
from video.image_files import read_image

CORNERS = ("x1", "y1", "x2", "y2")
CERTAIN = 1.0  # confidence of a known box


def read_boxes(path: Path) -> dict[Path, NDArray[np.float32]]:
    """Read a list of all boxes of one actor in some images.

    Args:
        path: A CSV file with the columns `file`, relative to its own folder, and x1 y1 x2 y2: corners in pixels of the
            image. One row per box; a row with four empty corners says that the image shows none.

    Returns:
        By resolved path of the image: corners as fractions of width and height, shape (N, 4), float32, in [0, 1].

    Raises:
        DatasetError: If a row is malformed, an image cannot be read, or a box does not lie within its image.
    """
    boxes: dict[Path, list[NDArray[np.float32]]] = defaultdict(list)
    sizes: dict[Path, tuple[int, int]] = {}
    for record in read_records(path, ("file", *CORNERS)):
        image = (path.parent / record.cells["file"]).resolve()
        if image not in sizes:
            height, width = _read_image(image, record.where).shape[:2]
            sizes[image] = (width, height)
        boxes[image].extend(_parse_corners(record, sizes[image]))
    return {image: np.array(found, np.float32).reshape(-1, 4) for image, found in boxes.items()}


def _read_image(image: Path, where: str) -> NDArray[np.uint8]:
    if not image.is_file():
        raise DatasetError(f"{where}: {image}: no such file")
    try:
        return read_image(image)
    except DatasetError as reason:
        raise DatasetError(f"{where}: {reason}") from None


def _parse_corners(record: Record, size: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Return the box of a row as fractions of its image's size; none if its corners are empty."""
    cells = [record.cells[name] for name in CORNERS]
    if not any(cells):
        return []
    try:
        corners = np.array([float(cell) for cell in cells])
    except ValueError:
        raise DatasetError(f"{record.where}: four numbers were expected as corners, found {cells}") from None
    width, height = size
    x1, y1, x2, y2 = corners
    if not (-1 <= x1 < x2 <= width + 1 and -1 <= y1 < y2 <= height + 1 and math.isfinite(corners.sum())):
        raise DatasetError(
            f"{record.where}: a box x1 < x2, y1 < y2 in an image of {width} x {height} pixels was expected, "
            f"found {', '.join(cells)}"
        )
    return [(corners / (width, height, width, height)).clip(0, 1).astype(np.float32)]


def replace_boxes(
    images: Sequence[PseudoLabelledImage], boxes: Mapping[Path, NDArray[np.float32]], actor_index: int
) -> list[PseudoLabelledImage]:
    """Replace the pseudo-labels of one actor by known boxes, in the images of which they are known.

    Args:
        images: The labelled images.
        boxes: As `read_boxes` returns them.
        actor_index: The actor, as an index in the taxonomy.

    Returns:
        As many images, in the same order.
    """
    return [
        _replace_in(image, known, actor_index) if (known := boxes.get(image.path.resolve())) is not None else image
        for image in images
    ]


def _replace_in(image: PseudoLabelledImage, known: NDArray[np.float32], actor_index: int) -> PseudoLabelledImage:
    other = image.actor_index != actor_index
    return PseudoLabelledImage(
        image.path,
        np.concatenate([image.boxes[other], known]),
        np.concatenate([image.confidence[other], np.full(len(known), CERTAIN, np.float32)]),
        np.concatenate([image.actor_index[other], np.full(len(known), actor_index)]),
    )
