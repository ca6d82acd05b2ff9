"""Which sources lose most F1, and the command that prints them."""

import csv
import json

import numpy as np
import pytest

from experiments import worst_sources
from experiments.ablation_rows import ONLY_ACTORS_MISSED, SHIPPED
from experiments.worst_sources import rank_sources
from pipeline.commands.console import DONE, WRONG_USAGE, run_guarded


def test_sources_are_ranked_by_what_their_clips_lose_together():
    f1 = np.array([0.5, 0.0, 0.5, 1.0])
    perfect_actions = np.array([1.0, 0.25, 0.4, 1.0])
    ranked = rank_sources(f1, perfect_actions, ["many", "one", "many", "right"])
    assert [name for name, *_ in ranked] == ["many", "one", "right"]
    assert [clips.tolist() for _, clips, *_ in ranked] == [[0, 2], [1], [3]]
    assert [lost for *_, lost, _ in ranked] == pytest.approx([1.0, 1.0, 0.0])
    assert [missed for *_, missed in ranked] == pytest.approx([0.5, 0.75, 0.0])  # never more than was lost


@pytest.fixture
def data(people_and_cat_clip, cat_clip, tmp_path):
    path = tmp_path / "clips.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split", "source"])
        writer.writerows([[people_and_cat_clip, "cat-none", "train", "a"], [cat_clip, "cat-walking", "train", "b"]])
    return path


def write_report(path, shipped):
    rows = [
        {"name": name, "scores": {"cv": {"f1_by_sample": f1}}}
        for name, f1 in ((SHIPPED, shipped), (ONLY_ACTORS_MISSED, [1.0] * len(shipped)))
    ]
    path.write_text(json.dumps({"rows": rows}))


def test_worst_sources_are_printed_with_their_labels(data, tmp_path, capsys):
    write_report(tmp_path / "report.json", [1.0, 0.25])
    assert worst_sources.main(["--data", str(data), "--heads", str(tmp_path / "report.json"), "--count", "1"]) == DONE
    out = capsys.readouterr().out
    assert "2 clips of 2 sources lose 0.8 F1: 0% because actors are missed, 100% by wrong labels" in out
    assert out.splitlines()[-1].split() == ["b", "1", "25.0", "0.8", "100.0%", "0.0", "0.8", "cat-walking"]


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"rows": [{}]}', "\\udcff"])
def test_what_is_no_report_is_refused(data, tmp_path, capsys, content):
    (tmp_path / "report.json").write_text(content, errors="surrogateescape")
    command = ["--data", str(data), "--heads", str(tmp_path / "report.json")]
    assert run_guarded(lambda: worst_sources.main(command)) == WRONG_USAGE
    assert capsys.readouterr().err.startswith("error: ")


def test_a_report_of_other_clips_is_refused(data, tmp_path, capsys):
    write_report(tmp_path / "report.json", [1.0])
    command = ["--data", str(data), "--heads", str(tmp_path / "report.json")]
    assert run_guarded(lambda: worst_sources.main(command)) == WRONG_USAGE
    assert "the report is of 1 training clips, the data set has 2" in capsys.readouterr().err
