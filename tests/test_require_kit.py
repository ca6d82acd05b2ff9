"""The option `--require-kit`: a missing kit is an error, and a skipped test is a failure."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import PROJECT

TESTS = """\
import pytest

def test_passes():
    pass

def test_needs_the_kit(kit):
    assert (kit / "clips.csv").is_file()

def test_is_skipped():
    pytest.skip("no reason")

@pytest.mark.skipif(True, reason="no reason")
def test_is_marked():
    pass

@pytest.mark.xfail(reason="expected")
def test_is_expected_to_fail():
    assert False
"""
SKIPPED_MODULE = 'import pytest\n\npytest.skip("no reason", allow_module_level=True)\n'


@pytest.fixture
def folder(tmp_path):
    """A folder with tests, and a kit without clips."""
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(SKIPPED_MODULE)
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "clips.csv").touch()
    return tmp_path


def run(folder: Path, kit: Path, *options: str) -> tuple[int, dict[str, int], str]:
    """Run the tests with this project's conftest; return exit code, number of tests by outcome, and output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir", ".", ".", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}", "ACTOR_ACTION_KIT": str(kit)},
        capture_output=True,
        text=True,
        check=False,
    )
    summary = done.stdout.splitlines()[-1] if done.stdout else ""
    counts = re.findall(r"(\d+) (passed|failed|error|skipped|xfailed)", summary)
    return done.returncode, {outcome: int(number) for number, outcome in counts}, done.stdout + done.stderr


def test_without_the_option_a_missing_kit_skips_with_the_reason(folder):
    code, counts, output = run(folder, folder / "nowhere", "-rs")
    assert (code, counts) == (0, {"passed": 1, "skipped": 4, "xfailed": 1})
    assert f"the kit of real clips is not in {folder / 'nowhere'}: set ACTOR_ACTION_KIT" in output


def test_with_the_option_a_missing_kit_is_an_error(folder):
    code, counts, output = run(folder, folder / "nowhere", "--require-kit")
    assert (code, counts) == (int(pytest.ExitCode.USAGE_ERROR), {})
    assert f"the kit of real clips is not in {folder / 'nowhere'}: set ACTOR_ACTION_KIT" in output


def test_with_the_option_a_skipped_test_fails(folder):
    (folder / "test_module.py").unlink()
    code, counts, output = run(folder, folder / "kit", "--require-kit")
    assert (code, counts) == (int(pytest.ExitCode.TESTS_FAILED), {"passed": 2, "failed": 1, "error": 1, "xfailed": 1})
    assert output.count("skipped, although --require-kit was given") >= 2


def test_with_the_option_a_skipped_module_fails(folder):
    (folder / "test_some.py").unlink()
    code, _, output = run(folder, folder / "kit", "--require-kit")
    assert code != 0
    assert "skipped, although --require-kit was given" in output
