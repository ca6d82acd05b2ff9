"""`doctor`: what it reports of a sound installation, and of one in which much is broken."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import PROJECT
from pipeline.__main__ import main
from pipeline.config import TaggerConfig
from pipeline.diagnosis import diagnose, without_home
from pipeline.known_detectors import EMBEDDED_FILE

PACKAGES = ("a2d", "action_heads", "actor_detector", "common", "inference", "models", "pipeline", "thresholds", "video")


def test_sound_installation(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json", "--cache", str(cache), "--out", str(tmp_path), "--device", "cpu"])
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert code == 0
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["libavcodec"]
    assert found["machine"]["cores used"] >= 1
    assert found["runtime"]["backend"] == "openvino"
    assert any(name.endswith("actor_detector.safetensors") for name in found["weights"])
    assert found["folders"]["out"]["writable"] is True
    assert found["decoder"]["frames"] == 152
    assert "person" in found["detector"]["found"]


def test_broken_installation(tmp_path: Path) -> None:
    """A head is damaged, a library cannot be imported, there is no kit, and the cache cannot be written."""
    project = tmp_path / "project"
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    head = project / "models" / "heads" / "dog.safetensors"
    content = bytearray(head.read_bytes())
    content[-1] ^= 1
    head.write_bytes(content)
    (project / "av").mkdir()
    (project / "av" / "__init__.py").write_text("raise ImportError('libavcodec.so: cannot open shared object file')")
    (tmp_path / "file").write_text("")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS", "TMPDIR") if name in os.environ},
        **{"HOME": str(home), "ACTOR_ACTION_KIT": str(home / "no-kit"), "SECRET_TOKEN": "do-not-print"},
        **{"ACTOR_ACTION_CACHE": str(tmp_path / "file" / "cache"), "ACTOR_ACTION_WEIGHTS": str(home / "weights")},
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "doctor"], cwd=project, env=environment, capture_output=True, text=True
    )
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in ("dog.safetensors: damaged or changed", "av: ImportError: libavcodec.so", "the cache folder"):
        assert len([line for line in problems if part in line]) == 1, problems
    assert all(" – " in line for line in problems)
    assert "development kit: not found" in done.stdout
    assert "path ~/weights" in done.stdout
    assert str(home) not in done.stdout
    assert "do-not-print" not in done.stdout


def test_damaged_detector_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    path.write_bytes(EMBEDDED_FILE.read_bytes()[:100_000])
    config = TaggerConfig(detector=str(path), thresholds=PROJECT / "thresholds" / "default.yaml", device="cpu")
    problems = diagnose(config, tmp_path).problems
    assert [problem.text.partition(":")[0] for problem in problems] == ["detector"]
    assert "not a readable safetensors file" in problems[0].text


def test_home_is_shortened_everywhere() -> None:
    home = str(Path.home())
    content = without_home({home: [f"{home}/x", 3], "a": {"b": home}})
    assert content == {"~": ["~/x", 3], "a": {"b": "~"}} or home == "/"
