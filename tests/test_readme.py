"""The README keeps its word: its commands and its Python are run as they stand, in a copy of the project."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
COPIED = ("a2d", "actor_detector", "thresholds", "action_heads", "pipeline", "models")
CLIPS = {
    "dog-running__aswin-dot-r-dog-running.mp4": ("dog-running", "train"),
    "bird-walking__lixirui142-flamingo.mp4": ("bird-walking", "train"),
    "car-running__intel-iot-devkit-person-bicycle-car-detection.mp4": ("car-running", "train"),
    "cat-none__yrcong-puff.mp4": ("cat-none", "train"),
    "adult-jumping__mohanrajmit-v-basketballdunk-g17-c01.mp4": ("adult-jumping adult-running ball-flying", "train"),
    "baby-crawling__mohanrajmit-v-babycrawling-g06-c01.mp4": ("baby-crawling", "test"),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [block for block in blocks("bash") if "pip install" not in block]


@pytest.fixture(scope="module")
def small_kit(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit of six short clips."""
    folder = tmp_path_factory.mktemp("kit")
    (folder / "weights").symlink_to(kit / "weights")
    (folder / "clips").mkdir()
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split"])
        for name, (labels, split) in CLIPS.items():
            (folder / "clips" / name).symlink_to(kit / "clips" / name)
            writer.writerow([f"clips/{name}", labels, split])
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to run in, so that nothing is written into this one."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in PROJECT.glob("*.py"):
        shutil.copy(script, folder)
    return folder


@pytest.fixture(scope="module")
def environment(small_kit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a shell in a fresh environment has, the interpreter's folder first."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "PATH": path, "KIT": str(small_kit), "ACTOR_ACTION_CACHE": cache}


def test_the_commands_run_in_the_order_of_the_readme(copy, environment):
    assert len(COMMANDS) == 7
    script = "set -euo pipefail\nmkdir -p out\n" + "\n".join(COMMANDS)
    done = subprocess.run(
        ["bash", "-c", script], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "who does what: " in done.stdout
    assert len((copy / "out.jsonl").read_text().splitlines()) == len(CLIPS)
    assert (copy / "out" / "demo" / "demo.annotated.mp4").is_file()
    assert (copy / "out" / "tags" / "results.csv").is_file()
    assert (copy / "out" / "gates.yaml").is_file()
    assert (copy / "out" / "scores" / "scores.json").is_file()
    assert [path.name for path in (copy / "out" / "heads").glob("*.safetensors")] == ["dog.safetensors"]
    (python,) = blocks("python")
    (copy / "clip.mp4").symlink_to(next(Path(environment["KIT"], "clips").glob("dog-running*")))
    environment = {**environment, "ACTOR_ACTION_KIT": environment["KIT"]}
    done = subprocess.run(
        [sys.executable, "-c", python], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"0\.\d+ of the frames show a dog", done.stdout)


def test_every_command_is_shown():
    text = "\n".join(COMMANDS)
    for script in ("run_pipeline.py", "tune_thresholds.py", "retrain_head.py", "score_split.py"):
        assert f"python {script} " in text
    assert "python download_weights.py " in README  # for machines with a network, so it is not run


def test_the_readme_documents_every_key_of_a_row():
    from pipeline.results import COLUMNS

    table = README[README.index("| key | is |") : README.index("Exit code:")]
    documented = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert documented == ["schema", *COLUMNS]
