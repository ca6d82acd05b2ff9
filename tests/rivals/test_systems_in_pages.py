"""The pages name every system, with the F1 that its report publishes."""

import re

import pytest

from common.paths import PROJECT
from rivals.ensemble import PUBLISHED_F1
from rivals.registry import ENSEMBLE, NAMES, find_system

README_ROW = re.compile(r"^\| (`[^|]*) \|[^|]*\|(.*)\|$", re.MULTILINE)
COMMAND = re.compile(r"^actor-action train-rival .*--system (\w+).*# (.*)$", re.MULTILINE)


def published(name: str) -> float | None:
    """Return the published F1, in percent."""
    f1 = PUBLISHED_F1 if name == ENSEMBLE else find_system(name).published_f1
    return None if f1 is None else round(100 * f1, 1)


def first_number(text: str) -> float | None:
    """Return the first number of a text that says what the F1 is; a limit or a comparison is none."""
    found = re.match(r"(?:about )?(\d+(?:\.\d)?)", text.strip())
    return float(found[1]) if found else None


@pytest.mark.parametrize("name", NAMES)
def test_the_manual_lists_a_system(name):
    section = (PROJECT / "README.md").read_text().partition("## Compare other systems")[2].partition("\n## ")[0]
    rows = {system: f1 for names, f1 in README_ROW.findall(section) for system in re.findall(r"`(\w+)`", names)}
    assert first_number(rows[name]) == published(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_on_a2d_has_the_command_of_a_system(name):
    commands = dict(COMMAND.findall((PROJECT / "docs" / "your_a2d_copy.md").read_text()))
    assert first_number(commands[name]) == published(name)
