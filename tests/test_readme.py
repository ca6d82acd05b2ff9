"""The README is right: its commands and its Python example are run as they stand, in a copy of the project."""

import csv
import re
import shutil
import sys
from pathlib import Path

import pytest
from page_commands import copy_project, fenced_blocks, run, run_blocks, shell_environment

from common.paths import PROJECT
from pipeline.__main__ import COMMANDS
from pipeline.results import COLUMNS, OPTIONAL_COLUMNS

README = (PROJECT / "README.md").read_text(encoding="utf-8")
CLIPS = {
    "dog-running__aswin-dot-r-dog-running.mp4": ("dog-running", "train"),
    "bird-walking__lixirui142-flamingo.mp4": ("bird-walking", "train"),
    "car-running__intel-iot-devkit-person-bicycle-car-detection.mp4": ("car-running", "train"),
    "cat-none__yrcong-puff.mp4": ("cat-none", "train"),
    "adult-jumping__mohanrajmit-v-basketballdunk-g17-c01.mp4": ("adult-jumping adult-running ball-flying", "train"),
    "baby-crawling__mohanrajmit-v-babycrawling-g07-c01.mp4": ("baby-crawling", "test"),
}


RUNNABLE = [block for block in fenced_blocks(README, "bash") if "pip install" not in block]
OF_CLIPS = [block for block in RUNNABLE if "$KIT" in block]


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
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a shell in a new environment, without the kit."""
    return shell_environment(tmp_path_factory.mktemp("user"))


def test_commands_without_data(copy, environment):
    code = [block for block in RUNNABLE if block not in OF_CLIPS]
    assert len(code) == 1
    assert "who does what: " in run_blocks(code, copy, environment)
    assert (copy / "out" / "demo" / "demo.annotated.mp4").is_file()


def test_commands_with_data_in_the_order_of_the_readme(copy, small_kit, environment):
    assert len(OF_CLIPS) == 6
    assert "who does what: " in run_blocks(OF_CLIPS, copy, {**environment, "KIT": str(small_kit)})
    assert len((copy / "out.jsonl").read_text().splitlines()) == len(CLIPS)
    assert (copy / "out" / "tags" / "results.csv").is_file()
    assert (copy / "out" / "gates.yaml").is_file()
    assert (copy / "out" / "scores" / "scores.json").is_file()
    assert [path.name for path in (copy / "out" / "heads").glob("*.safetensors")] == ["dog.safetensors"]
    shutil.copy(next((small_kit / "clips").glob("dog-running*")), copy / "clip.mp4")
    assert re.search(r"0\.\d+ of the frames show a dog", run_python_example(copy, environment))


def test_python_example(copy, environment, people_and_cat_clip):
    shutil.copy(people_and_cat_clip, copy / "clip.mp4")
    printed = run_python_example(copy, environment)
    assert re.search(r"^cat-\w+ 0\.\d+$", printed, flags=re.MULTILINE)
    assert "0.0 of the frames show a dog" in printed


def run_python_example(folder: Path, environment: dict[str, str]) -> str:
    (code,) = fenced_blocks(README, "python")
    return run([sys.executable, "-c", code], folder, environment)


def test_every_command_is_listed_and_has_a_help(copy, environment):
    rows = re.findall(r"^\| `([\w-]+)` \| (?:`(\w+\.py)`)? ?\|", README, flags=re.MULTILINE)
    assert [command for command, _ in rows] == list(COMMANDS)
    scripts = {command: script for command, script in rows if script}
    assert set(scripts.values()) == {path.name for path in PROJECT.glob("*.py")}
    for command in COMMANDS:
        assert run([sys.executable, "-m", "pipeline", command, "--help"], copy, environment).startswith("usage: ")
    for script in scripts.values():
        assert run([sys.executable, script, "--help"], copy, environment).startswith("usage: ")
        assert f"python {script} " in "\n".join(RUNNABLE)


def test_every_key_of_a_row_is_documented():
    table = README[README.index("| key |") :].partition("\n\n")[0]
    documented = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert documented == ["schema", *COLUMNS, *OPTIONAL_COLUMNS]
