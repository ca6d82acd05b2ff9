"""A2D's label maps, MATLAB 7.3 files and thus HDF5: their claims are checked before anything is allocated."""

import math
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

DATASET = "reS_id"
MAX_PIXELS = 1 << 24  # A2D's frames have a hundredth of that
MAX_IDS = 1000
MAX_CHUNK_BYTES = 1 << 27
MAX_EXPANSION = 1100  # by which deflate, the filter of MATLAB, can shrink data
BLOCK_PIXELS = 1 << 20
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
"""HDF5's own filters that MATLAB uses; for any other one, HDF5 would load a library."""


class LabelMapError(Exception):
    """Why a label map cannot be read; the message is one line without the file's name."""


def read_label_ids(path: Path) -> list[int]:
    """Read which labels a label map contains.

    Args:
        path: A MATLAB 7.3 file, which is HDF5. Its `reS_id` holds a label id for every pixel.

    Returns:
        The ids, ascending, without duplicates.

    Raises:
        LabelMapError: If it is not such a file.
        FileNotFoundError: If there is no such file.
    """
    import h5py  # only A2D's own annotations need it

    if not stat.S_ISREG(path.stat().st_mode):
        raise LabelMapError("not a regular file")
    try:
        with h5py.File(path, "r") as file:
            # A link to another place, perhaps in another file, is not followed.
            if not isinstance(file.get(DATASET, getlink=True), h5py.HardLink):
                raise LabelMapError(f"not an A2D annotation (no readable '{DATASET}')")
            dataset = file[DATASET]
            _check_dataset(dataset, path.stat().st_size)
            ids = _unique_ids(dataset)
    except FileNotFoundError:
        raise
    except KeyError:
        raise LabelMapError(f"not an A2D annotation (no readable '{DATASET}')") from None
    except (OSError, RuntimeError, TypeError, ValueError, MemoryError) as reason:
        raise LabelMapError(f"not a readable MATLAB 7.3 (HDF5) file ({' '.join(str(reason).split())})") from None
    if not np.isfinite(ids).all() or not np.array_equal(ids, np.floor(ids)):
        raise LabelMapError(f"'{DATASET}' holds values that are not whole numbers")
    return [int(label_id) for label_id in ids]


def _check_dataset(dataset: "h5py.Dataset", file_bytes: int) -> None:
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "uifb" or dataset.dtype.hasobject:
        raise LabelMapError(f"'{DATASET}' is not an array of numbers")
    if dataset.is_virtual or dataset.external:
        raise LabelMapError(f"'{DATASET}' refers to data in other files")
    shape, itemsize = dataset.shape or (), dataset.dtype.itemsize
    if len(shape) != 2 or math.prod(shape) > MAX_PIXELS:
        raise LabelMapError(f"'{DATASET}' has the shape {shape}, two dimensions and {MAX_PIXELS} pixels are allowed")
    if dataset.chunks and math.prod(dataset.chunks) * itemsize > MAX_CHUNK_BYTES:
        raise LabelMapError(f"'{DATASET}' is stored in chunks of {dataset.chunks}, which are too large")
    settings = dataset.id.get_create_plist()
    filters = {settings.get_filter(index)[0] for index in range(settings.get_nfilters())}
    if filters - set(FILTERS):
        raise LabelMapError(f"'{DATASET}' is compressed in another way than with {', '.join(FILTERS.values())}")
    stored = dataset.id.get_storage_size()
    if stored > file_bytes or stored * (MAX_EXPANSION if filters else 1) < math.prod(shape) * itemsize:
        raise LabelMapError(f"'{DATASET}' claims {math.prod(shape)} pixels, of which the file has {stored} bytes")


def _unique_ids(dataset: "h5py.Dataset") -> NDArray[np.generic]:
    """Return the values that occur, ascending; only some rows are in memory at a time."""
    rows = max(1, BLOCK_PIXELS // max(1, dataset.shape[1]))
    if dataset.chunks:
        rows = max(rows, dataset.chunks[0])  # each chunk is decompressed once
    found = np.zeros(0, dataset.dtype)
    for start in range(0, dataset.shape[0], rows):
        found = np.unique(np.concatenate([found, np.unique(dataset[start : start + rows])]))
        if len(found) > MAX_IDS:
            raise LabelMapError(f"'{DATASET}' holds more than {MAX_IDS} different values")
    return found
