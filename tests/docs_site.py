"""Builds the documentation site."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import PROJECT


def build_site(folder: Path) -> Path:
    """Build the site strictly into a folder and return the folder; skip the test if MkDocs is not installed."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="needs MkDocs: pip install -r requirements-docs.txt")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder
