"""Reading the three data set layouts, and rejecting invalid ones."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from fake_a2d import CLIPS, FakeClip, write_clips_csv, write_course, write_mat, write_release, write_rows, write_video

from a2d.dataset import clip_labels, read_samples, split_names
from a2d.formats.base import Sample
from a2d.taxonomy import load_taxonomy
from common.errors import DatasetError

TAXONOMY = load_taxonomy()
VAL_CLIP = FakeClip("cat-03", "val", {1: (66,)})


# --- What is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", ["", "Release"], ids=["folder itself", "its Release"])
def test_release_has_one_sample_per_annotated_frame(tmp_path: Path, subfolder: str) -> None:
    root = write_release(tmp_path / subfolder)
    walker, bird = (root / "clips320H" / f"{vid}.mp4" for vid in ("walker-01", "_dash.dot"))
    assert read_samples(tmp_path, "train", TAXONOMY) == [
        Sample(walker, 0, ("adult-walking",), "train", "walker-01"),
        Sample(walker, 3, ("adult-walking", "dog-jumping"), "train", "walker-01"),
        Sample(bird, 1, ("bird-eating",), "train", "_dash.dot"),
        Sample(bird, 4, ("bird-flying",), "train", "_dash.dot"),
    ]


def test_course_has_one_sample_per_listed_frame(tmp_path: Path) -> None:
    write_course(tmp_path, [*CLIPS, VAL_CLIP])
    clip = tmp_path / "pngs320H" / "_dash.dot"
    assert read_samples(tmp_path, "train", TAXONOMY)[2] == Sample(clip, 1, ("bird-eating",), "train", "_dash.dot")
    assert len(read_samples(tmp_path, "train", TAXONOMY)) == 4
    assert [sample.group for sample in read_samples(tmp_path, "val", TAXONOMY)] == ["cat-03"]


def test_csv_has_one_sample_per_clip(tmp_path: Path) -> None:
    path = write_clips_csv(tmp_path)
    clip = tmp_path / "clips" / "ball_02.mp4"
    expected = [Sample(clip, None, ("adult-eating", "ball-rolling"), "test", "ball_02.mp4")]
    assert read_samples(path, "test", TAXONOMY) == expected
    assert read_samples(tmp_path, "test", TAXONOMY) == expected


@pytest.mark.parametrize("write", [write_release, write_course], ids=["release", "course"])
def test_annotated_frames_have_labels_in_vector_order(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    labels = [sample.labels for sample in read_samples(write(tmp_path), "test", TAXONOMY)]
    assert labels == [("adult-eating", "ball-rolling"), ()]  # a frame without any label remains


@pytest.mark.parametrize(
    ("write", "names"),
    [
        pytest.param(write_release, ("train", "test"), id="release"),
        pytest.param(write_course, ("train", "val", "test"), id="course"),
        pytest.param(write_clips_csv, ("train", "test"), id="csv"),
        pytest.param(lambda root: write_release(root, CLIPS[2:]), ("test",), id="release without train"),
        pytest.param(
            lambda root: write_course(root, splits=["val", "train"]), ("train", "val"), id="course with two lists"
        ),
        pytest.param(lambda root: write_clips_csv(root, CLIPS[::-1]), ("test", "train"), id="csv in file order"),
    ],
)
def test_split_names_of_each_layout(tmp_path: Path, write: Callable[[Path], Path], names: tuple[str, ...]) -> None:
    assert split_names(write(tmp_path)) == names


def test_course_lists_take_precedence_over_videoset_csv(tmp_path: Path) -> None:
    write_course(write_release(tmp_path))
    assert read_samples(tmp_path, "train", TAXONOMY)[0].clip.parent.name == "pngs320H"


def test_only_files_of_the_requested_split_must_exist(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "clips320H" / "ball_02.mp4").unlink()
    shutil.rmtree(tmp_path / "Annotations" / "mat" / "ball_02")
    assert len(read_samples(tmp_path, "train", TAXONOMY)) == 4


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """A byte order mark, Windows line endings, spaces, other columns, blank lines, a line break in a cell."""
    clip = write_video(tmp_path / "elsewhere" / "a clip.mp4")
    text = (
        f'split, labels, file, remark\r\n\r\nmine," dog-running  adult-walking dog-running ",{clip},"two\r\nlines"\r\n'
    )
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    expected = [Sample(clip, None, ("adult-walking", "dog-running"), "mine", "a clip.mp4")]
    assert read_samples(path, "mine", TAXONOMY) == expected
    assert read_samples(tmp_path, "mine", TAXONOMY) == expected


def test_csv_source_is_the_group(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4")
    rows = [["a.mp4", "car-none", "train", "someone"], ["b.mp4", "car-none", "train", ""]]
    write_rows(tmp_path / "clips.csv", [["file", "labels", "split", "source"], *rows])
    assert [sample.group for sample in read_samples(tmp_path, "train", TAXONOMY)] == ["someone", "b.mp4"]


def test_kit_has_separate_train_and_test_sources(kit: Path) -> None:
    assert {"train", "test"} <= set(split_names(kit))
    train, test = (read_samples(kit, split, TAXONOMY) for split in ("train", "test"))  # checks labels and files
    assert train
    assert test
    assert all(sample.labels and sample.clip.is_file() for sample in [*train, *test])
    assert not {sample.group for sample in train} & {sample.group for sample in test}
    # UCF101 is split by its groups, `<repository>#<class>-g<number>`, all other footage by repository.
    train_repositories, test_repositories = (
        {sample.group.partition("#")[0] for sample in samples if not re.search(r"#\w+-g\d\d$", sample.group)}
        for samples in (train, test)
    )
    assert not train_repositories & test_repositories


def test_clip_labels_pools_frames() -> None:
    a, b = Path("a.mp4"), Path("b.mp4")
    samples = [
        Sample(b, 0, ("dog-none", "dog-running"), "train", "b"),
        Sample(a, 7, (), "train", "a"),
        Sample(b, 4, ("adult-none", "dog-none"), "train", "b"),
    ]
    labels = clip_labels(samples)
    assert labels == {b: ("dog-none", "dog-running", "adult-none"), a: ()}
    assert list(labels) == [b, a]
    assert clip_labels([]) == {}


def test_import_loads_no_heavy_library() -> None:
    code = "import sys, a2d.dataset; print(sorted({'torch', 'cv2', 'av', 'h5py'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- Invalid data sets ------------------------------------------------------------------------------------------------


def test_missing_data_set_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: no such file or folder"):
        split_names(tmp_path / "nowhere")


def test_unknown_layout_is_rejected(tmp_path: Path) -> None:
    write_rows(tmp_path / "frames.csv", [["file", "source"], ["a.jpg", "b"]])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"looked for videoset\.csv .*train\.txt.*columns file, labels, split"):
        split_names(tmp_path)


def test_several_csv_lists_are_rejected(tmp_path: Path) -> None:
    shutil.copy(write_clips_csv(tmp_path), tmp_path / "again.csv")
    with pytest.raises(DatasetError, match=r"several CSVs list clips, name one: again\.csv, clips\.csv"):
        split_names(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", r"clips\.csv: the column 'file' is missing", id="empty file"),
        pytest.param("file,split\n", r"column 'labels' is missing; the header has: file, split", id="no column"),
        pytest.param("file,labels,split\n", r"clips\.csv: there is no row below the header", id="no row"),
        pytest.param("file,labels,split\na.mp4,car-none\n", r"clips\.csv:2: 3 cells .* found 2", id="short row"),
        pytest.param("file,labels,split\n\na.mp4,car-none,train,x\n", r"csv:3: 3 cells .* found 4", id="long row"),
        pytest.param("file,labels,split\na.mp4,car-none,\n", r"csv:2: the cell 'split' is empty", id="no split"),
        pytest.param("file,labels,split\n,car-none,test\n", r"csv:2: the cell 'file' is empty", id="no file"),
        pytest.param('file,labels,split\n"a.mp4,car-none,test\n', r"csv:2: not a readable CSV", id="open quote"),
        pytest.param("file,labels,split\na,x,b\na,x,c\n", r"csv:3: .*a is listed twice, .*csv:2", id="twice"),
    ],
)
def test_malformed_csv_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_samples(path, "train", TAXONOMY)


def test_binary_csv_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.mp4: not a readable text file"):
        split_names(write_video(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("a.mp4,dog-runing,train", r"csv:3: unknown label 'dog-runing'; did you mean 'dog-r", id="typo"),
        pytest.param("a.mp4,ball-eating,train", r"csv:3: unknown label 'ball-eating'", id="invalid pair"),
        pytest.param("b.mp4,car-none,train", r"csv:3: no such file: .*b\.mp4", id="no clip"),
    ],
)
def test_unusable_csv_row_is_rejected_in_its_split_only(tmp_path: Path, row: str, message: str) -> None:
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "good.mp4")
    (tmp_path / "clips.csv").write_text(f"file,labels,split\ngood.mp4,car-none,test\n{row}\n")
    assert len(read_samples(tmp_path, "test", TAXONOMY)) == 1
    with pytest.raises(DatasetError, match=message):
        read_samples(tmp_path, "train", TAXONOMY)


@pytest.mark.parametrize(
    ("write", "allowed"),
    [
        pytest.param(write_release, "train, test", id="release"),
        pytest.param(write_course, "train, val, test", id="course"),
        pytest.param(write_clips_csv, "train, test", id="csv"),
    ],
)
def test_unknown_split_is_rejected(tmp_path: Path, write: Callable[[Path], Path], allowed: str) -> None:
    with pytest.raises(DatasetError, match=rf"unknown split 'tset'; did you mean 'test'\? \(allowed: {allowed}\)"):
        read_samples(write(tmp_path), "tset", TAXONOMY)


def test_empty_course_split_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"list: the split 'val' is empty"):
        read_samples(write_course(tmp_path), "val", TAXONOMY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("v,18,0,1,32,48,6,2\n", r"videoset\.csv:1: 9 cells were expected, found 8", id="short row"),
        pytest.param(
            "\nv,18,0,1,32,48,6,2,2\n", r"videoset\.csv:2: .* 0 \(train\) or 1 \(test\), found '2'", id="flag"
        ),
        pytest.param(",18,0,1,32,48,6,2,0\n", r"videoset\.csv:1: the first cell, .*, is empty", id="no vid"),
        pytest.param("", r"videoset\.csv: the file is empty", id="empty"),
    ],
)
def test_malformed_videoset_is_rejected(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "videoset.csv").write_text(line)
    with pytest.raises(DatasetError, match=message):
        split_names(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("00001", r"train\.txt:2: <vid>/<frame> was expected, found '00001'", id="no vid"),
        pytest.param("a/b", r"train\.txt:2: a frame number from 1 was expected, found 'b'", id="not a number"),
        pytest.param("a/00000", r"train\.txt:2: a frame number from 1 was expected, found '00000'", id="frame 0"),
        pytest.param("a/²", r"train\.txt:2: a frame number from 1 was expected, found '²'", id="superscript"),
    ],
)
def test_malformed_course_list_is_rejected_in_every_split(tmp_path: Path, line: str, message: str) -> None:
    write_course(tmp_path)
    (tmp_path / "list" / "train.txt").write_text(f"walker-01/00001\n{line}\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_samples(tmp_path, "test", TAXONOMY)


def test_missing_files_of_a_release_are_rejected(tmp_path: Path) -> None:
    write_release(tmp_path)
    shutil.rmtree(tmp_path / "Annotations" / "mat" / "_dash.dot")
    with pytest.raises(DatasetError, match=r"videoset\.csv:2: no annotation \(\.mat file\) in .*_dash\.dot"):
        read_samples(tmp_path, "train", TAXONOMY)
    (tmp_path / "clips320H" / "walker-01.mp4").unlink()
    with pytest.raises(DatasetError, match=r"videoset\.csv:1: no such file: .*walker-01\.mp4"):
        read_samples(tmp_path, "train", TAXONOMY)


def test_missing_files_of_the_course_are_rejected(tmp_path: Path) -> None:
    write_course(tmp_path)
    (tmp_path / "Annotations" / "mat" / "walker-01" / "00004.mat").unlink()
    with pytest.raises(DatasetError, match=r"train\.txt:2: no annotation .*00004\.mat$"):
        read_samples(tmp_path, "train", TAXONOMY)
    (tmp_path / "pngs320H" / "walker-01" / "00001.png").unlink()
    with pytest.raises(DatasetError, match=r"train\.txt:1: no such file: .*00001\.png"):
        read_samples(tmp_path, "train", TAXONOMY)


def test_withheld_course_labels_are_reported(tmp_path: Path) -> None:
    write_course(tmp_path, withheld="test")
    with pytest.raises(DatasetError, match=r"test\.txt:1: no annotation .* withheld the labels of its test split"):
        read_samples(tmp_path, "test", TAXONOMY)


def test_unusable_annotations_are_rejected(tmp_path: Path) -> None:
    write_release(tmp_path, CLIPS[:1])
    mat = tmp_path / "Annotations" / "mat" / "walker-01" / "00004.mat"

    write_mat(mat, [18, 14])  # adults do not fly
    with pytest.raises(DatasetError, match=r"videoset\.csv:1: .*00004\.mat: unknown label id 14"):
        read_samples(tmp_path, "train", TAXONOMY)

    mat.write_bytes(mat.read_bytes()[:600])
    with pytest.raises(DatasetError, match=r"00004\.mat: not a readable MATLAB 7\.3 \(HDF5\) file \(.*\)$"):
        read_samples(tmp_path, "train", TAXONOMY)

    with h5py.File(mat, "w") as file:
        file["id"] = [18.0]
    with pytest.raises(DatasetError, match=r"00004\.mat: not an A2D annotation \(no readable 'reS_id'\)"):
        read_samples(tmp_path, "train", TAXONOMY)

    mat.rename(mat.with_name("0x4.mat"))
    with pytest.raises(DatasetError, match=r"0x4\.mat: a frame number from 1 was expected, found '0x4'"):
        read_samples(tmp_path, "train", TAXONOMY)
