"""No run uses the network: whole runs, in processes where every attempt is recorded and refused."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_a2d import write_video

PROJECT = Path(__file__).resolve().parents[2]

# Python runs this before everything else. An audit hook sees every use of the network, below the libraries' wrappers;
# sockets within the machine, AF_UNIX, do not use the network.
GUARD = """\
import os, socket, sys

def watch(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and arguments[0].family == socket.AF_UNIX:
        return
    with open(os.environ["NETWORK_RECORD"], "a") as file:
        print(event, arguments[1:] if event.startswith("socket.connect") else arguments[:2], file=file)
    raise OSError("the network is off in this test")

sys.addaudithook(watch)
"""


@dataclass(frozen=True)
class Machine:
    """A new machine without network.

    Attributes:
        home: An empty home folder.
        record: File with one line per attempt to use the network.
    """

    home: Path
    record: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python on the machine, in the project's folder."""
        # No PYTEST_* variables: Ultralytics sends nothing when it sees them.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ACTOR_ACTION_KIT": str(self.home / "no-kit"),
            "PYTHONPATH": str(self.home / "guard"),
            "NETWORK_RECORD": str(self.record),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
            "LANG": "C.UTF-8",
        }
        return subprocess.run(
            [*_without_network(), sys.executable, *command],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def attempts(self) -> list[str]:
        """All attempts to use the network."""
        return self.record.read_text().splitlines()


def _without_network() -> list[str]:
    """Return a prefix that runs a command in a new network namespace; empty where that is not allowed."""
    command = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        return command
    return []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    (home / "guard").mkdir(parents=True)
    (home / "guard" / "sitecustomize.py").write_text(GUARD)
    record = tmp_path / "record"
    record.touch()
    return Machine(home, record)


def check(machine: Machine, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-3000:]
    assert "who does what: " in done.stdout
    assert machine.attempts == []
    left = {path.relative_to(machine.home).as_posix() for path in machine.home.rglob("*") if path.is_file()}
    ours = ("guard/", ".cache/actor-action/")
    assert not [name for name in left if not name.startswith(ours)], "dependencies write nothing to the home folder"


def commands(folder: Path) -> dict[str, Sequence[str]]:
    """Return the commands by name: the demo, and the annotation of a clip."""
    clip = write_video(folder / "clip.mp4")
    return {
        "demo": ["run_pipeline.py", "--demo", "--out", str(folder / "demo")],
        "video": ["run_pipeline.py", "--video", str(clip), "--annotate", str(folder / "seen"), "--out", str(folder)],
    }


@pytest.mark.parametrize("what", ["demo", "video"])
def test_a_run_with_a_pt_detector_does_not_use_the_network(machine, yolo, yolo_gates_file, heads, tmp_path, what):
    stages = ["--detector", str(yolo), "--thresholds", str(yolo_gates_file), "--heads", str(heads)]
    check(machine, machine.run(*commands(tmp_path)[what], *stages, "--look-every", "1"))


@pytest.mark.parametrize("what", ["demo", "video"])
def test_a_run_with_the_embedded_models_does_not_use_the_network(machine, tmp_path, what):
    done = machine.run(*commands(tmp_path)[what])
    check(machine, done)
    assert "--detector yolo26n is recommended" in done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tag", "--demo", "--detector", "yolo26n"], "yolo26n.pt cannot be downloaded from https://github.com"),
        (["download-weights"], "resnet34-b627a593.pth cannot be downloaded from https://download.pytorch.org"),
    ],
    ids=["detector", "all"],
)
def test_a_requested_download_is_tried_and_fails_in_one_line(machine, command, message):
    done = machine.run("-m", "pipeline", *command)
    assert done.returncode != 0
    assert message in done.stderr
    assert "copy the file into" in done.stderr
    assert "Traceback" not in done.stderr
    assert machine.attempts, "the guard did not record the attempt"


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import os, sys; os.execv(sys.executable, ['python', '-c', 'import socket; socket.gethostbyname(\"a.b\")'])",
    ],
    ids=["connect", "name", "datagram", "urllib", "child process"],
)
def test_the_guard_records_every_kind_of_attempt(machine, code):
    machine.run("-c", code)
    assert machine.attempts
