"""Text files in every usual encoding are read, and others are refused in bounded time and memory."""

import codecs
import os
import re
from pathlib import Path

import pytest

from common.errors import DatasetError
from common.text_files import MAX_BYTES, MAX_LINE_LENGTH, read_start, read_text_file

TEXT = "file,labels\nclips/émile.mp4,dog-running\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TEXT.encode(), id="utf-8"),
        pytest.param(codecs.BOM_UTF8 + TEXT.encode(), id="utf-8 with mark"),
        pytest.param(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), id="utf-16 little endian"),
        pytest.param(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), id="utf-16 big endian"),
        pytest.param(TEXT.encode("utf-16-le"), id="utf-16 little endian without mark"),
        pytest.param(TEXT.encode("utf-16-be"), id="utf-16 big endian without mark"),
        pytest.param(codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), id="utf-32"),
        pytest.param(TEXT.replace("\n", "\r\n").encode(), id="Windows line ends"),
        pytest.param(TEXT.replace("\n", "\r").encode(), id="old Macintosh line ends"),
        pytest.param(TEXT.replace("\n", "\r\n").encode("utf-16"), id="utf-16 with Windows line ends"),
    ],
)
def test_encodings_and_line_ends_are_understood(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(data)
    assert read_text_file(path, DatasetError) == TEXT
    assert read_start(path) == TEXT


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"file\ncaf\xe9.mp4\n", "line 2 is not UTF-8: it has the byte 0xe9; save", id="latin-1"),
        pytest.param(b"file\r\na\r\ncaf\xe9\r\n", "line 3 is not UTF-8", id="latin-1 with Windows line ends"),
        pytest.param(b"file\na\0b.mp4\n", "line 2 contains a NUL character", id="NUL"),
        pytest.param(bytes(range(256)) * 8, "it is binary", id="binary"),
        pytest.param(codecs.BOM_UTF16_LE + b"\0\xd8a", "broken UTF-16", id="broken utf-16"),
        pytest.param(b"a\n" + b"x" * (MAX_LINE_LENGTH + 1), "line 2 has 1,048,577 characters", id="a long line"),
        pytest.param(b"a\n" * MAX_LINE_LENGTH + b"x" * (MAX_LINE_LENGTH + 1) + b"\na", "line 1048577", id="a late one"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"^{re.escape(str(path))}: not a readable text file \({message}") as caught:
        read_text_file(path, DatasetError)
    assert "\n" not in str(caught.value)


def test_lines_up_to_the_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    text = ("x" * MAX_LINE_LENGTH + "\n") * 3
    path.write_text(text)
    assert read_text_file(path, DatasetError) == text


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("wb") as file:
        file.truncate(100 * MAX_BYTES)
    with pytest.raises(DatasetError, match="it has 6,710,886,400 bytes, at most 67,108,864 are read"):
        read_text_file(path, DatasetError)
    assert read_start(path).strip("\0") == ""


def test_what_is_no_file_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match="it is no regular file"):
        read_text_file(tmp_path / "pipe.csv", DatasetError)
    with pytest.raises(OSError, match="not a regular file"):
        read_start(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match="it is a folder"):
        read_text_file(tmp_path, DatasetError)
    with pytest.raises(FileNotFoundError):
        read_text_file(tmp_path / "none.csv", DatasetError)
