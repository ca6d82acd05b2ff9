"""Clips in stores: the rows of the same files on this machine, and one for each clip, whatever its store does.

The stores are real servers on this machine: one of S3, and one of files. Worker processes find them by the environment.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest
from result_rows import row
from s3_server import VARIABLES, put, serve_s3

from common.errors import ClipError
from common.remote_files import fetch, without_secrets
from common.scratch_folders import PREFIX, ScratchFolder, remove_leftovers
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.config import TaggerConfig
from pipeline.exports.formats import FORMATS, write_export
from pipeline.results import ClipResult, Weights, absolute_path
from pipeline.supervision import process
from pipeline.supervision.crew import Crew
from pipeline.supervision.fetching import Fetcher
from pipeline.supervision.messages import Annotated, Setup, Tagged, Task
from video.find_clips import search_clips
from video.remote_clips import RemoteClip

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def store():
    """A server of S3 with an empty bucket, and what it was asked for."""
    with serve_s3() as requests:
        yield requests


@pytest.fixture
def web(tmp_path):
    """A server of files, its folder, and what it was asked for."""
    folder, requests = tmp_path / "web", []
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            requests.append(str(args[0]))

        def do_GET(self):
            if "breaks" in self.path:  # in the middle of the file
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"some of it")
                self.log_message("%s", f"GET {self.path} ")
            else:
                super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder, requests
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """The folder for temporary files, of this process and its workers; it must be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert [path.name for path in folder.iterdir() if path.name.startswith(PREFIX)] == []


def without_place(row):
    """Return a row without what depends on where its clip is, and when it was tagged."""
    different = ("video", "path", "timing", "version", "error")
    return {key: value for key, value in row.items() if key not in different}


def tag(capsys, *arguments):
    """Tag clips; return the rows, what was printed about them, and the exit code."""
    code = main(["tag", "--json", *map(str, arguments)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return [json.loads(line) for line in printed.out.splitlines()], printed.err, code


def test_rows_are_those_of_the_same_local_files(store, web, stages, people_clip, cat_clip, tmp_path, capsys):
    address, served, asked = web
    files = {"cat.mp4": cat_clip.read_bytes(), "people.mp4": people_clip.read_bytes(), "text.mp4": b"no video"}
    for name, content in files.items():
        (served / name).write_bytes(content)
        put(f"a folder/{name}", content)
    put("a folder/notes.txt", b"no clip")
    local, _, _ = tag(capsys, "--video", served, *stages)
    assert [Path(row["video"]).name for row in local] == list(files)
    assert all("version" not in row for row in local)
    expected = [without_place(row) for row in local]

    out, copies, page = tmp_path / "out", tmp_path / "copies", tmp_path / "page.html"
    folder = ["--video", "s3://clips/a folder", "s3://clips/no.mp4", "s3://no-bucket/no.mp4"]
    store.lines.clear()
    rows, errors, code = tag(capsys, *folder, *stages, "--out", out, "--annotate", copies, "--report", page)
    assert code == console.SOME_FAILED
    assert "1 file was not taken (.txt 1)" in errors
    assert store.fetched() == [f"/clips/a%20folder/{name}" for name in files]
    assert [without_place(row) for row in rows[:3]] == expected
    assert [row["video"] for row in rows[:3]] == [f"s3://clips/a folder/{name}" for name in files]
    assert all(row["path"] == row["video"] for row in rows)
    assert rows[2]["error"] == f"{rows[2]['path']}: {local[2]['error'].partition(': ')[2]}"
    assert [row["error"] for row in rows[3:]] == [
        "s3://clips/no.mp4: no such file, folder or bucket",
        "s3://no-bucket/no.mp4: no such file, folder or bucket",
    ]
    assert all(row["version"].startswith("etag ") for row in rows[:2])
    assert sorted(path.name for path in copies.iterdir()) == ["cat.annotated.mp4", "people.annotated.mp4"]
    assert page.read_text().count("the clip is in a store") == 2
    assert "data-href" not in page.read_text().partition("<main")[2]
    assert str(tmp_path / "temporary") not in (out / "results.jsonl").read_text() + errors

    # A second run asks the store and fetches nothing, but for the clip that failed; a changed one is tagged again.
    names = ["s3://clips/a folder/cat.mp4", "s3://clips/a folder/people.mp4"]
    again, _, code = tag(capsys, "--video", *names, *stages, "--out", out, "--workers", "2")
    assert (again, code) == (rows[:2], console.DONE)
    assert store.fetched() == []
    put("a folder/cat.mp4", files["people.mp4"])
    again, _, _ = tag(capsys, "--video", "s3://clips/a folder/[cp]*.mp4", *stages, "--out", out)
    assert store.fetched() == ["/clips/a%20folder/cat.mp4"]
    assert without_place(again[0]) == expected[1]
    assert again[1] == rows[1]
    assert len((out / "results.jsonl").read_text().splitlines()) == 5

    # A list of addresses, in two processes.
    (tmp_path / "list.txt").write_text("".join(f"{address}/{name}\n" for name in [*files, "breaks.mp4", "no.mp4"]))
    (served / "breaks.mp4").write_bytes(b"")
    rows, errors, code = tag(capsys, "--video", f"@{tmp_path}/list.txt", *stages, "--workers", "2")
    assert code == console.SOME_FAILED
    assert [without_place(row) for row in rows[:3]] == expected
    assert rows[0]["version"].startswith("last-modified ")
    assert [row["video"] for row in rows[:3]] == [f"{address}/{name}" for name in files]
    assert rows[3]["error"].startswith(f"{address}/breaks.mp4: ")
    assert rows[4]["error"] == f"{address}/no.mp4: no such file, folder or bucket"
    assert all("\n" not in row["error"] for row in rows[2:])
    assert len([line for line in asked if line.startswith("GET") and "cat" in line]) == 1


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(process, "BOOT", process.BOOT.replace("pipeline.supervision.worker", "toy_worker"))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_clip_that_kills_its_worker_costs_itself_and_leaves_nothing(store, toys, workers):
    names = [f"toys/{name}.mp4" for name in ("a-1", "kill-2", "b-3", "c-4", "d-5")]
    for name in names:
        put(name, b"9")
    tasks = [Task(index, RemoteClip.of(f"s3://clips/{name}")) for index, name in enumerate(names)]
    with Crew(Setup(TaggerConfig(detector="ok")), [None] * workers) as crew:
        events = list(crew.run(tasks))
    assert [event.index for event in events] == list(range(5))
    errors = [event.result.error for event in events]
    assert errors.pop(1) == "s3://clips/toys/kill-2.mp4: the decoding process died with signal 9 (SIGKILL), three times"
    assert errors == [None] * 4
    remove_leftovers()  # as the command does


def fetcher(*tasks):
    """Return a fetcher with some tasks, and the queue of what it sends."""
    queue, sent = SimpleQueue(), SimpleQueue()
    for task in [*tasks, None]:
        queue.put(task)
    return Fetcher(queue, sent.put), sent


def test_one_clip_is_fetched_ahead_of_the_one_that_is_worked_on(store, scratch):
    for number in range(4):
        put(f"ahead/{number}.mp4", b"%d" % number)
    store.lines.clear()
    source, sent = fetcher(*(Task(number, RemoteClip.of(f"s3://clips/ahead/{number}.mp4")) for number in range(4)))
    first = source.get()
    assert first.clip.read_bytes() == b"0"
    deadline = time.monotonic() + 60  # a busy system may take its time
    while len(list(scratch.glob(f"{PREFIX}*/*.mp4"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert store.fetched() == ["/clips/ahead/0.mp4", "/clips/ahead/1.mp4"]
    assert [sent.get().index for _ in range(2)] == [0, 1]
    assert source.original(f"{first.clip}: is odd") == "s3://clips/ahead/0.mp4: is odd"
    source.finish(first)
    assert not first.clip.parent.exists()
    assert [source.get().task.index for _ in range(3)] == [1, 2, 3]
    assert source.get() is None
    source.close()


def result(clip, sha256, **values):
    return ClipResult(str(clip), sha256, "ok", None, Weights("", "", {}), **values)


def test_without_a_version_the_contents_are_compared(web):
    address, served, asked = web
    (served / "a.mp4").write_bytes(b"")  # of which the hash is known
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    clip = RemoteClip.of(f"{address}/a.mp4")
    for known, is_same in ((empty, True), ("0" * 64, False)):
        source, _ = fetcher(Task(0, clip, earlier=result(clip, known)))
        task = source.get()
        assert bool(task.result) == is_same
        if is_same:
            assert task.result.version == task.version  # asked for next time
        source.close()
    assert len([line for line in asked if line.startswith("GET")]) == 2


def test_a_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(scratch):
    mine = ScratchFolder()
    code = """from common.scratch_folders import ScratchFolder
folder = ScratchFolder()
(folder.path / "clip.mp4").write_bytes(b"1")
print(folder.path, flush=True)
input()"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        path = Path(other.stdout.readline().decode().strip())
        remove_leftovers()
        assert sorted(scratch.iterdir()) == sorted([mine.path, path])
        other.kill()
    remove_leftovers()
    assert list(scratch.iterdir()) == [mine.path]
    mine.remove()


def test_folders_and_globs_are_listed(store, tmp_path):
    for name in ("list/b.mp4", "list/a.MOV", "list/deep/c.webm", "list/.hidden/d.mp4", "list/n.txt", "list/w[1].mp4"):
        put(name, name.encode())

    def names(argument):
        return [str(clip).removeprefix("s3://clips/list/") for clip in search_clips([argument]).clips]

    everything = ["a.MOV", "b.mp4", "deep/c.webm", "w[1].mp4"]
    assert names("s3://clips/list") == names("s3://clips/list/") == names("S3://clips/list") == everything
    assert set(everything) <= {name.removeprefix("s3://clips/list/") for name in names("s3://clips")}
    assert names("s3://clips/list/*") == ["a.MOV", "b.mp4", "w[1].mp4"]
    assert names("s3://clips/list/**/*.webm") == ["deep/c.webm"]
    assert names("s3://clips/list/*.txt") == ["n.txt"]
    assert names("s3://clips/list/.h*/*") == [".hidden/d.mp4"]
    assert names("s3://clips/list/w[1].mp4") == ["w[1].mp4"]
    (tmp_path / "list.txt").write_text("s3://clips/list/deep\ns3://clips/list/b.mp4\ns3://clips/list/deep/c.webm\n")
    assert names(f"@{tmp_path}/list.txt") == ["deep/c.webm", "b.mp4"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("s3://no-bucket", "no such file, folder or bucket"),
        ("s3://clips/no-folder/", "no such file, folder or bucket"),
        ("s3://clips/no-folder/*.mp4", "no video matches"),
        ("s3:///clip.mp4", "names no bucket"),
        ("https://[x", "is no address"),
        ("rtsp://camera/1", "addresses of rtsp:// are not supported; download the clip"),
        ("simplecache::s3://clips/a.mp4", None),
        ("zip://clips/a.mp4", "addresses of zip:// are not supported"),
        ("rtsp://camera/list/", "addresses of rtsp:// are not supported"),
    ],
)
def test_what_cannot_be_listed_is_refused_in_one_line(store, argument, message):
    if message is None:  # the name of a file, as far as anybody knows
        assert list(search_clips([argument]).clips) == [Path(argument)]
        return
    with pytest.raises(ClipError, match=f"^{re.escape(argument)}: .*{re.escape(message)}") as caught:
        search_clips([argument])
    assert "\n" not in str(caught.value)


def test_a_list_may_lie_in_a_store(store, web, tmp_path):
    for name in ("lists/a.mp4", "lists/deep/b.mp4", "c.mp4"):
        put(name, b"")
    put("lists/all.txt", b"\xef\xbb\xbf# clips\r\n\r\na.mp4\r\n@deep/more.txt\r\ns3://clips/c.mp4\r\n")
    put("lists/deep/more.txt", b"b.mp4\n@https-free.txt\n")
    put("lists/deep/https-free.txt", b"../../c.mp4\n*.mp4\n")
    urls = [str(clip) for clip in search_clips(["@s3://clips/lists/all.txt"]).clips]
    assert urls == [
        "s3://clips/lists/a.mp4",
        "s3://clips/lists/deep/b.mp4",
        "s3://clips/c.mp4",
    ]
    address, folder, _ = web
    (folder / "list.txt").write_text(f"d.mp4\n@s3://clips/lists/deep/more.txt\n{address}/e.mp4\n")
    (tmp_path / "local.txt").write_text(f"@{address}/list.txt\n")
    names = [clip.name for clip in search_clips([f"@{tmp_path}/local.txt"]).clips]
    assert names == ["d.mp4", "b.mp4", "c.mp4", "e.mp4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, "s3://clips/bad/missing.txt: no such list of clips"),
        ("empty.txt", b"# nothing\n", "s3://clips/bad/empty.txt: the list contains no clip"),
        ("binary.txt", b"\0\xff\0", "s3://clips/bad/binary.txt: not a readable list of clips"),
        ("itself.txt", b"@itself.txt\n", "s3://clips/bad/itself.txt: the list contains itself"),
        ("wrong.txt", b"a.mp4\nrtsp://camera/1\n", "s3://clips/bad/wrong.txt:2: rtsp://camera/1: addresses of"),
    ],
)
def test_a_list_in_a_store_that_is_wrong_is_a_line(store, name, content, message):
    if content is not None:
        put(f"bad/{name}", content)
    with pytest.raises(ClipError, match=f"^{re.escape(message)}") as caught:
        search_clips([f"@s3://clips/bad/{name}"])
    assert "\n" not in str(caught.value)


def test_a_store_that_cannot_be_reached_is_a_line(store, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ClipError, match=r"^s3://clips/list/: the store cannot be reached \(\w+\)$"):
        search_clips(["s3://clips/list/"])
    with pytest.raises(ClipError, match=r"^http://127.0.0.1:9/a.mp4: the store cannot be reached \(\w+\)$"):
        RemoteClip.of(f"{NOWHERE}/a.mp4").examine()
    for name in VARIABLES:
        if "KEY" in name:
            monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ClipError, match=r"^s3://clips/a.mp4: no credentials for this store were found"):
        RemoteClip.of("s3://clips/a.mp4").examine()
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_transfer_that_breaks_is_an_error(web, tmp_path):
    address, served, _ = web
    (served / "breaks.mp4").write_bytes(b"")
    clip = RemoteClip.of(f"{address}/breaks.mp4")
    with pytest.raises(ClipError, match=rf"^{address}/breaks.mp4: \w+"):
        fetch(clip.examine(), tmp_path / "copy")


def test_addresses_carry_no_secrets():
    signed = "https://example.org/a.mp4?id=7&X-Amz-Credential=me&X-Amz-Signature=8f&token=1"
    assert without_secrets(signed) == "https://example.org/a.mp4?id=7"
    (clip,) = search_clips([signed]).clips
    assert (str(clip), clip.address) == ("https://example.org/a.mp4?id=7", signed)
    assert "8f" not in repr(clip)
    for address in ("https://me:word@example.org/a.mp4", "s3://me:word@clips/a.mp4", "https://word@example.org/a.mp4"):
        with pytest.raises(ClipError, match="was given with a password; leave it out") as caught:
            search_clips([address])
        assert "word@" not in str(caught.value)


def test_addresses_identify_clips_as_they_are(tmp_path):
    address = "s3://clips/a//b/../c.mp4"
    found = result(address, "sha", version="etag 1")
    assert found.path == absolute_path(address) == address
    assert ClipResult.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    names = [RemoteClip.of(f"s3://clips/{name}").name for name in ("a/b.mp4", "..", 300 * "n" + ".mp4", "a?b#c.mp4")]
    assert names == ["b.mp4", "clip", "clip.mp4", "a?b#c.mp4"]
    assert RemoteClip.of("https://example.org/a%20b.mp4?x=1/2").name == "a b.mp4"


@pytest.mark.parametrize("name", FORMATS)
def test_exports_name_clips_by_their_addresses(name, taxonomy, tmp_path):
    address, out = "s3://clips/a b.mp4", tmp_path / "out"
    assert write_export([row(address)], name, out, taxonomy).written == 1
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    contents = b"".join(path.read_bytes() for path in files)
    assert (address.encode() in contents) == (name != "praat")  # which names no media
    assert str(Path.cwd()).encode() not in contents


def test_a_queue_is_for_clips_on_this_machine(tmp_path, capsys):
    command = ["tag", "--video", "s3://clips/a.mp4", "--queue", str(tmp_path / "queue.csv")]
    assert main(command) == console.WRONG_USAGE
    assert "--queue is for clips on this machine: download s3://clips/a.mp4" in capsys.readouterr().err


def test_without_fsspec_a_message_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert main(["tag", "--video", "s3://clips/a.mp4"]) == console.WRONG_USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: s3://clips/a.mp4: addresses need fsspec")
    assert error.endswith("pip install actor-action[remote], or -r requirements-remote.txt\n")


def test_events_of_copies_that_cannot_be_fetched(store, toys, tmp_path):
    clip = RemoteClip.of("s3://clips/not-there.mp4")
    known = result(clip, "sha")
    tasks = [Task(0, clip, tmp_path / "copy.mp4", known), Task(1, clip, tmp_path / "copy-2.mp4")]
    with Crew(Setup(TaggerConfig(detector="ok")), [None]) as crew:
        events = list(crew.run(tasks))
    assert events[:2] == [Tagged(0, known), Annotated(0, "no such file, folder or bucket")]
    assert events[2].result.error == "s3://clips/not-there.mp4: no such file, folder or bucket"
    assert len(events) == 3
