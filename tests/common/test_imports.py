"""Modules of `common` are cheap to import."""

import subprocess
import sys
from pathlib import Path

import pytest

EXPENSIVE = {"numpy", "torch", "cv2", "av", "tqdm", "tabulate", "urllib.request", "http.client"}


@pytest.mark.parametrize(
    "module",
    [*(f"common.{path.stem}" for path in sorted(Path(__file__).parents[2].glob("common/*.py")))],
)
def test_import_loads_no_expensive_library(module):
    code = f"import sys, {module}; print(*({EXPENSIVE} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
