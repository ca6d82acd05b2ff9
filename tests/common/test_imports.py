"""Modules needed to parse a command line are cheap to import."""

import subprocess
import sys

import pytest

from common.paths import PROJECT

EXPENSIVE = {"numpy", "torch", "cv2", "av", "tqdm", "tabulate", "urllib.request", "http.client"}


@pytest.mark.parametrize(
    "module",
    [
        *(f"common.{path.stem}" for path in sorted((PROJECT / "common").glob("*.py"))),
        *("inference.devices", "inference.interfaces", "inference.runtime", "pipeline.config"),
    ],
)
def test_import_loads_no_expensive_library(module):
    code = f"import sys, {module}; print(*({EXPENSIVE} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
