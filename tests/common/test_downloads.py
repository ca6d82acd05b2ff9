"""Downloads over real HTTP from a server of our own: whole and checked, or one clear line within seconds."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import download_weights
import pytest
from torchvision.models import ResNet34_Weights

from common import downloads
from common.downloads import KNOWN_WEIGHTS, KnownWeights, check_download, download
from common.errors import DownloadError
from pipeline.commands import console as cli
from pipeline.known_detectors import find_detector

CONTENT = bytes(range(256)) * 4096
SECONDS = 0.3


class Handler(BaseHTTPRequestHandler):
    """Answers by name: `hang*` never begins, `stall*` stops half-way, `cut*` ends there, `no*` is not there."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.asked.append(name)
        if name.startswith("hang"):
            self.server.done.wait()
            return
        if name.startswith("no"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])
        self.wfile.flush()
        if name.startswith("stall"):
            self.server.done.wait()
        elif not name.startswith("cut"):
            self.wfile.write(CONTENT[len(CONTENT) // 2 :])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.done = threading.Event()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.done.set()
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder, with an impatient downloader."""
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("ACTOR_ACTION_KIT", str(tmp_path / "no-kit"))
    monkeypatch.setattr(downloads, "ASK_SECONDS", SECONDS)
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 2 * SECONDS)
    return tmp_path / "weights"


@pytest.fixture
def known(server: Server) -> Callable[[str], KnownWeights]:
    """Weights of a name that our server publishes."""

    def make(name: str, content: bytes = CONTENT) -> KnownWeights:
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        return KnownWeights(url, hashlib.sha256(content).hexdigest(), len(content), "or do without")

    return make


def test_a_download_is_whole_and_in_its_place(folder, known, capfd):
    weights = known("a.pt")
    assert download(weights) == folder / "a.pt" == check_download(weights)
    assert (folder / "a.pt").read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["a.pt"]
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"downloading {weights.url} (1.0 MB) into {folder}\n"


@pytest.mark.parametrize("name", ["b.pt", "cut.pt"], ids=["other contents", "cut short"])
def test_what_is_not_the_known_file_is_not_kept(folder, known, name):
    with pytest.raises(DownloadError, match=r"sha256 \w{8}…, \w{8}… was expected; it is not kept: copy the right"):
        download(known(name, CONTENT if name == "cut.pt" else b"what was published"))
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["hang.pt", "stall.pt", "no.pt"], ids=["no answer", "stops half-way", "not there"])
def test_what_cannot_be_had_fails_in_seconds_with_what_to_do(folder, known, name):
    began = time.monotonic()
    with pytest.raises(DownloadError, match=rf"{name} cannot be had .*: copy the file into .*weights, or do") as caught:
        download(known(name))
    assert time.monotonic() - began < 10 * SECONDS
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())


def test_a_refused_connection_fails_at_once(folder, known, server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    weights = KnownWeights(f"http://127.0.0.1:{port}/a.pt", "0" * 64, 1, "or do without")
    with pytest.raises(DownloadError, match=r"a.pt cannot be had .*refused.*: copy the file into"):
        download(weights)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_anybody_is_asked(folder, known, server):
    folder.write_text("a file")
    with pytest.raises(FileExistsError):
        download(known("a.pt"))
    assert server.asked == []


def test_a_file_that_was_changed_is_refused(folder, known):
    weights = known("a.pt")
    download(weights).write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"a.pt: sha256 .* was found, .* was expected; delete the file"):
        check_download(weights)


def test_a_known_detector_is_looked_for_in_the_weights_folder_then_the_kit_then_the_network(
    folder, known, server, tmp_path, monkeypatch
):
    monkeypatch.setitem(KNOWN_WEIGHTS, "yolo26n", known("yolo26n.pt"))
    kit = tmp_path / "kit" / "weights" / "yolo26n.pt"
    kit.parent.mkdir(parents=True)
    kit.write_bytes(b"the kit's")
    monkeypatch.setenv("ACTOR_ACTION_KIT", str(tmp_path / "kit"))
    assert find_detector("yolo26n") == kit
    assert server.asked == []
    kit.unlink()
    assert find_detector("yolo26n").read_bytes() == CONTENT
    assert server.asked == ["yolo26n.pt"]
    kit.write_bytes(b"the kit's")
    assert find_detector("yolo26n") == folder / "yolo26n.pt"
    assert server.asked == ["yolo26n.pt"]


def test_all_known_weights_are_fetched_and_a_failure_stops_no_other(
    folder, known, server, tmp_path, monkeypatch, capsys
):
    published = {"yolo26n": "a.pt", "yolo11n": "no.pt", "yolov8n": "b.pt", "imagenet": "c.pth"}
    table = {name: known(file, b"x" if file == "b.pt" else CONTENT) for name, file in published.items()}
    monkeypatch.setattr(downloads, "KNOWN_WEIGHTS", table)
    to = tmp_path / "to"
    command = ["--to", str(to)]
    assert cli.run(download_weights.main, command) == cli.SOME_FAILED
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines()[2:6]}
    assert rows == {"yolo26n": "downloaded", "yolo11n": "failed", "yolov8n": "failed", "imagenet": "downloaded"}
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 2
    assert sorted(path.name for path in to.iterdir()) == ["a.pt", "c.pth"]
    assert not folder.exists()
    del table["yolo11n"], table["yolov8n"]
    server.asked.clear()
    assert cli.run(download_weights.main, command) == cli.DONE
    assert server.asked == []
    assert {line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:4]} == {"there"}


def test_the_known_files_are_the_published_ones():
    imagenet = KNOWN_WEIGHTS["imagenet"]
    assert imagenet.url == ResNet34_Weights.IMAGENET1K_V1.url
    assert imagenet.sha256.startswith(Path(imagenet.file_name).stem.rpartition("-")[2])
    assert [weights.file_name for weights in KNOWN_WEIGHTS.values()][:3] == ["yolo26n.pt", "yolo11n.pt", "yolov8n.pt"]
    assert len({weights.sha256 for weights in KNOWN_WEIGHTS.values()}) == len(KNOWN_WEIGHTS)
    for weights in KNOWN_WEIGHTS.values():
        assert weights.url.startswith("https://")
        assert len(bytes.fromhex(weights.sha256)) == 32
