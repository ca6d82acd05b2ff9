"""Runs what the pages show: the blocks of commands and of Python, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from common.paths import PROJECT

COPIED = (
    *("common", "video", "inference", "networks", "a2d", "actor_detector", "thresholds", "action_heads", "rivals"),
    *("pipeline", "models"),
)


def fenced_blocks(page: str, language: str) -> list[str]:
    """Return the contents of a page's fenced blocks in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def copy_project(folder: Path, *more: str) -> Path:
    """Copy the packages, more folders if they are named, and the scripts, so that nothing is written into the project.

    Returns:
        The folder, to run in.
    """
    for name in (*COPIED, *more):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in PROJECT.glob("*.py"):
        shutil.copy(script, folder)
    return folder


def shell_environment(user: Path) -> dict[str, str]:
    """Return the variables of a shell in a new environment, the interpreter's folder first, without the kit.

    Args:
        user: Folder for what a user's home has, such as the cache.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {"ACTOR_ACTION_CACHE": str(user / "cache"), "ACTOR_ACTION_KIT": str(user / "no-kit")}
    return {**os.environ, "PATH": path, **variables}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command in a folder and return what it prints."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_blocks(code: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run blocks of commands one after another and return what they print."""
    return run(["bash", "-c", "set -euo pipefail\nmkdir -p out\n" + "\n".join(code)], folder, environment)
