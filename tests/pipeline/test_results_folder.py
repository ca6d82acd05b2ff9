"""A folder of results: one row per clip, whatever the clip is called, whoever edits the files, and however runs end."""

import csv
import gc
import json
import os
import pickle
import shutil
import socket
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from result_rows import PROCESSES, WEIGHTS, clip, failed, fill, folder, row, rows_of, write_one, write_until_full

from common.errors import UserError
from pipeline import results_folder
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.results import COLUMNS, OPTIONAL_COLUMNS
from pipeline.results_folder import format_csv
from pipeline.results_rows import RowSummary, StoredResult

OTHER_HEAD = replace(WEIGHTS, heads={**WEIGHTS.heads, "dog": "e" * 64})


def videos_of(path: Path) -> list[str]:
    return [entry["video"] for entry in rows_of(path / "results.jsonl")]


def csv_of(path: Path) -> list[dict[str, str]]:
    with (path / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def append_only(monkeypatch):
    """Treat every file as a large one, which is not rewritten before the run ends."""
    monkeypatch.setattr(results_folder, "SMALL_BYTES", 0)


# A run is continued


def test_a_second_run_continues_where_the_first_was_killed(tmp_path):
    first = folder(tmp_path)
    first.add(row("a.mp4"))
    first.add(failed("b.mp4"))
    with first.jsonl.open("a") as file:
        file.write('{"schema": 1, "video": "c.m')  # killed in the middle of a line
    second = folder(tmp_path)
    assert second.find("a.mp4") == row("a.mp4")
    assert second.find("b.mp4") is None, "a failure is tried again"
    assert second.find("c.mp4") is None
    assert [entry["status"] for entry in rows_of(second.jsonl)] == ["ok", "error"], "and its row remains until then"
    second.add(row("c.mp4"))
    second.add(row("b.mp4"))
    assert [entry["video"] for entry in rows_of(second.jsonl)] == ["a.mp4", "b.mp4", "c.mp4"]
    assert {entry["status"] for entry in rows_of(second.jsonl)} == {"ok"}


def test_a_row_that_was_cut_anywhere_is_dropped(tmp_path):
    with folder(tmp_path) as results:
        results.add(row("a.mp4"))
        results.add(failed("b.mp4"))
    whole = results.jsonl.read_bytes()
    first, second, _ = whole.split(b"\n")
    for length in (*range(15), *range(15, len(second), 60), len(second) - 1):
        results.jsonl.write_bytes(first + b"\n" + second[:length])
        with folder(tmp_path) as results:
            assert results.jsonl.read_bytes() == first + b"\n"
    results.jsonl.write_bytes(first + b"\n" + second[:9] + bytes(4096))  # the power failed
    with folder(tmp_path) as results:
        results.add(failed("b.mp4"))
    assert results.jsonl.read_bytes() == whole


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 3, 1, 4)], ids=str)
def test_rows_are_found_in_any_order_and_while_others_are_written(tmp_path, append_only, order):
    fill(tmp_path, 5)
    with folder(tmp_path) as results:
        assert results.find(clip(3)).frames == 74
        assert results.find(clip(7)) is None
        for number in order:
            assert results.find(clip(number)).frames == 74
            assert results.find(clip(number)).path == clip(number)
        results.find(clip(0))
        results.find(clip(9))  # the row of clip 1 is the next in the file
        results.add(row(clip(1), frames=1))
        results.add(row(clip(5), frames=5))
        assert [results.find(clip(number)).frames for number in (1, 2, 5, 1)] == [1, 74, 5, 1]
    with folder(tmp_path) as results:
        assert [results.find(clip(number)).frames for number in range(6)] == [74, 1, 74, 74, 74, 5]


def test_an_editor_that_drops_the_last_line_break_loses_no_row(tmp_path):
    with folder(tmp_path) as results:
        results.add(row("a.mp4"))
    whole = results.jsonl.read_bytes()
    results.jsonl.write_bytes(whole.rstrip(b"\n"))
    with folder(tmp_path) as results:
        assert results.find("a.mp4")
        results.add(row("b.mp4"))
    assert videos_of(tmp_path) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    "name",
    ["b\u2028.mp4", "b\u0085.mp4", "b\udcff.mp4", "b c.mp4", "ünï.mp4", "b\nc.mp4", 'b".mp4', "b\\.mp4", "b,\r.mp4"],
    ids=ascii,
)
def test_no_file_name_breaks_a_row(tmp_path, name):
    with folder(tmp_path) as first:
        for video in ("a.mp4", name, "c.mp4"):
            first.add(row(video))
    with folder(tmp_path) as second:
        assert [second.find(video) for video in ("a.mp4", name, "c.mp4")] == [row("a.mp4"), row(name), row("c.mp4")]
    assert len(rows_of(second.jsonl)) == 3
    assert len(csv_of(tmp_path)) == 3


# Which rows belong to the same clip


def test_two_clips_of_the_same_relative_name_have_a_row_each(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with folder(tmp_path / "out") as results:
            assert results.find("x.mp4") is None
            results.add(row("x.mp4", error=name))
    entries = rows_of(tmp_path / "out" / "results.jsonl")
    assert [entry["path"] for entry in entries] == [f"{tmp_path}/{name}/x.mp4" for name in ("a", "b")]
    assert [entry["video"] for entry in entries] == ["x.mp4", "x.mp4"], "as given"
    monkeypatch.chdir(tmp_path)
    with folder(tmp_path / "out") as results:
        assert [results.find(f"{name}/x.mp4").error for name in ("a", "b")] == ["a", "b"]


@pytest.mark.parametrize(
    "spelling", ["./a.mp4", "sub/../a.mp4", "{}/a.mp4", "link/a.mp4", "link/sub/../a.mp4", ".//a.mp4", "sub/up/a.mp4"]
)
def test_a_clip_has_one_row_however_its_path_is_spelled(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "sub" / "up").symlink_to("..")
    with folder(tmp_path / "out") as results:
        results.add(row("a.mp4"))
        assert results.find(spelling.format(tmp_path))
        results.add(row(spelling.format(tmp_path), frames=75))
        assert [entry["frames"] for entry in rows_of(results.jsonl)] == [75]
    monkeypatch.chdir(tmp_path / "sub")
    with folder(tmp_path / "out") as results:
        assert results.find("../a.mp4")
        assert results.find(str(tmp_path / "link" / "a.mp4"))


@pytest.mark.parametrize("other", ["A.mp4", "b.mp4", "sub/a.mp4", "a.mp4 ", "a.mp4.mp4", "e\u0301.mp4"])
def test_different_clips_have_different_rows(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.mp4").symlink_to("a.mp4")  # two links to one file are two clips
    with folder(tmp_path / "out") as results:
        results.add(row("a.mp4"))
        results.add(row("\u00e9.mp4"))
        assert results.find(other) is None
        results.add(row(other))
    assert len(rows_of(results.jsonl)) == len(csv_of(tmp_path / "out")) == 3


def test_a_folder_of_frames_is_one_clip(tmp_path, monkeypatch):
    (tmp_path / "frames").mkdir()
    monkeypatch.chdir(tmp_path / "frames")
    with folder(tmp_path / "out") as results:
        results.add(row("."))
        for spelling in ("../frames", "../frames/", str(tmp_path / "frames"), "./", "../frames/."):
            assert results.find(spelling), spelling
            results.add(row(spelling))
    assert len(rows_of(results.jsonl)) == 1


def test_rows_of_earlier_versions_refer_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with folder(tmp_path / "out") as results:
        pass
    entries = [row("a.mp4").to_dict(), row(str(tmp_path / "b.mp4")).to_dict(), failed("c.mp4").to_dict()]
    for entry in entries:
        del entry["path"]
        for evidence in entry["actors"].values():
            evidence.pop("windows", None)
    before = "".join(json.dumps(entry) + "\n" for entry in entries)
    results.jsonl.write_text(before)
    for _ in range(2):
        with folder(tmp_path / "out") as results:
            assert results.find("a.mp4") == row("a.mp4")
            assert results.find("b.mp4")
    assert results.jsonl.read_text() == before, "they stay as they are"
    monkeypatch.chdir(tmp_path / "other")
    with folder(tmp_path / "out") as results:
        assert results.find("a.mp4").path == f"{tmp_path}/other/a.mp4"
        assert results.find("../b.mp4")
        results.add(row("../b.mp4"))
    monkeypatch.chdir(tmp_path)
    with folder(tmp_path / "out") as results:
        assert results.find("a.mp4")
        results.add(row("c.mp4"))
    assert videos_of(tmp_path / "out") == ["a.mp4", "../b.mp4", "c.mp4"]
    assert [entry.get("path") for entry in rows_of(results.jsonl)] == [None, f"{tmp_path}/b.mp4", f"{tmp_path}/c.mp4"]


# Rows are appended


def test_a_row_is_appended_whatever_the_file_contains(tmp_path, append_only):
    with folder(tmp_path) as results:
        for number in range(5):
            results.add(failed(clip(number)))
    before, inode = results.jsonl.read_bytes(), results.jsonl.stat().st_ino
    with folder(tmp_path) as results:
        results.add(failed(clip(3), "no such file"))
        assert results.jsonl.read_bytes() == before, "a clip that fails as before changes nothing"
        results.add(failed(clip(3), "no space"))
        results.add(row(clip(1)))
        results.add(row(clip(1), frames=1))
        results.add(row(clip(5)))
        assert results.jsonl.read_bytes().startswith(before)
        assert videos_of(tmp_path) == [*map(clip, (0, 1, 2, 3, 4, 3, 1, 1, 5))], "the last row of a clip counts"
        assert results.jsonl.stat().st_ino == inode
        assert results.find(clip(1)).frames == 1
    assert videos_of(tmp_path) == [*map(clip, range(6))], "in the order in which the clips came first"
    statuses = ["error", "ok", "error", "error", "error", "ok"]
    assert [entry["status"] for entry in rows_of(results.jsonl)] == statuses
    assert "no space" in rows_of(results.jsonl)[3]["error"]
    assert [line["status"] for line in csv_of(tmp_path)] == statuses
    with folder(tmp_path) as results:
        assert [bool(results.find(clip(number))) for number in range(6)] == [status == "ok" for status in statuses]
        assert results.find(clip(1)).frames == 1


def test_what_a_killed_run_left_twice_is_there_once_after_the_next(tmp_path, append_only):
    results = folder(tmp_path)
    results.add(failed("a.mp4"))
    results.add(row("b.mp4"))
    results.add(row("a.mp4"))
    for name in ("results.jsonl", "results.jsonl.tmp", "results.csv.tmp", "results.index.sqlite.tmp", "run.json.tmp"):
        shutil.copy(results.jsonl, tmp_path / f".{name}")
    with folder(tmp_path) as results:
        assert results.find("a.mp4") == row("a.mp4")
    assert videos_of(tmp_path) == ["a.mp4", "b.mp4"]
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_spreadsheet_contains_all_rows(tmp_path):
    with folder(tmp_path) as results:
        results.add(failed("0.mp4"))
    assert [*csv_of(tmp_path)[0]] == ["video", "status", "labels", "frames", "fps", "duration_seconds", "error"]
    added = [failed("0.mp4"), row("a.mp4"), row("b, c.mp4", actors={"dog": row().actors["dog"]}), failed("d.mp4")]
    for result in added[1:]:
        with folder(tmp_path) as results:
            results.add(result)
    assert (tmp_path / "results.csv").read_text() == format_csv(added)
    with folder(tmp_path) as results:
        results.add(row("e.mp4", actors={"unicorn, or horse": row().actors["person"]}))
    lines = csv_of(tmp_path)
    assert [line["video"] for line in lines] == ["0.mp4", "a.mp4", "b, c.mp4", "d.mp4", "e.mp4"]
    assert [line["presence_unicorn, or horse"] for line in lines] == ["", "", "", "", "0.93"]
    assert [line["presence_dog"] for line in lines] == ["", "0.0", "0.0", "", ""]


def test_results_are_parsed_when_they_are_asked_for(tmp_path):
    with folder(tmp_path) as results:
        results.add(row("a.mp4"))
        found = results.find("a.mp4")
        assert isinstance(found, StoredResult)
        assert (found.video, found.status, found.sha256) == ("a.mp4", "ok", "c" * 64)
        assert isinstance(found, StoredResult), "that much is known without"
        assert found.labels[0].label == "adult-walking"
        assert not isinstance(found, StoredResult)
        assert found == row("a.mp4")
        assert row("a.mp4") == results.find("a.mp4")
        assert results.find("a.mp4") == results.find("a.mp4")
        assert results.find("a.mp4") != row("a.mp4", frames=1)
        assert pickle.loads(pickle.dumps(results.find("a.mp4"))) == found
        assert replace(results.find("a.mp4"), video="b.mp4") == row("b.mp4")
        assert results.find("a.mp4").to_dict() == found.to_dict()


def test_every_key_of_a_row_is_known_to_the_index():
    assert {*RowSummary.__struct_fields__} == {"schema", *COLUMNS, *OPTIONAL_COLUMNS}


# Results of different runs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": OTHER_HEAD}, "weights.heads.dog was bbbbbbbbbbbb, is eeeeeeeeeeee"),
        ({"label_threshold": 0.4}, "settings.label_threshold was 0.5, is 0.4"),
        ({"long": "the same beginning, another end"}, "settings.long was None, is the same beg"),
    ],
    ids=["another head", "another setting", "a new setting"],
)
def test_results_of_different_runs_are_never_mixed(tmp_path, change, message):
    folder(tmp_path).add(row("a.mp4"))
    with pytest.raises(UserError, match=rf"another run .{message}.*name another --out"):
        folder(tmp_path, **change)
    assert folder(tmp_path).find("a.mp4"), "refusing must not lose anything"


def test_settings_that_differ_far_from_their_beginning_are_different(tmp_path):
    folder(tmp_path, runtime="openvino f32 cpu").add(row("a.mp4"))
    with pytest.raises(UserError, match=r"settings.runtime was openvino f32, is openvino f32"):
        folder(tmp_path, runtime="openvino f32 gpu")


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "[" * 100_000, '"\ud800"'], ids=lambda text: text[:9])
def test_a_damaged_record_of_the_run_is_reported(tmp_path, content):
    with folder(tmp_path) as results:
        results.add(row("a.mp4"))
    (tmp_path / "run.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"another run \((its run.json cannot be read| was|weights)"):
        folder(tmp_path)
    results.jsonl.unlink()
    with folder(tmp_path):
        assert json.loads((tmp_path / "run.json").read_text())["settings"] == {"label_threshold": 0.5}


# Files that others have changed


def test_rows_that_a_user_has_removed_or_sorted_are_respected(tmp_path):
    with folder(tmp_path) as results:
        for number in range(4):
            results.add(row(clip(number)))
    lines = results.jsonl.read_text().splitlines(keepends=True)
    results.jsonl.write_text("".join(reversed(lines[1:])))
    with folder(tmp_path) as results:
        assert [bool(results.find(clip(number))) for number in range(4)] == [False, True, True, True]
        assert results.find(clip(1)) == row(clip(1))
    assert videos_of(tmp_path) == [line["video"] for line in csv_of(tmp_path)] == [*map(clip, (3, 2, 1))]


def test_rows_that_were_joined_edited_or_formatted_are_read(tmp_path):
    with folder(tmp_path) as results:
        results.add(row("a.mp4"))
        results.add(row("b.mp4"))
    first, second = results.jsonl.read_text().splitlines()
    edited = json.loads(first.replace('"video": "a.mp4"', '"video": "c.mp4"'))  # with the path of another clip
    compact = json.dumps(dict(reversed(edited.items())), separators=(",", ":"))
    results.jsonl.write_text(f"{first}\r\n\n{second}\n{compact}\n  \n{first}\n")
    with folder(tmp_path) as results:
        assert [results.find(name).video for name in ("a.mp4", "b.mp4", "c.mp4")] == ["a.mp4", "b.mp4", "c.mp4"]
    assert videos_of(tmp_path) == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("my notes\n", 1),
        ("my notes", 1),
        ("\n{}\n", 2),
        ("[1, 2]\n", 1),
        ('{"schema": 1}\n', 1),
        ("{row}\n{row}{row}\n", 2),
        ("{row}\n{half}\n{row}\n", 2),
        ("{row}\nnull", 2),
        ("[" * 100_000 + "\n", 1),
        ("\0" * 5000 + "\n", 1),
    ],
    ids=["text", "text without end", "empty", "list", "schema", "two in one", "half", "no end", "deep", "zeros"],
)
def test_a_file_that_contains_no_results_is_not_changed(tmp_path, content, line):
    text = json.dumps(row("a.mp4").to_dict())
    content = content.replace("{row}", text).replace("{half}", text[:99])
    (tmp_path / "results.jsonl").write_text(content)
    with pytest.raises(UserError, match=rf"results.jsonl:{line}: not a row of results") as error:
        folder(tmp_path)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)
    assert (tmp_path / "results.jsonl").read_text() == content


def damage_with_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: os.truncate(path, 4096),
        lambda path: os.truncate(path, path.stat().st_size - 4096),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)),
        lambda path: damage_with_sql(path, "PRAGMA user_version = 0"),
        lambda path: damage_with_sql(path, "DELETE FROM state"),
        lambda path: damage_with_sql(path, "UPDATE state SET content = 'null'"),
        lambda path: damage_with_sql(path, "CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END"),
        lambda path: damage_with_sql(path, "UPDATE rows SET offset = offset + 1"),
        lambda path: damage_with_sql(path, "UPDATE rows SET length = 1"),
    ],
    ids=[
        *("deleted", "empty", "text", "short", "shorter", "zeros", "version", "no state", "null", "trigger"),
        *("shifted", "lengths"),
    ],
)
def test_a_damaged_index_is_made_anew(tmp_path, damage):
    fill(tmp_path, 100)
    damage(tmp_path / "results.index.sqlite")
    with folder(tmp_path) as results:
        assert all(results.find(clip(number)) == row(clip(number)) for number in range(100))
        results.add(row(clip(0), frames=1))
        results.add(row(clip(100)))
    assert videos_of(tmp_path) == [line["video"] for line in csv_of(tmp_path)] == [*map(clip, range(101))]
    with folder(tmp_path) as results:
        assert results.find(clip(100)) == row(clip(100))


def test_the_index_of_another_file_is_not_used(tmp_path):
    for name in ("a", "b"):
        with folder(tmp_path / name) as results:
            results.add(row(f"{name}.mp4"))
            results.add(row("c.mp4"))
    for path in (tmp_path / "a").glob("results.index.sqlite*"):
        shutil.copy(path, tmp_path / "b")
    with folder(tmp_path / "b") as results:
        assert results.find("a.mp4") is None
        assert results.find("b.mp4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "was deleted during the run"),
        (lambda path: shutil.rmtree(path.parent), "was deleted during the run"),
        (lambda path: path.rename(path.with_name("old.jsonl")), "was deleted during the run"),
        (lambda path: shutil.copy(shutil.move(path, path.with_name("old")), path), "changed by another program"),
        (lambda path: path.write_bytes(path.read_bytes() * 2), "changed by another program"),
        (lambda path: path.write_bytes(b""), "changed by another program"),
    ],
    ids=["deleted", "folder deleted", "renamed", "replaced", "appended", "emptied"],
)
def test_files_that_change_during_the_run_are_not_written_to(tmp_path, change, message):
    results = folder(tmp_path / "out")
    results.add(row("a.mp4"))
    change(results.jsonl)
    after = results.jsonl.read_bytes() if results.jsonl.exists() else None
    with pytest.raises(UserError, match=message):
        results.add(row("b.mp4"))
    with pytest.raises(UserError, match="no further results"):
        results.add(row("c.mp4"))
    results.close()
    assert (results.jsonl.read_bytes() if results.jsonl.exists() else None) == after
    with folder(tmp_path / "out") as results:
        results.add(row("b.mp4"))


def test_a_change_is_noticed_at_the_end_too(tmp_path):
    results = folder(tmp_path)
    results.add(row("a.mp4"))
    results.jsonl.unlink()
    with pytest.raises(UserError, match="was deleted during the run"):
        results.close()
    folder(tmp_path).close()  # nothing holds the lock


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("a file"),
        lambda path: (path.mkdir(), (path / "results.jsonl").mkdir()),
        lambda path: (path.mkdir(), (path / "results.lock").mkdir()),
        lambda path: (path / "results.index.sqlite").mkdir(parents=True),
        lambda path: (path.mkdir(), os.mkfifo(path / "results.jsonl")),
        lambda path: path.symlink_to("/dev/null"),
        lambda path: path.symlink_to("/proc/out"),
    ],
    ids=["a file", "results are a folder", "the lock is a folder", "the index is", "a pipe", "a device", "nowhere"],
)
def test_a_folder_that_cannot_be_written_gives_one_line(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(UserError, match=r"out.*(name another --out|not a regular file)") as error:
        folder(tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_full_disk_gives_one_line_and_leaves_complete_rows(tmp_path):
    size = len(json.dumps(row(clip(0)).to_dict()))
    for free_bytes in (1, 5 * size + 100):
        path = tmp_path / str(free_bytes)
        fill(path, 100)
        answers = PROCESSES.SimpleQueue()
        process = PROCESSES.Process(target=write_until_full, args=(path, free_bytes, answers))
        process.start()
        number, reason = answers.get()
        process.join()
        assert f"{path}" in reason
        assert "cannot be written" in reason
        assert "\n" not in reason
        assert videos_of(path) == [*map(clip, range(number))]
        assert (path / "results.jsonl").read_bytes().endswith(b"}\n")
        with folder(path) as results:
            assert results.find(clip(number - 1))
            results.add(row(clip(number)))
        assert len(csv_of(path)) == number + 1


# One writer at a time


def test_of_three_runs_at_once_one_writes_and_no_row_is_lost(tmp_path):
    answers, may_end = PROCESSES.SimpleQueue(), PROCESSES.Event()
    processes = {
        number: PROCESSES.Process(target=write_one, args=(tmp_path, number, answers, may_end)) for number in range(3)
    }
    for process in processes.values():
        process.start()
    reports = [answers.get() for _ in processes]
    (writer,) = [pid for _, pid, reason in reports if not reason]
    for number, _, reason in reports:
        if reason:
            assert f"{tmp_path}: process {writer} on {socket.gethostname()} is writing results there" in reason
            assert reason.endswith("or name another --out")
            processes[number].join()
            may_end.set()
    for process in processes.values():
        process.join()
    for number, _, reason in reports:
        if reason:
            write_one(tmp_path, number, answers, may_end)
    assert sorted(videos_of(tmp_path)) == sorted(line["video"] for line in csv_of(tmp_path)) == [*map(clip, range(3))]


def test_a_run_that_is_refused_ends_with_one_line_and_exit_code_2(tmp_path, stages, people_clip, capsys):
    answers, may_end = PROCESSES.SimpleQueue(), PROCESSES.Event()
    process = PROCESSES.Process(target=write_one, args=(tmp_path, 0, answers, may_end))
    process.start()
    answers.get()
    command = ["tag", "--video", str(people_clip), "--out", str(tmp_path), *stages]
    assert main(command) == console.WRONG_USAGE
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: {tmp_path}: process {process.pid} on ")
    process.kill()
    process.join()
    with folder(tmp_path) as results:
        assert results.find(clip(0)), "a process that was killed holds nothing"


def test_a_forked_process_holds_nothing_either(tmp_path):
    results = folder(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(writing)
            results.add(row("child.mp4"))
        except UserError:
            os.read(reading, 1)  # until the other end is closed
        finally:
            os._exit(0)
    results.close()
    answers, may_end = PROCESSES.SimpleQueue(), PROCESSES.Event()
    may_end.set()
    process = PROCESSES.Process(target=write_one, args=(tmp_path, 0, answers, may_end))
    process.start()
    assert answers.get() == (0, process.pid, "")
    process.join()
    os.close(writing)
    os.waitpid(child, 0)
    assert videos_of(tmp_path) == [clip(0)]


def test_within_a_process_the_last_one_writes(tmp_path):
    first = folder(tmp_path)
    first.add(row("a.mp4"))
    second = folder(tmp_path)
    with pytest.raises(UserError, match="another run of this process writes results there now"):
        first.add(row("b.mp4"))
    first.close()
    second.add(row("c.mp4"))
    second.close()
    assert videos_of(tmp_path) == [line["video"] for line in csv_of(tmp_path)] == ["a.mp4", "c.mp4"]
    with pytest.raises(UserError, match="closed"):
        second.add(row("d.mp4"))


@pytest.mark.parametrize("end", ["refused", "forgotten"])
def test_a_folder_that_nobody_uses_any_more_is_free_for_others(tmp_path, end):
    if end == "refused":
        (tmp_path / "results.jsonl").write_text("my notes\n")
        with pytest.raises(UserError, match="not a row of results"):
            folder(tmp_path)
        (tmp_path / "results.jsonl").unlink()
    else:
        folder(tmp_path).find("a.mp4")
        gc.collect()
    answers, may_end = PROCESSES.SimpleQueue(), PROCESSES.Event()
    may_end.set()
    process = PROCESSES.Process(target=write_one, args=(tmp_path, 0, answers, may_end))
    process.start()
    assert answers.get()[2] == ""
    process.join()


def test_an_error_during_the_run_is_not_hidden_by_one_at_its_end(tmp_path):
    def fail() -> None:
        with folder(tmp_path) as results:
            results.add(row("a.mp4"))
            results.jsonl.unlink()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
