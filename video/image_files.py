"""Image files: finding them, and reading their pixels or their size."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import DatasetError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def find_images(folder: Path) -> list[Path]:
    """Find the images in a folder and all its subfolders, without hidden files and folders.

    Returns:
        Their paths, sorted.

    Raises:
        DatasetError: If there are none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()  # no named pipe, which would wait for its writer
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise DatasetError(f"{folder}: no images there (supported: {', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file.

    Returns:
        Shape (H, W, 3), uint8, BGR.

    Raises:
        DatasetError: If it cannot be read.
    """
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path}: not a readable image")
    return np.asarray(image, dtype=np.uint8)


def read_image_size(path: Path) -> tuple[int, int]:
    """Read an image's width and height in pixels from its header.

    Raises:
        DatasetError: If it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ImportError):  # Ultralytics, once imported, makes Pillow try a package for unknown formats
        raise DatasetError(f"{path}: not a readable image") from None
