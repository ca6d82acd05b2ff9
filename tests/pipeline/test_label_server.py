"""The labelling page's server: who may ask, what is served, what is saved; and the list that it edits."""

import csv
import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from a2d.taxonomy import Taxonomy
from common.errors import DatasetError, TaxonomyError
from common.paths import PROJECT
from pipeline.label_list import LabelList
from pipeline.pages.label_server import LabelServer

ROWS = [
    ("a.mp4", "adult-walking", "todo", "0.9", "rare"),
    ("sub/b, c.mp4", "", "todo", "0.5", ""),
    ("gone.mp4", "cat-eating", "test", "0.1", ""),
]


@pytest.fixture
def path(people_clip: Path, tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name, *_ in ROWS[:2]:
        shutil.copy(people_clip, tmp_path / name)
    return write_rows(tmp_path / "queue.csv", ROWS)


def write_rows(path: Path, rows: list) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "labels", "split", "teaches", "why"), *rows])
    return path


def rows_of(path: Path) -> list[tuple[str, ...]]:
    with path.open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


@pytest.fixture
def server(path: Path, taxonomy: Taxonomy) -> Iterator[LabelServer]:
    with LabelServer(LabelList.read(path, taxonomy), "train") as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: LabelServer, method: str, path: str, body: bytes | None = None, **headers: str):
    """Send a request, and return its status, headers and body."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_page_list_and_clips_are_served(server: LabelServer, path: Path):
    base = f"/{server.token}/"
    status, headers, page = ask(server, "GET", base)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"Who does what in this clip?" in page
    assert b"connect-src" in page
    state = json.loads(ask(server, "GET", f"{base}list")[2])
    assert [(clip["file"], clip["labels"], clip["plays"]) for clip in state] == [
        ("a.mp4", ["adult-walking"], True),
        ("sub/b, c.mp4", [], True),
        ("gone.mp4", ["cat-eating"], False),
    ]
    content = (path.parent / "a.mp4").read_bytes()
    assert ask(server, "GET", f"{base}clips/0")[2] == content
    status, headers, part = ask(server, "GET", f"{base}clips/1", Range="bytes=100-199")
    assert (status, part) == (206, content[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(content)}"
    assert ask(server, "GET", f"{base}clips/1", Range=f"bytes={len(content) - 5}-")[2] == content[-5:]
    assert ask(server, "GET", f"{base}clips/1", Range=f"bytes={len(content)}-")[0] == 416
    for wrong in ("clips/2", "clips/3", "clips/-1", "clips/../../x", "queue.csv", "list/"):
        assert ask(server, "GET", base + wrong)[0] == 404, wrong


def test_nobody_is_served_without_the_token_or_under_another_name(server: LabelServer, path: Path):
    before = path.read_bytes()
    body = json.dumps({"row": 0, "labels": [], "split": "train"}).encode()
    for prefix in ("/", "/list", f"/{server.token[:-1]}x/", f"/{server.token}", "/" + "x" * len(server.token) + "/"):
        assert ask(server, "GET", f"{prefix}list")[0] == 404
        assert ask(server, "POST", f"{prefix}label", body)[0] == 404
    for host in ("example.org", f"example.org:{server.server_address[1]}", ""):
        assert ask(server, "GET", f"/{server.token}/list", Host=host)[0] == 404
        assert ask(server, "POST", f"/{server.token}/label", body, Host=host)[0] == 404
    assert path.read_bytes() == before
    assert server.server_address[0] == "127.0.0.1"


def test_labels_are_saved_at_once_and_other_columns_are_kept(server: LabelServer, path: Path):
    names = ["cat-none", "adult-running"]
    body = json.dumps({"row": 1, "labels": names, "split": "train"}).encode()
    assert ask(server, "POST", f"/{server.token}/label", body)[0] == 200
    assert rows_of(path) == [
        ROWS[0],
        ("sub/b, c.mp4", "adult-running cat-none", "train", "0.5", ""),
        ROWS[2],
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"row": 3, "labels": [], "split": "train"}',
        b'{"row": -1, "labels": [], "split": "train"}',
        b'{"row": 0, "labels": ["cat-flying"], "split": "train"}',
        b'{"row": 0, "labels": [], "split": ""}',
        b'{"row": 0, "labels": "cat-none", "split": "train"}',
        b'{"row": "0", "labels": [], "split": "train"}',
    ],
)
def test_wrong_changes_are_refused_and_change_nothing(server: LabelServer, path: Path, body: bytes):
    before = path.read_bytes()
    status, _, answer = ask(server, "POST", f"/{server.token}/label", body)
    assert status == 400
    assert json.loads(answer)["error"]
    assert path.read_bytes() == before


def test_long_and_endless_bodies_are_not_read(server: LabelServer):
    assert ask(server, "POST", f"/{server.token}/label", b"x" * 200_000)[0] == 404
    assert ask(server, "POST", f"/{server.token}/label", b"x", **{"Content-Length": "-1"})[0] == 404


def test_lists_that_are_none_are_refused(tmp_path: Path, taxonomy: Taxonomy):
    with pytest.raises(DatasetError, match="no such file"):
        LabelList.read(tmp_path / "none.csv", taxonomy)
    path = write_rows(tmp_path / "a.csv", [("a.mp4", "cat-flying", "todo", "", "")])
    with pytest.raises(DatasetError, match=r"a\.csv:2: .*cat-flying"):
        LabelList.read(path, taxonomy)
    (tmp_path / "b.csv").write_text("file,split\na.mp4,todo\n")
    with pytest.raises(DatasetError, match="'labels' is missing"):
        LabelList.read(tmp_path / "b.csv", taxonomy)
    labels = LabelList.read(write_rows(path, [("a.mp4", "", "todo", "", "")]), taxonomy)
    with pytest.raises(TaxonomyError):
        labels.set(0, ["cat-flying"], "train")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_command_prints_its_address_and_ends_with_ctrl_c(path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "label", str(path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # which is ignored in the background
    )
    assert process.stdout
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "1 of 3 clips are labelled" in error
