"""Cache folders: what belongs to others, or is a link, is neither read nor written."""

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from common.downloads import KNOWN_WEIGHTS, check_owner
from common.errors import DownloadError
from common.trusted_files import CacheFolder, parse_array, trusted_folder, why_untrusted

OTHER = 12_345
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
with_modes = pytest.mark.skipif(os.name != "posix", reason="needs file modes")


@pytest.fixture
def cache(tmp_path: Path) -> CacheFolder:
    return CacheFolder(tmp_path / "cache", "things")


def test_what_is_written_is_read(cache: CacheFolder) -> None:
    assert cache.read("ab/x", 100) is None
    cache.write("ab/x", b"content")
    assert cache.read("ab/x", 100) == b"content"
    assert cache.read("ab/x", 6) is None
    assert CacheFolder(None, "things").read("ab/x", 100) is None


@with_modes
def test_new_folder_is_private(cache: CacheFolder) -> None:
    cache.write("ab/x", b"content")
    assert cache.folder is not None
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@with_modes
def test_folder_to_which_everybody_can_write_is_not_used(cache: CacheFolder, caplog: pytest.LogCaptureFixture) -> None:
    cache.write("ab/x", b"content")
    assert cache.folder is not None
    cache.folder.chmod(0o777)
    again = CacheFolder(cache.folder, "things")
    assert again.read("ab/x", 100) is None
    again.write("ab/y", b"content")
    assert not (cache.folder / "ab" / "y").exists()
    assert len(caplog.records) == 1
    assert "everybody can write to it, so things are neither read" in caplog.text


@as_root
def test_folder_of_another_user_is_not_used(cache: CacheFolder, caplog: pytest.LogCaptureFixture) -> None:
    cache.write("ab/x", b"content")
    assert cache.folder is not None
    os.chown(cache.folder, OTHER, OTHER)
    assert trusted_folder(cache.folder, "things") is None
    assert f"it belongs to another user (uid {OTHER})" in caplog.text
    assert CacheFolder(cache.folder, "things").read("ab/x", 100) is None


@as_root
def test_file_of_another_user_counts_as_missing(cache: CacheFolder) -> None:
    cache.write("ab/x", b"content")
    assert cache.folder is not None
    os.chown(cache.folder / "ab" / "x", OTHER, OTHER)
    assert cache.read("ab/x", 100) is None


@with_modes
@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe"])
def test_links_and_pipes_count_as_missing(cache: CacheFolder, tmp_path: Path, kind: str) -> None:
    cache.write("ab/x", b"content")
    assert cache.folder is not None
    (tmp_path / "elsewhere").mkdir()
    if kind == "link to a folder":
        (cache.folder / "ab").rename(tmp_path / "elsewhere" / "ab")
        (cache.folder / "ab").symlink_to(tmp_path / "elsewhere" / "ab")
    else:
        (cache.folder / "ab" / "x").rename(tmp_path / "elsewhere" / "x")
        if kind == "pipe":
            os.mkfifo(cache.folder / "ab" / "x")
        else:
            (cache.folder / "ab" / "x").symlink_to(tmp_path / "elsewhere" / "x")
    assert cache.read("ab/x", 100) is None
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    cache.write("ab/x" if kind != "link to a folder" else "ab/y", b"new")
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before
    if kind == "link to a file":
        assert (tmp_path / "elsewhere" / "x").read_bytes() == b"content"


@as_root
def test_weights_of_another_user_must_be_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path))
    weights = KNOWN_WEIGHTS["yolo26n"]
    weights.path.write_bytes(b"something else")
    check_owner(weights)  # one's own
    os.chown(weights.path, OTHER, OTHER)
    with pytest.raises(DownloadError, match=r"yolo26n\.pt: it belongs to another user .*, and it is not the published"):
        check_owner(weights)


def test_own_file_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    assert why_untrusted((tmp_path / "x").stat()) is None


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("array", [np.zeros((2, 3), np.float32), np.array(1.5), np.array("text"), np.zeros((0, 4))])
def test_array_is_parsed(array: np.ndarray) -> None:
    np.testing.assert_array_equal(parse_array(npy(array)), array)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(npy(np.zeros(3))[:-1], id="cut"),
        pytest.param(npy(np.zeros(3)) + b"x", id="too long"),
        pytest.param(npy(np.array([{}], object)), id="objects"),
        pytest.param(npy(np.zeros(3)).replace(b"(3,), }     ", b"(99999,), } "), id="claims more"),
    ],
)
def test_other_array_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        parse_array(content)
