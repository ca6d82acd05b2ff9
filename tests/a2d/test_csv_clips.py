"""Lists of clips as spreadsheets write them, clips that are listed twice, and rows whose clips cannot be used."""

import codecs
import os
from pathlib import Path

import pytest
from fake_a2d import CLIPS, write_course, write_release

from a2d.dataset import read_samples, split_names
from a2d.formats import tables
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import load_taxonomy
from common.errors import DatasetError

TAXONOMY = load_taxonomy()
PLAIN = "file,labels,split\na b.mp4,dog-running cat-none,train\nb.mp4,,train\n"
EXPECTED = [("a b.mp4", ("cat-none", "dog-running")), ("b.mp4", ())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files; that they are no videos does not matter here."""
    for name in ("a b.mp4", "b.mp4"):
        (tmp_path / name).write_text("")
    return tmp_path


def read(folder: Path, content: str | bytes) -> list[tuple[str, tuple[str, ...]]]:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    samples = read_samples(path, "train", TAXONOMY)
    assert read_samples(folder, "train", TAXONOMY) == samples, "found in its folder too"
    return [(sample.clip.name, sample.labels) for sample in samples]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PLAIN, id="plain"),
        pytest.param(PLAIN.replace(",", ";"), id="semicolons"),
        pytest.param(PLAIN.replace(",", "\t"), id="tabs"),
        pytest.param(PLAIN.replace(",", "|"), id="bars"),
        pytest.param("sep=;\n" + PLAIN.replace(",", ";"), id="an Excel separator line"),
        pytest.param(PLAIN.replace("\n", "\r"), id="old line ends"),
        pytest.param(codecs.BOM_UTF8 + PLAIN.replace(",", ";").replace("\n", "\r\n").encode(), id="Excel CSV UTF-8"),
        pytest.param(PLAIN.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"), id="Excel Unicode text"),
        pytest.param(PLAIN.encode("utf-16-be"), id="UTF-16 without a mark"),
        pytest.param(PLAIN.replace("\n", ",,\n") + ",,,,\n,,\n\n", id="empty columns and rows"),
        pytest.param(PLAIN.replace("train\n", "train,,\n") + " , ,\n", id="empty cells beside the table"),
        pytest.param(PLAIN.replace("file,labels,split", '"File", LABELS ,Split'), id="header in other case, quoted"),
        pytest.param('file,labels,split\n"a b.mp4","dog-running,cat-none","train"\nb.mp4,"",train\n', id="quoted"),
        pytest.param(
            "split,note,labels,note,file\ntrain,x,dog-running;cat-none,,a b.mp4\ntrain,,,,b.mp4\n", id="order"
        ),
    ],
)
def test_every_dialect_gives_the_same_samples(folder: Path, content: str | bytes) -> None:
    assert read(folder, content) == EXPECTED


def test_lines_are_numbered_as_in_the_file(folder: Path) -> None:
    path = folder / "list.csv"
    path.write_text("sep=;\n\nfile;labels;split\n;;\na b.mp4;dog-runing;train\n")
    with pytest.raises(DatasetError, match=r"list\.csv:5: unknown label 'dog-runing'"):
        read_samples(path, "train", TAXONOMY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            "file,labels,split,File\na,b,c,d\n", r"csv:1: the header has the column 'file' 2 times", id="twice"
        ),
        pytest.param(
            "file;label;split\na;b;c\n", r"column 'labels' is missing; the header has: file, label,", id="none"
        ),
        pytest.param("file,labels,split\na,,c\n;;x,,,\n", r"csv:3: the cell 'split' is empty", id="other separators"),
        pytest.param("file,labels,split\na.mp4\n", r"csv:2: 3 cells .* found 1", id="short"),
        pytest.param("file,labels,split\ncaf\xe9,,train\n".encode("latin-1"), "line 2 is not UTF-8", id="latin-1"),
        pytest.param("file,labels,split\na\0,,train\n", r"line 2 contains a NUL", id="NUL"),
        pytest.param("file,labels,split\n" + "," * 2000 + "\n", r"csv:2: 2,001 cells; at most 1000", id="many cells"),
        pytest.param('file,labels,split\n"' + "x" * 200_000 + '"\n', "larger than field limit", id="a huge cell"),
        pytest.param("file,labels,split" + "," * 2_000_000, r"line 1 has 2,000,017 characters", id="a huge line"),
    ],
)
def test_what_cannot_be_read_is_said_exactly(folder: Path, content: str | bytes, message: str) -> None:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=message) as caught:
        split_names(path)
    assert "\n" not in str(caught.value)


def test_the_number_of_rows_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 10)
    (folder / "list.csv").write_text("file,labels,split\n" + "b.mp4,,train\n" * 11)
    with pytest.raises(DatasetError, match="more than 10 rows"):
        split_names(folder / "list.csv")


def test_a_pipe_is_no_data_set_and_hangs_nothing(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(DatasetError, match=r"pipe\.csv: neither a file nor a folder"):
        split_names(folder / "pipe.csv")
    with pytest.raises(DatasetError, match="no labelled data found"):
        split_names(folder)


# --- One clip, one row ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        "./clip.mp4",
        "sub/../clip.mp4",
        "sub/..//./clip.mp4",
        "{folder}/clip.mp4",
        "alias/clip.mp4",
        "link.mp4",
        "hard.mp4",
    ],
)
@pytest.mark.parametrize("exists", [True, False], ids=["a file", "no file"])
@pytest.mark.parametrize("split", ["test", "train"])
def test_a_clip_is_listed_once_whatever_its_path(tmp_path: Path, spelling: str, exists: bool, split: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path)
    if exists:
        (tmp_path / "clip.mp4").write_text("")
        (tmp_path / "link.mp4").symlink_to("clip.mp4")
        (tmp_path / "hard.mp4").hardlink_to(tmp_path / "clip.mp4")
    elif spelling in ("link.mp4", "hard.mp4"):
        return
    path = tmp_path / "list.csv"
    other = spelling.format(folder=tmp_path)
    path.write_text(f"file,labels,split\nclip.mp4,dog-none,train\n{other},dog-none,{split}\n")
    with pytest.raises(DatasetError, match=r"list\.csv:3: .* is listed twice, before at .*list\.csv:2") as caught:
        split_names(path)
    assert ("its splits are 'train' and 'test'" in str(caught.value)) == (split == "test")


def test_clips_of_one_name_in_two_folders_are_two_clips(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").write_text("")
    (tmp_path / "list.csv").write_text("file,labels,split\na/clip.mp4,dog-none,train\nb/clip.mp4,dog-none,test\n")
    assert split_names(tmp_path) == ("train", "test")


# --- Skipped rows -----------------------------------------------------------------------------------------------------


def test_a_missing_clip_is_skipped_with_its_line(folder: Path) -> None:
    rows = "none.mp4,dog-none,train\nb.mp4,dog-none,train\nsub/x.mp4,dog-none,test\n"
    (folder / "list.csv").write_text(
        "file,labels,split\n" + rows + f"{'n' * 300}.mp4,dog-none,train\npipe.mp4,,train\n"
    )
    os.mkfifo(folder / "pipe.mp4")
    skipped = SkippedSamples()
    samples = read_samples(folder / "list.csv", "train", TAXONOMY, skipped)
    assert [(sample.clip.name, sample.where) for sample in samples] == [("b.mp4", f"{folder}/list.csv:3")]
    missing, long, pipe = skipped.reasons
    assert missing == f"{folder}/list.csv:2: no such file: {folder}/none.mp4"
    assert long.startswith(f"{folder}/list.csv:5: file name too long: ")
    assert pipe == f"{folder}/list.csv:6: neither a file nor a folder: {folder}/pipe.mp4"
    with pytest.raises(DatasetError, match=r"list\.csv:2: no such file"):
        read_samples(folder / "list.csv", "train", TAXONOMY, SkippedSamples(strict=True))


def test_a_split_of_which_nothing_can_be_used_is_an_error(folder: Path) -> None:
    (folder / "list.csv").write_text("file,labels,split\nx.mp4,dog-none,train\ny.mp4,dog-none,train\n")
    with pytest.raises(
        DatasetError, match=r"csv:2: no such file: .*x\.mp4; all 2 samples of split 'train' are unusable"
    ):
        read_samples(folder / "list.csv", "train", TAXONOMY, SkippedSamples())


def test_a_wrong_label_is_an_error_even_where_clips_are_skipped(folder: Path) -> None:
    (folder / "list.csv").write_text("file,labels,split\nb.mp4,dog-none,train\nx.mp4,dog-nope,train\n")
    with pytest.raises(DatasetError, match=r"csv:3: unknown label 'dog-nope'"):
        read_samples(folder / "list.csv", "train", TAXONOMY, SkippedSamples())


def test_broken_annotations_of_a_release_are_skipped_one_by_one(tmp_path: Path) -> None:
    root = write_release(tmp_path)
    (root / "Annotations" / "mat" / "walker-01" / "00004.mat").write_text("no HDF5")
    (root / "clips320H" / "_dash.dot.mp4").unlink()
    skipped = SkippedSamples()
    samples = read_samples(root, "train", TAXONOMY, skipped)
    assert [(sample.clip.stem, sample.frame_index) for sample in samples] == [("walker-01", 0)]
    assert [reason.split(": ")[0] for reason in skipped.reasons] == [f"{root}/videoset.csv:{row}" for row in (1, 2)]


def test_missing_frames_of_the_course_layout_are_skipped_one_by_one(tmp_path: Path) -> None:
    root = write_course(tmp_path, CLIPS)
    (root / "pngs320H" / "walker-01" / "00001.png").unlink()
    (root / "Annotations" / "mat" / "_dash.dot" / "00002.mat").unlink()
    skipped = SkippedSamples()
    samples = read_samples(root, "train", TAXONOMY, skipped)
    assert [(sample.clip.name, sample.frame_index) for sample in samples] == [("walker-01", 3), ("_dash.dot", 4)]
    assert [reason.split(": ")[0] for reason in skipped.reasons] == [f"{root}/list/train.txt:{row}" for row in (1, 3)]


def test_a_reason_counts_once() -> None:
    skipped = SkippedSamples()
    for _ in range(2):
        skipped.add("list.csv:2", "broken\nin two lines")
    skipped.add("list.csv:3", "list.csv:3: no such file")
    assert skipped.reasons == ["list.csv:2: broken in two lines", "list.csv:3: no such file"]
    assert len(skipped) == 2
