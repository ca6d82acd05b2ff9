"""The search of folders: hidden, linked and odd entries, and what is said about the files that are not taken."""

import os
import re
import socket
from pathlib import Path

import pytest

from common.errors import ClipError
from video.find_clips import FoundClips, find_clips, search_clips
from video.folder_search import FolderSearch
from video.video_suffixes import COMMON_SUFFIXES, VIDEO_SUFFIXES


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(found: FoundClips, folder: Path) -> list[str]:
    return [str(clip.relative_to(folder)) for clip in found.clips]


def test_hidden_files_and_folders_are_left_out_unless_named(tmp_path: Path) -> None:
    hidden = (".Trash-1000/files/a.mp4", ".AppleDouble/b.mp4", "deep/.git/c.mp4", "deep/._d.mp4", ".e/00001.png")
    touch(tmp_path, "d.mp4", *hidden)
    assert names(search_clips([str(tmp_path)]), tmp_path) == ["d.mp4"]
    assert search_clips([str(tmp_path)]).notes() == []
    assert names(search_clips([str(tmp_path / ".Trash-1000")]), tmp_path) == [".Trash-1000/files/a.mp4"]
    assert names(search_clips([str(tmp_path / ".e")]), tmp_path) == [".e"]
    assert names(search_clips([str(tmp_path / "**" / "*.mp4")]), tmp_path) == ["d.mp4"]
    assert names(search_clips([str(tmp_path / ".A*" / "*.mp4")]), tmp_path) == [".AppleDouble/b.mp4"]
    assert names(search_clips([str(tmp_path / "deep" / "._*.mp4")]), tmp_path) == ["deep/._d.mp4"]


@pytest.mark.parametrize("suffix", [".gif", ".qt", ".3g2", ".f4v", ".divx", ".m2v", ".ogm", ".rmvb", ".y4m", ".MOD"])
def test_videos_of_every_ending_are_taken(tmp_path: Path, suffix: str) -> None:
    assert names(search_clips([str(touch(tmp_path, f"a{suffix}"))]), tmp_path) == [f"a{suffix}"]


def test_suffixes_are_in_lower_case() -> None:
    assert all(re.fullmatch(r"\.[a-z0-9-]+", suffix) for suffix in VIDEO_SUFFIXES)
    assert set(COMMON_SUFFIXES) <= VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & {".jpg", ".png", ".mp3", ".txt", ".srt"}


def test_files_that_are_not_taken_are_counted_by_ending(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "1.txt", "x/2.TXT", "3.jpg", "README", "odd.very long ending", "new\nline.a\nb")
    (note,) = search_clips([str(tmp_path)]).notes()
    assert note == "6 files were not taken (.txt 2, odd endings 2, .jpg 1, without ending 1)"
    touch(tmp_path / "many", "b.mp4", *(f"{number}.e{number}" for number in range(12)))
    (note,) = search_clips([str(tmp_path / "many")]).notes()
    assert note.endswith(".e3 1, .e4 1, .e5 1, others 4)")
    touch(tmp_path / "one", "a.mp4", "b.srt")
    assert search_clips([str(tmp_path / "one")]).notes() == ["1 file was not taken (.srt 1)"]


def test_frames_of_a_folder_of_frames_are_its_clip(tmp_path: Path) -> None:
    touch(tmp_path, "vid/00001.png", "vid/00002.png", "vid/notes.txt", "vid/more/a.mp4", "a.mp4")
    found = search_clips([str(tmp_path)])
    assert names(found, tmp_path) == ["a.mp4", "vid", "vid/more/a.mp4"]
    assert found.notes() == ["1 file was not taken (.txt 1)"]


def test_pipes_sockets_devices_and_broken_links_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    (tmp_path / "broken.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        server.bind("socket.mp4")
    expected = "5 files were not taken (broken links 2, devices 1, named pipes 1, sockets 1)"
    for argument in (tmp_path, tmp_path / "*.mp4", tmp_path / "**" / "*"):
        found = search_clips([str(argument)])
        assert names(found, tmp_path) == ["a.mp4"]
        assert found.notes() == [expected]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with a link to a folder elsewhere, to itself, to its parent and to a folder of frames."""
    touch(tmp_path, "elsewhere/far.mp4", "frames/00001.png", "in/near.mp4", "in/sub/deep.mp4")
    (tmp_path / "in" / "a-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "sub" / "self").symlink_to(".")
    (tmp_path / "in" / "sub" / "parent").symlink_to("..")
    (tmp_path / "in" / "0-alias").symlink_to("sub")
    (tmp_path / "in" / "vid").symlink_to(tmp_path / "frames")
    (tmp_path / "in" / "file.mp4").symlink_to(tmp_path / "elsewhere" / "far.mp4")
    return tmp_path / "in"


def test_linked_folders_are_searched_on_request_and_once(linked: Path) -> None:
    found = search_clips([str(linked)])
    assert names(found, linked) == ["file.mp4", "near.mp4", "sub/deep.mp4", "vid"]
    assert found.notes() == ["4 linked folders were not searched: --follow-links does that"]
    found = search_clips([str(linked)], follow_links=True)
    assert names(found, linked) == ["a-link/far.mp4", "file.mp4", "near.mp4", "sub/deep.mp4", "vid"]
    assert found.notes() == []


def test_a_linked_folder_that_is_named_is_searched(linked: Path) -> None:
    assert names(search_clips([str(linked / "a-link")]), linked) == ["a-link/far.mp4"]


def test_folders_with_the_name_of_a_video_and_deep_ones_are_searched(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4/y.mp4")
    deep = tmp_path
    for _ in range(300):
        deep = deep / "d"
    touch(deep, "z.mp4")
    assert [clip.name for clip in search_clips([str(tmp_path)]).clips] == ["z.mp4", "y.mp4"]


def test_names_of_any_bytes_and_case_are_taken(tmp_path: Path) -> None:
    odd = [b"new\nline.mp4", b"caf\xe9.mp4", b"A.MP4", b"a.mp4", b" .mp4", b"-.mp4"]
    for name in odd:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    found = search_clips([str(tmp_path)])
    assert sorted(os.fsencode(clip.name) for clip in found.clips) == sorted(odd)


def test_a_folder_that_cannot_be_searched_is_a_line_and_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4", "locked/b.mp4", "z/c.mp4")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":  # permissions do not stop the superuser, who may run the tests
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = search_clips([str(tmp_path)])
    assert names(found, tmp_path) == ["a.mp4", "z/c.mp4"]
    assert found.notes() == [f"{tmp_path}/locked: not searched (permission denied)"]
    assert FolderSearch().run(tmp_path / "locked") == []


def test_a_folder_without_videos_says_what_it_has(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.txt")
    with pytest.raises(ClipError, match=r"a folder without videos; .* endings; 2 files were not taken \(\.txt 2\)$"):
        find_clips([str(tmp_path)])


@pytest.mark.parametrize(
    "argument",
    ["http://example.org/a.mp4", "https://example.org/?v=*", "rtsp://camera/1", "s3://bucket/a.mp4", "file:///a.mp4"],
)
@pytest.mark.parametrize("listed", [False, True], ids=["argument", "entry of a list"])
def test_addresses_are_named_as_they_were_given(tmp_path: Path, argument: str, listed: bool) -> None:
    (tmp_path / "list.txt").write_text(f"# clips\n{argument}\n")
    where = f"{tmp_path}/list.txt:2: " if listed else ""
    with pytest.raises(ClipError, match=f"^{re.escape(where + argument)}: ") as caught:
        find_clips([f"@{tmp_path}/list.txt" if listed else argument])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argument", ["-", "/dev/stdin"])
def test_the_standard_input_is_no_clip(argument: str) -> None:
    with pytest.raises(ClipError, match=f"^{argument}: .*save it to a file"):
        find_clips([argument])


def test_files_with_the_name_of_an_address_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "-", "http:/a.mp4", "@list.txt"))
    assert find_clips(["-", "http://a.mp4", "@list.txt"]) == [Path("-"), Path("http:/a.mp4"), Path("@list.txt")]


def test_a_name_that_is_too_long_is_left_to_the_reader() -> None:
    assert find_clips(["n" * 300 + ".mp4", "x/" * 3000 + "a.mp4"])[0] == Path("n" * 300 + ".mp4")


# --- Lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("a.mp4\nsub/b.mp4\n".encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf# clips\r\n\r\n  a.mp4 \r\nsub/b.mp4", id="mark, comment, Windows line ends"),
        pytest.param(b"a.mp4\rsub/b.mp4\r", id="old line ends"),
        pytest.param(b"a.mp4\nsub\n./sub/../a.mp4\n", id="a folder, and a clip again"),
        pytest.param(b"a.mp4\n@sub/more.txt\n", id="a further list"),
    ],
)
@pytest.mark.parametrize("is_relative", [True, False])
def test_lists_in_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, is_relative: bool
) -> None:
    monkeypatch.chdir(touch(tmp_path, "a.mp4", "sub/b.mp4"))
    (tmp_path / "list.txt").write_bytes(content)
    (tmp_path / "sub" / "more.txt").write_text("b.mp4\n")
    argument = "@list.txt" if is_relative else f"@{tmp_path}/list.txt"
    assert [clip.resolve() for clip in find_clips([argument])] == [tmp_path / "a.mp4", tmp_path / "sub" / "b.mp4"]


def test_a_list_that_contains_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("@b.txt\n")
    Path("b.txt").write_text("x.mp4\n@./a.txt\n")
    for argument in ("@a.txt", f"@{tmp_path}/a.txt"):
        with pytest.raises(ClipError, match=r"a\.txt: the list contains itself"):
            find_clips([argument])
    Path("twice.txt").write_text("@c.txt\n@c.txt\n")
    Path("c.txt").write_text("x.mp4\n")
    assert find_clips(["@twice.txt"]) == [Path("x.mp4")]


def test_a_list_is_never_read_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ClipError, match=r"pipe: not a readable list of clips \(it is no regular file\)"):
        find_clips([f"@{tmp_path}/pipe"])
