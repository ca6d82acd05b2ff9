"""The lock file: it fits the ranges, has a hash for everything, and names no server."""

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parent.parent
LOCK = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", LOCK, re.MULTILINE))


def test_every_requirement_is_locked_within_its_range():
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len(requirements) > 15
    for requirement in requirements:
        version = LOCKED[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked"


def test_every_line_is_pinned_and_hashed():
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    assert sum(not line.startswith(" ") for line in lines) == len(LOCKED) > 50
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines if line.startswith(" "))
    assert "://" not in LOCK
