"""Downloads over HTTP from a local server: complete and verified, or one clear error message within seconds."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision.models import ResNet34_Weights

from common import downloads
from common.downloads import KNOWN_WEIGHTS, KnownWeights, check_download, download
from common.errors import DetectorError, DownloadError
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.known_detectors import find_detector

CONTENT = bytes(range(256)) * 4096
SECONDS = 0.3


class Handler(BaseHTTPRequestHandler):
    """Responds by file name: `hang*` never, `stall*` stops half-way, `cut*` ends half-way, `no*` is not found."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.requested.append(name)
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
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Records the requested file names."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requested: list[str] = []
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
    """The weights folder, with short timeouts."""
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("ACTOR_ACTION_KIT", str(tmp_path / "no-kit"))
    monkeypatch.setattr(downloads, "SOCKET_TIMEOUT_SECONDS", SECONDS)
    monkeypatch.setattr(downloads, "RESPONSE_TIMEOUT_SECONDS", 2 * SECONDS)
    return tmp_path / "weights"


@pytest.fixture
def known(server: Server) -> Callable[[str], KnownWeights]:
    """Return weights that the local server publishes under a name."""

    def make(name: str, content: bytes = CONTENT) -> KnownWeights:
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        return KnownWeights(url, hashlib.sha256(content).hexdigest(), len(content), "or do without")

    return make


def test_download_is_complete_and_leaves_no_other_file(folder, known, capfd):
    weights = known("a.pt")
    assert download(weights) == folder / "a.pt" == check_download(weights)
    assert (folder / "a.pt").read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["a.pt"]
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"downloading {weights.url} (1.0 MB) into {folder}\n"


@pytest.mark.parametrize("name", ["b.pt", "cut.pt"], ids=["other contents", "cut short"])
def test_unexpected_contents_are_discarded(folder, known, name):
    with pytest.raises(DownloadError, match=r"sha256 \w{8}…, \w{8}… was expected; it was discarded: copy the right"):
        download(known(name, CONTENT if name == "cut.pt" else b"what was published"))
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["hang.pt", "stall.pt", "no.pt"], ids=["no response", "stops half-way", "not found"])
def test_failed_download_says_within_seconds_what_to_do(folder, known, name):
    start = time.monotonic()
    with pytest.raises(
        DownloadError, match=rf"{name} cannot be downloaded .*: copy the file into .*weights, or do"
    ) as caught:
        download(known(name))
    assert time.monotonic() - start < 10 * SECONDS
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())


def test_refused_connection_fails(folder, known, server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    weights = KnownWeights(f"http://127.0.0.1:{port}/a.pt", "0" * 64, 1, "or do without")
    with pytest.raises(DownloadError, match=r"a.pt cannot be downloaded .*refused.*: copy the file into"):
        download(weights)
    assert not list(folder.iterdir())


def test_unwritable_folder_is_reported_before_any_request(folder, known, server):
    folder.write_text("a file")
    with pytest.raises(FileExistsError):
        download(known("a.pt"))
    assert server.requested == []


def test_check_download_rejects_a_modified_file(folder, known):
    weights = known("a.pt")
    download(weights).write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"a.pt: sha256 .* was found, .* was expected; delete the file"):
        check_download(weights)


def test_find_detector_tries_the_weights_folder_then_the_kit_then_the_network(
    folder, known, server, tmp_path, monkeypatch
):
    monkeypatch.setitem(KNOWN_WEIGHTS, "yolo26n", known("yolo26n.pt"))
    kit = tmp_path / "kit" / "weights" / "yolo26n.pt"
    kit.parent.mkdir(parents=True)
    kit.write_bytes(b"the kit's")
    monkeypatch.setenv("ACTOR_ACTION_KIT", str(tmp_path / "kit"))
    assert find_detector("yolo26n") == kit
    assert server.requested == []
    kit.unlink()
    assert find_detector("yolo26n").read_bytes() == CONTENT
    assert server.requested == ["yolo26n.pt"]
    kit.write_bytes(b"the kit's")
    assert find_detector("yolo26n") == folder / "yolo26n.pt"
    assert server.requested == ["yolo26n.pt"]


def test_download_weights_continues_after_a_failure(folder, known, server, tmp_path, monkeypatch, capsys):
    published = {"yolo26n": "a.pt", "yolo11n": "no.pt", "yolov8n": "b.pt", "imagenet": "c.pth"}
    table = {name: known(file, b"x" if file == "b.pt" else CONTENT) for name, file in published.items()}
    monkeypatch.setattr(downloads, "KNOWN_WEIGHTS", table)
    to = tmp_path / "to"
    command = ["download-weights", "--to", str(to)]
    assert main(command) == console.SOME_FAILED
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines()[2:6]}
    assert rows == {"yolo26n": "downloaded", "yolo11n": "failed", "yolov8n": "failed", "imagenet": "downloaded"}
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 2
    assert sorted(path.name for path in to.iterdir()) == ["a.pt", "c.pth"]
    assert not folder.exists()
    del table["yolo11n"], table["yolov8n"]
    server.requested.clear()
    assert main(command) == console.DONE
    assert server.requested == []
    assert {line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:4]} == {"exists"}


@pytest.mark.parametrize("name", ["yolov3u", "yolov3-tinyu", "yolov5n6u", "yolov9c", "yolov10b", "yolo12x", "yolo26l"])
def test_other_detectors_are_found_by_name_and_their_digest_is_printed(folder, known, server, name, monkeypatch, capfd):
    monkeypatch.setattr(downloads, "ULTRALYTICS", f"http://127.0.0.1:{server.server_port}")
    assert find_detector(name) == folder / f"{name}.pt"
    assert (folder / f"{name}.pt").read_bytes() == CONTENT
    (path,) = server.requested
    assert path == f"{'v8.4.0' if '26' in name else 'v8.3.0'}/{name}.pt"
    assert f"{name}.pt: sha256 {hashlib.sha256(CONTENT).hexdigest()}; it is not known here" in capfd.readouterr().err
    assert find_detector(name) == folder / f"{name}.pt"
    assert len(server.requested) == 1, "it is there"
    folder.chmod(0o777)
    with pytest.raises(DownloadError, match="it is not the published file, as far as is known here"):
        find_detector(name)


@pytest.mark.parametrize("name", ["yolo", "yolov3", "yolov8n-seg", "yolo26z", "imagenet", "../yolov3u", ""])
def test_other_names_are_refused_without_a_request(folder, known, server, name):
    with pytest.raises(DetectorError, match=r"no such file \(known names: embedded, yolo26n"):
        find_detector(name)
    assert server.requested == []


def test_known_weights_are_pinned():
    imagenet = KNOWN_WEIGHTS["imagenet"]
    assert imagenet.url == ResNet34_Weights.IMAGENET1K_V1.url
    assert imagenet.sha256.startswith(Path(imagenet.file_name).stem.rpartition("-")[2])
    assert [weights.file_name for weights in KNOWN_WEIGHTS.values()][:3] == ["yolo26n.pt", "yolo11n.pt", "yolov8n.pt"]
    assert len({weights.sha256 for weights in KNOWN_WEIGHTS.values()}) == len(KNOWN_WEIGHTS)
    for weights in KNOWN_WEIGHTS.values():
        assert weights.url.startswith("https://")
        assert len(bytes.fromhex(weights.sha256)) == 32
