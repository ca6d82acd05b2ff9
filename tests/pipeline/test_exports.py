"""Exports, each read by the library of the tool that it is for; and what all of them have in common."""

import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webvtt
from export_results import EXPECTED, NASTY, tagged, write_results
from fake_a2d import moving_square, write_video
from praatio import textgrid
from pycocotools.coco import COCO
from pympi import Eaf
from result_rows import folder, row

from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.exports.formats import FORMATS, default_path, write_export
from pipeline.exports.text import clean
from pipeline.results_reader import open_results, read_results

PARAMETRIZE_FORMATS = pytest.mark.parametrize("name", FORMATS)
FOLDERS = [name for name, form in FORMATS.items() if not form.suffix]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, and results about them."""
    path = tmp_path_factory.mktemp("exported")
    write_results(path)
    return path


def export(root: Path, name: str, out: Path, *options: str) -> Path:
    """Export by the command."""
    assert main(["export", str(root / "results"), "--to", name, "--out", str(out), *options]) == console.DONE
    return out


def content(path: Path) -> dict[str, bytes]:
    """Return the files of an export by their names."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: file.read_bytes() for file in files}


# --- Each format, read by the tool's own library ----------------------------------------------------------------------


def test_coco_is_read_by_pycocotools(root, tmp_path, taxonomy, capsys):
    coco = COCO(export(root, "coco", tmp_path / "coco.json"))
    assert {entry["name"]: entry["id"] for entry in coco.loadCats(coco.getCatIds())} == {
        label.name: label.id for label in taxonomy.labels
    }
    videos = {video["id"]: video for video in coco.dataset["videos"]}
    names = [Path(clean(name)).stem for name in EXPECTED]
    names[2] = "Truncated-2"
    assert [video["name"] for video in videos.values()] == names
    images = coco.loadImgs(coco.getImgIds())
    assert [(image["video_id"], image["frame_id"]) for image in images] == [(1, 0), (1, 4), (2, 0), (2, 4)]
    assert images[1]["file_name"].endswith("/frame_000004.png")
    assert {(image["width"], image["height"]) for image in images} == {(48, 32)}
    walking, none = taxonomy.label("adult-walking").id, taxonomy.label("adult-none").id
    boxes = [
        (entry["image_id"], entry["category_id"], entry["bbox"], entry["score"])
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=[images[0]["id"], images[1]["id"]]))
    ]
    assert boxes == [
        (1, walking, [4.0, 2.0, 20.0, 28.0], 0.9),
        (2, walking, [10.0, 2.0, 38.0, 30.0], 0.7),
        (2, none, [10.0, 2.0, 38.0, 30.0], 0.5),
    ]
    assert coco.loadRes(coco.loadAnns(coco.getAnnIds())).getAnnIds() == coco.getAnnIds(), "they are detections, too"


def test_chapters_are_read_by_webvtt(root, tmp_path):
    out = export(root, "webvtt", tmp_path / "out")
    assert len(list(out.iterdir())) == len(EXPECTED)
    for path in out.iterdir():
        webvtt.read(path)
    captions = webvtt.read(out / f"{Path(NASTY).stem}.vtt")
    assert [(caption.start, caption.end, caption.text) for caption in captions] == [
        ("00:00:00.000", "00:00:00.200", "adult-walking"),
        ("00:00:00.300", "00:00:00.600", "adult-walking, adult-none"),
    ]
    assert len(webvtt.read(out / "truncated.vtt")) == 2
    assert len(webvtt.read(out / "Truncated-2.vtt")) == 0


def test_hours_in_chapters(tmp_path, taxonomy):
    label = tagged(tmp_path / "a.mp4").labels[0]
    long = type(label)(label.label, label.id, label.score, ((3599.9995, 360_001.25),))
    write_export([row("/a.mp4", labels=(long,))], "webvtt", tmp_path / "out", taxonomy)
    (caption,) = webvtt.read(tmp_path / "out" / "a.vtt")
    assert (caption.start, caption.end) == ("01:00:00.000", "100:00:01.250")


def test_elan_files_are_read_by_pympi(root, tmp_path):
    out = export(root, "elan", tmp_path / "out")
    eaf = Eaf(out / f"{Path(NASTY).stem}.eaf")
    assert sorted(eaf.get_tier_names()) == ["adult-none", "adult-walking"]
    annotations = [entry[:3] for entry in eaf.get_annotation_data_for_tier("adult-walking")]
    assert sorted(annotations) == [(0, 200, "adult-walking"), (300, 600, "adult-walking")]
    (media,) = eaf.get_linked_files()
    clip = root / "clips" / NASTY
    assert media["MEDIA_URL"] == clip.as_uri()
    assert media["MIME_TYPE"] == "video/mp4"
    assert not list(Eaf(out / "Truncated-2.eaf").get_tier_names())


def test_text_grids_are_read_by_praatio(root, tmp_path):
    out = export(root, "praat", tmp_path / "out")
    grid = textgrid.openTextgrid(out / f"{Path(NASTY).stem}.TextGrid", includeEmptyIntervals=True)
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 0.6)
    assert [tuple(entry) for entry in grid.getTier("adult-walking").entries] == [
        (0.0, 0.2, "adult-walking"),
        (0.2, 0.3, ""),
        (0.3, 0.6, "adult-walking"),
    ]
    assert [tuple(entry) for entry in grid.getTier("adult-none").entries] == [(0, 0.3, ""), (0.3, 0.6, "adult-none")]
    empty = textgrid.openTextgrid(out / "Truncated-2.TextGrid", includeEmptyIntervals=True)
    assert [tuple(entry) for entry in empty.getTier("(no label)").entries] == [(0, 0.6, "")]


def test_parquet_has_all_that_is_in_a_row(root, tmp_path):
    table = pq.read_table(export(root, "parquet", tmp_path / "rows.parquet"))
    rows = {entry["path"]: entry for entry in table.to_pylist()}
    assert len(rows) == table.num_rows == len(EXPECTED) + 2
    for result in read_results(root / "results"):
        found, expected = rows[clean(result.path)], result.to_dict()
        for key in ("sha256", "status", "error", "frames", "fps", "duration_seconds"):
            assert found[key] == expected[key]
        assert {entry["label"]: entry["score"] for entry in found["scores"]} == expected["scores"]
        for entry, label in zip(found["labels"], result.labels, strict=True):
            spans = tuple((span["start_seconds"], span["end_seconds"]) for span in entry["segments"])
            assert (entry["label"], entry["id"], entry["score"], spans) == tuple(vars(label).values())
        for entry in found["actors"]:
            evidence = result.actors[entry["actor"]]
            assert (entry["presence"], tuple(entry["frames"])) == (evidence.presence, evidence.frames)
            assert tuple(map(tuple, entry["boxes"])) == evidence.boxes
        for entry in found["timeline"]:
            curves = {curve["label"]: tuple(curve["scores"]) for curve in entry["scores"]}
            assert curves == result.timeline[entry["actor"]].scores
        assert found["weights"]["detector"] == result.weights.detector


def test_parquet_is_written_in_groups(tmp_path, taxonomy, monkeypatch):
    monkeypatch.setattr("pipeline.exports.parquet.ROWS_PER_GROUP", 3)
    write_export((row(f"/{number}.mp4") for number in range(8)), "parquet", tmp_path / "out.parquet", taxonomy)
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)] == [3, 3, 2]


def test_without_pyarrow_the_command_says_how_to_install_it(root, tmp_path):
    code = "import sys; sys.modules['pyarrow'] = None; from pipeline.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "export", str(root / "results"), "--to", "parquet"]
    done = subprocess.run([*command, "--out", str(tmp_path / "x")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (console.WRONG_USAGE, "")
    assert "pip install pyarrow" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


# --- What all formats have in common ----------------------------------------------------------------------------------


@PARAMETRIZE_FORMATS
def test_the_same_results_give_the_same_bytes(root, tmp_path, name):
    first, second = (content(export(root, name, tmp_path / part / "out")) for part in ("a", "b"))
    assert first.keys() == second.keys()
    for file in first:
        assert first[file] == second[file]
    assert not [path for path in tmp_path.rglob(".*")], "no temporary file is left"


@PARAMETRIZE_FORMATS
def test_clips_that_failed_are_left_out_and_counted(root, tmp_path, name, capsys):
    out = export(root, name, tmp_path / "out")
    printed = capsys.readouterr()
    if name == "parquet":
        assert printed.out == f"wrote {out} (6 clips)\n"
        assert printed.err == ""
    else:
        assert printed.out.endswith(f"wrote {out} (4 clips)\n")
        assert "left out: 2 clips that could not be read when tagged" in printed.err
        assert not any(b"none.mp4" in part for part in content(out).values())


@PARAMETRIZE_FORMATS
def test_text_is_valid_unicode_whatever_a_file_is_called(tmp_path, name, taxonomy):
    path = "/clips/" + os.fsdecode(b"\xff\x02.mp4")
    write_export([tagged(Path(path))], name, tmp_path / "out", taxonomy)
    for file, data in content(tmp_path / "out").items():
        if name == "parquet":
            assert pq.read_table(tmp_path / file)["path"].to_pylist() == ["/clips/\\udcff\\x02.mp4"]
        else:
            assert data.decode()
            assert b"\x02" not in data


@PARAMETRIZE_FORMATS
def test_no_clip_at_all(tmp_path, name, taxonomy):
    with folder(tmp_path / "results"):
        pass
    export(tmp_path, name, tmp_path / "out")
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["coco", "fiftyone", "label-studio"])
@pytest.mark.parametrize("change", ["moved", "another clip"])
def test_boxes_need_the_size_of_the_frames(tmp_path, taxonomy, name, change, capsys):
    clip = write_results(tmp_path).parent / "clips" / "truncated.mp4"
    clip.unlink()
    if change == "another clip":
        write_video(clip, moving_square(height=16, width=16))
    export(tmp_path, name, tmp_path / "out")
    assert "without boxes: 1 clip of which the size of the frames is not known" in capsys.readouterr().err


@PARAMETRIZE_FORMATS
def test_an_unknown_label_is_an_error_and_nothing_is_written(tmp_path, name, taxonomy):
    label = tagged(tmp_path / "a.mp4").labels[0]
    horse = type(label)("horse-running", 87, 0.9, label.segments)
    with folder(tmp_path / "results") as results:
        results.add(tagged(tmp_path / "a.mp4"))
        results.add(tagged(tmp_path / "b.mp4", labels=(horse,)))
    command = ["export", str(tmp_path / "results"), "--to", name, "--out", str(tmp_path / "out")]
    if name == "parquet":  # whose rows mean the same whatever the taxonomy
        assert main(command) == console.DONE
        return
    assert main(command) == console.WRONG_USAGE
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_an_unknown_label_is_named(tmp_path, taxonomy):
    label = tagged(tmp_path / "a.mp4").labels[0]
    horse = type(label)("horse-running", 87, 0.9, label.segments)
    with pytest.raises(ValueError, match=r"b\.mp4: unknown label 'horse-running'.*give the --taxonomy"):
        write_export([tagged(tmp_path / "b.mp4", labels=(horse,))], "coco", tmp_path / "out", taxonomy)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_with_files_is_not_written_to(root, tmp_path, name, capsys):
    (tmp_path / "mine.txt").write_text("")
    command = ["export", str(root / "results"), "--to", name, "--out"]
    assert main([*command, str(tmp_path)]) == console.WRONG_USAGE
    assert "is not an empty folder; name another --out" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "mine.txt")]) == console.WRONG_USAGE
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert main([*command, str(tmp_path / "empty")]) == console.DONE


def test_the_default_is_in_the_folder_of_results(root, tmp_path):
    shutil.copytree(root / "results", tmp_path / "results")
    for _ in range(2):
        assert main(["export", str(tmp_path / "results"), "--to", "coco"]) == console.DONE
    assert (tmp_path / "results" / "export-coco.json").is_file()
    assert default_path(Path("x"), "cvat") == Path("x/export-cvat")


def test_results_are_read_while_they_are_written(tmp_path, taxonomy):
    """What was read and is not needed any more is gone before the next clip is asked for: memory does not grow."""
    alive: list[weakref.ref] = []

    def results():
        for number in range(6):
            result = tagged(tmp_path / f"{number}.mp4")
            alive.append(weakref.ref(result))
            yield result
            del result
            assert sum(ref() is not None for ref in alive) <= 2

    for name in FORMATS:
        alive.clear()
        if name != "parquet":  # which keeps a group
            write_export(results(), name, tmp_path / name, taxonomy)


def test_open_results_reads_the_newest_row_of_each_clip(tmp_path):
    lines = [json.dumps(row(f"/{name}.mp4", fps=fps).to_dict()) for name, fps in (("a", 1.0), ("b", 2.0), ("a", 3.0))]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + '\n{"schema": 2, "vid')
    with open_results(tmp_path) as stored:
        assert len(stored) == 2
        for _ in range(2):
            assert [(result.video, result.fps) for result in stored] == [("/b.mp4", 2.0), ("/a.mp4", 3.0)]


def test_a_folder_without_results_is_named(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--to", "coco"]) == console.WRONG_USAGE
    assert "no results.jsonl there" in capsys.readouterr().err
    assert not (tmp_path / "export-coco.json").exists()
