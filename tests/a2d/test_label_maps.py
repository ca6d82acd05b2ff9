"""A2D's label maps: what is read, and files that claim or refer to more than they hold."""

import os
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from a2d.formats.base import read_mat_labels
from a2d.formats.label_maps import LabelMapError, read_label_ids
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00001.mat"


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int32", "bool"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "gzip", "shuffle": True, "fletcher32": True}], ids=["plain", "gzip"]
)
def test_ids_are_read(path: Path, dtype: str, options: dict[str, object]) -> None:
    ids = np.zeros((400, 300), dtype)
    ids[200:, 5] = 1
    with h5py.File(path, "w") as file:
        file.create_dataset("reS_id", data=ids, **options)
    assert read_label_ids(path) == [0, 1]


def test_large_map_is_read_in_parts(path: Path) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("reS_id", (4096, 4096), "f8", compression="gzip", chunks=(64, 4096))
        for row in range(0, 4096, 64):
            dataset[row : row + 64] = np.full((64, 4096), 44 if row else 3)
    tracemalloc.start()
    assert read_label_ids(path) == [3, 44]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20  # 128 MiB if read at once


def claimed_shape(file: h5py.File) -> None:
    file.create_dataset("reS_id", (1 << 20, 1 << 20), "f8", chunks=(64, 64))


def claimed_by_a_small_file(file: h5py.File) -> None:
    file.create_dataset("reS_id", (4096, 4096), "u1", chunks=(64, 64))


def large_chunks(file: h5py.File) -> None:
    file.create_dataset("reS_id", (8, 8), "u1", chunks=(1 << 15, 1 << 15), maxshape=(None, None))[0] = 1


def many_dimensions(file: h5py.File) -> None:
    file["reS_id"] = np.zeros((1,) * 20, np.uint8)


def many_values(file: h5py.File) -> None:
    file["reS_id"] = np.arange(10_000).reshape(100, 100)


def group(file: h5py.File) -> None:
    file.create_group("reS_id")


def texts(file: h5py.File) -> None:
    file.create_dataset("reS_id", (2, 2), h5py.string_dtype())


def references(file: h5py.File) -> None:
    file.create_dataset("reS_id", (2, 2), h5py.ref_dtype)


def ragged(file: h5py.File) -> None:
    file.create_dataset("reS_id", (2, 2), h5py.vlen_dtype(np.uint8))


def records(file: h5py.File) -> None:
    file.create_dataset("reS_id", (2, 2), np.dtype([("a", "u1")]))


def subarrays(file: h5py.File) -> None:
    file.create_dataset("reS_id", (2, 2), np.dtype(("u1", (1000,))))


def complex_numbers(file: h5py.File) -> None:
    file["reS_id"] = np.zeros((2, 2), complex)


def external_link(file: h5py.File) -> None:
    file["reS_id"] = h5py.ExternalLink("/etc/passwd", "/reS_id")


def soft_link_loop(file: h5py.File) -> None:
    file["reS_id"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/reS_id")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("reS_id", (2, 2), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((2, 2), "u1")
    layout[:] = h5py.VirtualSource("other.mat", "reS_id", (2, 2))
    file.create_virtual_dataset("reS_id", layout)


def other_filter(file: h5py.File) -> None:
    file.create_dataset("reS_id", data=np.zeros((64, 64), np.uint8), compression="lzf")


def fractions(file: h5py.File) -> None:
    file["reS_id"] = np.array([[0.5, 1.0]])


def not_a_number(file: h5py.File) -> None:
    file["reS_id"] = np.array([[np.nan, 1.0]])


def infinite(file: h5py.File) -> None:
    file["reS_id"] = np.array([[np.inf, 1.0]])


def no_array(file: h5py.File) -> None:
    file["reS_id"] = h5py.Empty("u1")


def nothing(file: h5py.File) -> None:
    file["other"] = 1


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (claimed_shape, r"has the shape \(1048576, 1048576\)"),
        (claimed_by_a_small_file, "claims 16777216 pixels, of which the file has 0 bytes"),
        (large_chunks, "in chunks of .* which are too large"),
        (many_dimensions, "two dimensions"),
        (many_values, "more than 1000 different values"),
        (group, "not an array of numbers"),
        (texts, "not an array of numbers"),
        (references, "not an array of numbers"),
        (ragged, "not an array of numbers"),
        (records, "not an array of numbers"),
        (subarrays, "not an array of numbers|shape"),
        (complex_numbers, "not an array of numbers"),
        (external_link, "not an A2D annotation"),
        (soft_link_loop, "not an A2D annotation"),
        (external_storage, "data in other files"),
        (virtual, "data in other files"),
        (other_filter, "compressed in another way"),
        (fractions, "not whole numbers"),
        (not_a_number, "not whole numbers"),
        (infinite, "not whole numbers"),
        (no_array, "two dimensions"),
        (nothing, "not an A2D annotation"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_files_are_refused_without_allocating(path: Path, taxonomy: Taxonomy, write, message: str) -> None:
    with h5py.File(path, "w") as file:
        write(file)
    tracemalloc.start()
    with pytest.raises(DatasetError, match=message) as caught:
        read_mat_labels(path, taxonomy, "list:1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert "\n" not in str(caught.value)


def test_compression_bomb_is_refused(path: Path) -> None:
    """A gigabyte of zeros takes a megabyte."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("reS_id", (8192, 8192), "u1", compression="gzip", chunks=(1024, 8192))
        dataset[:1024] = 1
    with pytest.raises(LabelMapError, match="has the shape"):
        read_label_ids(path)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(2000)], ids=["empty", "text", "signature"]
)
def test_what_is_not_hdf5_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LabelMapError, match="not a readable MATLAB"):
        read_label_ids(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_refused(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(LabelMapError, match="not a regular file"):
        read_label_ids(path)


def test_damage_raises_no_other_error(path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 45, (64, 64)).astype(np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("reS_id", data=ids, compression="gzip", chunks=(16, 64))
    content = path.read_bytes()
    for position in range(0, len(content), 37):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            found = read_label_ids(path)
        except LabelMapError:
            continue
        assert len(found) <= 256
    for length in range(0, len(content), 401):
        path.write_bytes(content[:length])
        with pytest.raises(LabelMapError):
            read_label_ids(path)
