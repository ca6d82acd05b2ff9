"""Exports in the tools that they are for, and back again; collected only if `ACTOR_ACTION_TOOLS` names their Python."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from export_results import EXPECTED, write_results

from a2d.dataset import read_samples
from common.paths import PROJECT
from pipeline.exports.formats import write_export
from pipeline.exports.text import clean
from pipeline.results_reader import read_results


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported")
    write_results(path)
    return path


def check(name: str, *paths: Path) -> Any:
    """Run a check in the environment of the tools."""
    if "ACTOR_ACTION_TOOLS" not in os.environ:  # the module was named on the command line
        pytest.skip("ACTOR_ACTION_TOOLS does not name the Python of an environment with requirements-tools.txt")
    command = [os.environ["ACTOR_ACTION_TOOLS"], str(PROJECT / "tests" / "tool_checks.py"), name, *map(str, paths)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_fiftyone_imports_the_dataset_and_its_exports_are_read(root, tmp_path, taxonomy):
    results = read_results(root / "results")
    write_export(results, "fiftyone", tmp_path / "out", taxonomy)
    found = check("fiftyone", tmp_path / "out", tmp_path / "back")
    samples = {sample["filepath"]: sample for sample in found["samples"]}
    assert list(samples) == [clean(result.path) for result in results if result.status != "error"]
    first, truncated, *_ = samples.values()
    assert first["labels"] == [["adult-walking", 0.8], ["adult-none", 0.4]]
    assert first["segments"] == [["adult-walking", [1, 2]], ["adult-walking", [4, 6]], ["adult-none", [4, 6]]]
    assert first["boxes"][0] == [1, "adult-walking", pytest.approx([4 / 48, 2 / 32, 20 / 48, 28 / 32], abs=1e-6), 0.9]
    assert (first["frames"], first["size"]) == (6, [48, 32])
    assert truncated["tags"] == ["todo", "truncated"]
    assert found["clips"] == sum(len(sample["segments"]) for sample in samples.values())

    for folder, split in (("dataset", "todo"), ("video_labels", "train")):
        back = read_samples(tmp_path / "back" / folder, split, taxonomy)
        assert [sample.labels for sample in back] == list(EXPECTED.values())


def test_label_studio_accepts_the_predictions(root, tmp_path, taxonomy):
    write_export(read_results(root / "results"), "label-studio", tmp_path / "out", taxonomy)
    found = check("label-studio", tmp_path / "out")
    assert (found["tasks"], found["errors"]) == (len(EXPECTED), [])
    assert found["refused"], "a label that is not in the configuration"


def test_datumaro_reads_the_tracks_for_cvat(root, tmp_path, taxonomy):
    write_export(read_results(root / "results"), "cvat", tmp_path / "out", taxonomy)
    (tmp_path / "out" / "old.xml").unlink()  # tags of frames, of which Datumaro demands the image files
    files = check("cvat", tmp_path / "out")["files"]
    assert len(files) == len(EXPECTED) - 1
    assert files["truncated.xml"] == [[0, "adult-walking", [4, 2, 24, 30]], [4, "adult-walking", [10, 2, 48.6, 32]]]
