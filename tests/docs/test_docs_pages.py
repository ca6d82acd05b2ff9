"""The documentation is right: every block of commands and of Python is run, and prints what the page shows.

A page is run from top to bottom, in a copy of the project that has the practice clips. Comments in its source are
instructions to this test, for the block that follows:

    <!-- not run: REASON -->     the block is not run, but its commands and options must exist
    <!-- by hand: COMMAND -->    what a reader does on a page in the browser, as a command

A block without a language directly below a block that is run is its output. Each of its lines must be printed, numbers
and spaces aside, since they differ between kinds of CPU; a line that ends in `…` may go on, and `…` alone is any lines.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fake_a2d
import page_commands
import pytest

from common.paths import PROJECT
from pipeline.__main__ import COMMANDS, add_command

PAGES = sorted((PROJECT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- (not run|by hand): (.*?) -->\s*\Z", re.DOTALL)
CODE = ("bash", "python")
A2D_CLIPS = (
    fake_a2d.FakeClip("ball-1", "train", {1: (34,)}),
    fake_a2d.FakeClip("ball-2", "train", {2: (36,)}),
    fake_a2d.FakeClip("walker-1", "train", {4: (18,)}),
    fake_a2d.FakeClip("ball-3", "test", {3: (36, 13), 5: (34,)}),
)
# Nothing is downloaded, and one head says how the others are trained.
A2D_VARIABLES = {"A2D": "A2D", "DETECTOR": "embedded", "TRUNK": "embedded", "ACTORS": "ball"}


@dataclass(frozen=True)
class Block:
    """A block of commands or of Python.

    Attributes:
        language: bash or python.
        code: What it contains.
        not_run: Why it is not run; empty if it is.
        by_hand: A command to run before it.
        output: What the page shows as its output; empty if nothing.
    """

    language: str
    code: str
    not_run: str
    by_hand: str
    output: str


def read_blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    fences = list(FENCE.finditer(page))
    for number, fence in enumerate(fences):
        if fence[1] in CODE:
            before = page[fences[number - 1].end() if number else 0 : fence.start()]
            comment = COMMENT.search(before)
            kind, text = (comment[1], comment[2]) if comment else ("", "")
            output = ""
            if number + 1 < len(fences):
                following = fences[number + 1]
                if not following[1] and not page[fence.end() : following.start()].strip():
                    output = following[2]
            not_run, by_hand = (text if kind == name else "" for name in ("not run", "by hand"))
            yield Block(fence[1], fence[2], not_run, by_hand, output)


def normalized(line: str) -> str:
    """Return a line of output without what differs between machines: numbers, hashes, widths."""
    line = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "0", line)
    line = re.sub(r"\d+(?:[.,]\d+)*", "0", line)
    return " ".join(re.sub(r"-{3,}", "---", line).split())


def lines_not_printed(shown: str, printed: str) -> list[str]:
    """Return the lines that a page shows and no command has printed."""
    lines = {normalized(line) for line in printed.splitlines()}
    missing = []
    for line in filter(str.strip, shown.splitlines()):
        begins = normalized(line.removesuffix("…"))
        if not any(other.startswith(begins) if line.endswith("…") else other == begins for other in lines):
            missing.append(line)
    return missing


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the practice clips, a tiny A2D, and the program `actor-action` in `bin`."""
    folder = page_commands.copy_project(tmp_path_factory.mktemp("project"), "docs", "experiments", "benchmarks")
    (folder / "mine" / "heads").mkdir(parents=True)  # which commands that are not run would write
    (folder / "bin").mkdir()
    program = folder / "bin" / "actor-action"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n"
        "from pipeline.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    program.chmod(0o755)
    fake_a2d.write_release(folder / "A2D", A2D_CLIPS)
    return folder


@pytest.fixture(scope="module")
def environment(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a shell in which `actor-action` is installed, with the practice clips made."""
    variables = page_commands.shell_environment(tmp_path_factory.mktemp("user"))
    path = f"{workplace / 'bin'}:{variables['PATH']}"
    variables = {**variables, **A2D_VARIABLES, "PATH": path, "PYTHONPATH": str(workplace), "COLUMNS": "200"}
    page_commands.run([sys.executable, "-m", "docs.practice_clips", "practice"], workplace, variables)
    return variables


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_prints_what_it_shows(page: Path, workplace: Path, environment: dict[str, str]):
    blocks = [block for block in read_blocks(page.read_text(encoding="utf-8")) if not block.not_run]
    mark = "--- end of block"
    code = ["exec 2>&1"]
    for number, block in enumerate(blocks):
        code += [block.by_hand, block.code]
        if block.language == "python":
            script = workplace / f"{page.stem}_{number}.py"
            script.write_text(block.code)
            code[-1] = f"python {script.name}"
        code.append(f"echo '{mark}'")
    printed = page_commands.run_blocks(code, workplace, environment).split(f"{mark}\n")
    assert len(printed) == len(blocks) + 1
    for block, text in zip(blocks, printed, strict=False):
        assert lines_not_printed(block.output, text) == [], text


def test_most_blocks_are_run():
    blocks = [block for page in PAGES for block in read_blocks(page.read_text(encoding="utf-8"))]
    assert sum(not block.not_run for block in blocks) > 25
    assert sum(bool(block.output) for block in blocks) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_are_not_run_exist_with_their_options(
    page: Path, workplace: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workplace)
    for block in read_blocks(page.read_text(encoding="utf-8")):
        if not block.not_run:
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            match shlex.split(line, comments=True):
                case ["actor-action", command, *arguments]:
                    parser_of(command).parse_args(arguments)
                case ["python", "-m", module, *arguments] if module != "venv":
                    text = page_commands.run([sys.executable, "-m", module, "--help"], workplace, environment)
                    assert [word for word in arguments if word.startswith("--") and word not in text] == []


def parser_of(command: str) -> argparse.ArgumentParser:
    assert command in COMMANDS
    parser = argparse.ArgumentParser()
    add_command(parser, command)
    return parser


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_stand_in_blocks_that_are_run(page: Path):
    for language, content in FENCE.findall(page.read_text(encoding="utf-8")):
        if language not in CODE:
            assert not re.match(r"(actor-action|python|pip) ", content), "say that it is bash"


def test_blocks_and_outputs_are_recognized():
    page = "a\n<!-- not run: slow -->\n```bash\nx\n```\n\n```\nof x\n```\nb\n```python\ny\n```\n\n```\nz\n```\n"
    assert list(read_blocks(page)) == [
        Block("bash", "x\n", "slow", "", "of x\n"),
        Block("python", "y\n", "", "", "z\n"),
    ]
    assert lines_not_printed("cat  12.5 %\n…\nin …\n", "dog\ncat 3 %\nin 5 s\n") == []
    assert lines_not_printed("cat 12 %\ndog\n", "cat 3 points\nno dog\n") == ["cat 12 %", "dog"]
