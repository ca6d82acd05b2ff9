"""Expansion of command-line arguments into clips: order, duplicates and errors."""

import re
from pathlib import Path

import pytest

from common.errors import ClipError
from video.find_clips import find_clips


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A typical folder: videos at two depths, a folder of frames, and files that are not clips."""
    for name in (
        "b.mp4",
        "a.MKV",
        "notes.txt",
        "raw.dav",
        "._b.mp4",
        "deep/er/c.webm",
        "vid/00001.png",
        "vid/00002.png",
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path / "in"


def names(clips: list[Path], folder: Path) -> list[str]:
    return [str(clip.relative_to(folder)) for clip in clips]


def test_no_arguments_give_no_clips() -> None:
    assert find_clips([]) == []


def test_explicit_files_stay_in_order_whatever_they_are(folder: Path) -> None:
    arguments = [str(folder / name) for name in ("raw.dav", "b.mp4", "missing.mp4", "a.MKV")]
    assert names(find_clips(arguments), folder) == ["raw.dav", "b.mp4", "missing.mp4", "a.MKV"]


def test_folders_are_searched_recursively(folder: Path) -> None:
    assert names(find_clips([str(folder)]), folder) == ["a.MKV", "b.mp4", "deep/er/c.webm", "vid"]


def test_frame_folder_is_one_clip(folder: Path) -> None:
    assert names(find_clips([str(folder / "vid")]), folder) == ["vid"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("*.mp4", ["b.mp4"], id="one-level"),
        pytest.param("*", ["a.MKV", "b.mp4", "vid"], id="videos-and-frame-folders-only"),
        pytest.param("**/*.webm", ["deep/er/c.webm"], id="any-depth"),
        pytest.param("d*/e?/[cd].*", ["deep/er/c.webm"], id="wildcards-in-folders"),
        pytest.param("*.dav", ["raw.dav"], id="literal-suffix"),
    ],
)
def test_globs_match_videos(folder: Path, pattern: str, expected: list[str]) -> None:
    assert names(find_clips([str(folder / pattern)]), folder) == expected


def test_relative_glob_starts_at_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_clips(["*.mp4"]) == [Path("b.mp4")]


def test_existing_file_with_wildcards_in_its_name_is_no_glob(folder: Path) -> None:
    (folder / "[1].mp4").touch()
    assert names(find_clips([str(folder / "[1].mp4")]), folder) == ["[1].mp4"]


def test_list_entries_are_relative_to_the_list(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"\ufeff# clips\n\n  b.mp4  \nmissing.mp4\n{folder / 'a.MKV'}\n"
    (folder / "list.txt").write_text(text, encoding="utf-8")
    assert find_clips(["@in/list.txt"]) == [Path("in/b.mp4"), Path("in/missing.mp4"), folder / "a.MKV"]


def test_existing_file_with_an_at_sign_is_no_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("@home.mp4").touch()
    assert find_clips(["@home.mp4"]) == [Path("@home.mp4")]


def test_duplicates_are_dropped_in_favour_of_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    clips = find_clips(["b.mp4", "./b.mp4", "deep/../b.mp4", str(folder)])
    assert clips == [Path("b.mp4"), folder / "a.MKV", folder / "deep/er/c.webm", folder / "vid"]


def test_links_to_one_file_are_distinct_clips(folder: Path) -> None:
    (folder / "link.mp4").symlink_to(folder / "b.mp4")
    assert names(find_clips([str(folder / "*.mp4")]), folder) == ["b.mp4", "link.mp4"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        pytest.param("empty", "empty: a folder without videos; searched for .3gp", id="folder"),
        pytest.param("in/*.avi", "in/*.avi: no video matches", id="glob"),
        pytest.param("nowhere/**/*.mp4", "nowhere/**/*.mp4: no video matches", id="glob-in-missing-folder"),
        pytest.param("@none.txt", "none.txt: no such list of clips", id="missing-list"),
        pytest.param("@empty", "empty: not a readable list of clips", id="folder-as-list"),
        pytest.param("@blank.txt", "blank.txt: the list contains no clip", id="empty-list"),
        pytest.param("@latin.txt", "latin.txt: not a readable list of clips", id="list-not-utf-8"),
        pytest.param(" ", "' ' is no clip", id="blank-argument"),
    ],
)
def test_errors_are_one_line_naming_the_argument(
    folder: Path, monkeypatch: pytest.MonkeyPatch, argument: str, message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("blank.txt").write_text("\n# nothing\n")
    Path("latin.txt").write_bytes(b"caf\xe9.mp4\n")
    with pytest.raises(ClipError, match="^" + re.escape(message)) as caught:
        find_clips([argument])
    assert "\n" not in str(caught.value)
