"""What the tests of several formats have in common."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with clips; that they are no videos does not matter here."""
    for name in ("a b.mp4", "b.mp4", "demo.mp4"):
        (tmp_path / name).write_text("")
    return tmp_path
