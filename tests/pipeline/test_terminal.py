"""Colours and control characters: what a terminal gets, and that everything else gets the same text as ever."""

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from result_rows import failed, row

from common.paths import PROJECT
from common.styles import no_paint
from pipeline.commands.doctor import format_diagnosis
from pipeline.commands.terminal import LOOKS, paint_for
from pipeline.visualization.run_summary import RunSummary
from pipeline.visualization.text_report import format_result

COLOR = re.compile(r"\x1b\[[\d;]*m")
HOSTILE = "a\x1b[31m\x1b]0;title\x07\rb\x9bc\u202ed.mp4"
HARMLESS = r"a\x1b[31m\x1b]0;title\x07\rb\x9bc\u202ed.mp4"
VARIABLES = ("NO_COLOR", "FORCE_COLOR", "TERM")


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("variables", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
    ids=str,
)
@pytest.mark.skipif(sys.platform == "win32", reason="an old console of Windows shows no colours")
def test_when_there_are_colours(monkeypatch, variables, on_terminal, in_pipe):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for stream, is_colored in ((Terminal(), on_terminal), (io.StringIO(), in_pipe), (None, in_pipe)):
        painted = paint_for(stream)("dog", "good")
        assert (painted != "dog") == is_colored
        assert COLOR.sub("", painted) == "dog"


def test_every_style_is_shown_and_ends():
    paint = paint_for(Terminal())
    looks = {paint("x", style) for style in LOOKS}
    assert len(looks) == len(LOOKS)
    assert all(look.startswith("\x1b[") and look.endswith("x\x1b[0m") for look in looks)
    assert paint("x") == "x"
    assert paint("", "good") == ""


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"FORCE_COLOR": "1"}], ids=str)
def test_a_terminal_gets_no_control_characters_of_names(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for style in ("plain", "bad"):
        assert COLOR.sub("", paint_for(Terminal())(HOSTILE, style)) == HARMLESS
    assert paint_for(Terminal())("a\tb\n") == "a\tb\n"
    assert paint_for(Terminal())("naïve 日本 🐕‍🦺.mp4") == "naïve 日本 🐕‍🦺.mp4"


def test_a_pipe_gets_names_as_they_are():
    assert paint_for(io.StringIO())(HOSTILE, "bad") == HOSTILE
    assert no_paint(HOSTILE, "bad") == HOSTILE


def every_text(paint, taxonomy) -> list[str]:
    """Format results of all kinds, a summary and a diagnosis."""
    tagged = row(HOSTILE)
    absent = replace(tagged.actors["cat"], presence=0.09, detected=0.2, gate=0.1, present=False, margin=-0.01)
    truncated = replace(tagged, status="truncated", error=HOSTILE, actors={**tagged.actors, "cat": absent})
    summary, diagnosis = RunSummary(), {"paths": {"cache": HOSTILE}, "problems": [{"problem": HOSTILE, "remedy": "-"}]}
    results = [tagged, truncated, failed(HOSTILE, HOSTILE)]
    for result in results:
        summary.add(result)
    return [
        *(format_result(result, taxonomy, 0.3, paint) for result in results),
        *summary.overview(10.0, Path(HOSTILE), paint),
        format_diagnosis(diagnosis, paint),
        format_diagnosis({"problems": []}, paint),
    ]


def test_colours_change_nothing_but_colours(taxonomy):
    plain, painted = every_text(no_paint, taxonomy), every_text(paint_for(Terminal()), taxonomy)
    assert sum(map(len, map(COLOR.findall, painted))) > 60
    for before, after in zip(plain, painted, strict=True):
        text = COLOR.sub("", after)
        assert text == before.replace(HOSTILE, HARMLESS)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_the_table_shows_at_once_who_is_present(taxonomy):
    lines = format_result(row("a.mp4"), taxonomy, 0.3, paint_for(Terminal())).splitlines()
    (present,) = [line for line in lines if "present (" in line]
    absent = [line for line in lines if "absent (" in line]
    green, grey = (paint_for(Terminal())("|", style).partition("|")[0] for style in ("good", "faint"))
    assert green in present
    assert all(grey in line and green not in line for line in absent)
    assert len(absent) == len(taxonomy.actors) - 1


def run_in_terminal(folder: Path, *arguments: str, **variables: str) -> str:
    """Run the command in a pseudo-terminal, and return what it shows there."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    main, other = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "run_pipeline.py"), *arguments],
        cwd=folder,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "100"} | variables,
        stdin=subprocess.DEVNULL,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    shown = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:  # on Linux, the end
            break
        if not part:
            break
        shown += part
    process.wait()
    os.close(main)
    return shown.decode()


def test_a_run_in_a_terminal(tmp_path):
    (tmp_path / HOSTILE).touch()
    shown = run_in_terminal(tmp_path, "--video", HOSTILE, "gone.mp4")
    assert "\x1b[1;31mnot tagged: gone.mp4: no such file or directory\x1b[0m" in shown
    assert f"\x1b[1m{HARMLESS}\x1b[0m" in shown
    assert "\x1b[33mnot as they should be: 1 × " in shown
    assert "\x1b[1;31mof 2 clips, 2 could not be read and 0 are truncated\x1b[0m" in shown
    assert "\x1b]0;" not in shown
    assert "\x9b" not in shown


def test_a_run_in_a_terminal_without_colours(tmp_path):
    (tmp_path / HOSTILE).touch()
    shown = run_in_terminal(tmp_path, "--video", HOSTILE, "gone.mp4", NO_COLOR="1")
    assert COLOR.findall(shown) == []
    assert f"\n{HARMLESS}\r\n  not tagged: {HARMLESS}: " in shown


def test_wrong_usage_in_a_terminal(tmp_path):
    shown = run_in_terminal(tmp_path, "--video", "a.mp4", f"--{HOSTILE}")
    assert "error: \x1b[1;31munrecognized arguments" in shown
    assert "\x1b]0;" not in shown
    missing = run_in_terminal(tmp_path, "--video", "@no.txt")
    assert "\x1b[1;31merror: " in missing
