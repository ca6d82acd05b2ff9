"""Paths that are no clips: never a wait for ever, and a line that tells what to do instead."""

import os
import re
import socket
import sys

import pytest
from fake_clips import make_folder

from common.errors import ClipError, TruncatedClipError
from video.clip_paths import kind_of_file, require_local, require_regular_file
from video.clips import clip_sha256, read_frames
from video.find_clips import find_clips

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the special files of POSIX")


@pytest.fixture(params=["pipe", "socket", "zero", "null", "link to a pipe"])
def special_file(request, tmp_path):
    """A special file called clip.mp4, and what it is."""
    path, name = tmp_path / "clip.mp4", request.param
    if name == "pipe":
        os.mkfifo(path)
    elif name == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    elif name == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.symlink_to(f"/dev/{name}")
    return path, {"zero": "a device", "null": "a device", "socket": "a socket"}.get(name, "a named pipe")


def test_a_special_file_is_no_clip(special_file):
    path, kind = special_file
    assert kind_of_file(path) == kind
    for read in (clip_sha256, require_regular_file):
        with pytest.raises(ClipError, match=f"clip.mp4: {kind}, not a file; .* save it to a file"):
            read(path)
    with pytest.raises(ClipError, match=r"clip\.mp4: .*save"):
        next(read_frames(path))


def test_a_special_file_in_a_folder_does_not_keep_the_search_waiting(special_file, tmp_path):
    (tmp_path / "z.mp4").write_bytes(b"")
    assert tmp_path / "z.mp4" in find_clips([str(tmp_path)])


def test_a_special_file_is_no_list(special_file):
    with pytest.raises(ClipError, match=r"clip\.mp4: .*not a readable list of clips"):
        find_clips([f"@{special_file[0]}"])


def test_a_pipe_among_the_frames_of_a_folder_is_a_frame_that_cannot_be_read(tmp_path):
    folder = make_folder(tmp_path / "frames", [1, 3])
    os.mkfifo(folder / "00002.png")
    digest = clip_sha256(folder)
    with pytest.raises(TruncatedClipError, match=re.escape("00002.png cannot be read): 2 of 3 frames")):
        list(read_frames(folder))
    (folder / "00002.png").unlink()
    assert clip_sha256(folder) == digest


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("http://example.org/a/b.mp4", "an address, which `actor-action tag` alone takes; download the clip"),
        ("https://example.org/clip.mp4?a=1&x=[2]", "an address"),
        ("http://EXAMPLE.ORG/" + 500 * "a", "an address"),
        ("rtsp://camera:554/stream", "an address"),
        ("s3://bucket/clip.mp4", "an address"),
        ("file:///clips/clip.mp4", "name the file by its path, without file://"),
        ("-", "the standard input is no clip; .* save it to a file"),
    ],
)
def test_an_address_is_refused_as_it_was_given(tmp_path, argument, message):
    with pytest.raises(ClipError, match=f"^{re.escape(argument)}: .*{message}"):
        find_clips([argument])
    (tmp_path / "list.txt").write_text(f"# a comment\n{argument}\n")
    with pytest.raises(ClipError, match=f"{re.escape(argument)}: .*{message}"):
        find_clips([f"@{tmp_path / 'list.txt'}"])


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_the_standard_input_is_no_clip_whatever_it_is(path):
    with pytest.raises(ClipError, match=f"{path}: an open file of this process"):
        find_clips([path])


def test_paths_that_look_like_addresses_are_paths_if_they_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "clip.mp4").write_bytes(b"")
    (tmp_path / "-").write_bytes(b"")
    assert len(find_clips(["http://clip.mp4", "-"])) == 2
    for argument in ("C://clips/clip.mp4", "a:b.mp4", "12:30.mp4", "http:", "://a"):
        require_local(argument)
