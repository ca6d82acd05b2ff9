"""Tuning on data that is not perfect: actors that no clip shows, clips without any actor, broken and missing clips."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fake_clips import cut_file, remux

from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.known_detectors import KNOWN_DETECTORS
from pipeline.training.known_gates import KnownGates, find_known_gates
from thresholds.exact import UNIFORM_GATE
from thresholds.fitness import PresenceTable
from thresholds.gates import PAPER_GATES_FILE, load_gates, save_gates

DEFAULT_GATES = KNOWN_DETECTORS["embedded"].thresholds


@pytest.fixture
def folder(people_clip, cat_clip, people_and_cat_clip, tmp_path):
    """A folder with three clips, and two files of which nothing or only a part can be decoded."""
    for name, clip in (("people", people_clip), ("cat", cat_clip), ("both", people_and_cat_clip)):
        shutil.copy(clip, tmp_path / f"{name}.mp4")
    (tmp_path / "broken.mp4").write_text("no video")
    return tmp_path


ROWS = {
    "people.mp4": "people.mp4,adult-walking,train",
    "both": "both.mp4,adult-walking cat-walking,train",
    "cat": "cat.mp4,cat-none,train",
    "broken": "broken.mp4,adult-walking,train",
    "missing": "missing.mp4,adult-walking,train",
}


@pytest.fixture
def tune(folder, cache, capsys):
    """Tune on rows of a CSV; returns the exit code, the gates or None, and what was printed."""

    def run(rows, *arguments):
        data = folder / "clips.csv"
        data.write_text("file,labels,split\n" + "\n".join(rows) + "\n")
        out = folder / "out" / "gates.yaml"
        out.unlink(missing_ok=True)
        command = ["tune-thresholds", "--data", str(data), "--out", str(out), "--cache", str(cache), "--device", "cpu"]
        code = main([*command, *map(str, arguments)])
        return code, load_gates(out) if out.is_file() else None, capsys.readouterr()

    return run


def value_of(gates, actor):
    return gates.values[gates.actors.index(actor)]


@pytest.mark.parametrize("optimizer", ["spso2011", "gbest"])
def test_gates_of_actors_that_no_clip_shows_are_the_known_ones_whatever_the_seed(tune, optimizer):
    known = load_gates(DEFAULT_GATES)
    found = []
    for seed in range(3):
        code, gates, printed = tune([ROWS["both"], ROWS["people.mp4"]], "--seed", seed, "--optimizer", optimizer)
        assert code == console.DONE
        for actor in ("ball", "bird", "car", "dog", "person"):
            assert value_of(gates, actor) == value_of(known, actor)
        found.append(gates.values.tolist())
        assert gates.kept.source == "default.yaml"
        assert gates.kept.sha256 == known.sha256
        assert gates.kept.reasons == {
            "person": "every clip shows it",
            **dict.fromkeys(("ball", "bird", "car", "dog"), "no clip shows it"),
        }
        assert gates.clips_showing == {"person": 2, "ball": 0, "bird": 0, "car": 0, "cat": 1, "dog": 0}
        assert "clips that show it, of 2" in printed.out
        kept = f"{value_of(known, 'bird'):g}"
        assert f"bird: 0 of 2 clips of split 'train' show it; its gate is kept, not tuned: {kept}" in printed.err
        assert "person: 2 of 2 clips of split 'train' show it; its gate is kept" in printed.err
        assert "cat: 1 of 2 clips of split 'train' show it; its gate of 0." in printed.err
        assert "rests on 1 clip with it" in printed.err
        assert "cat: every gate from 0.01 to 0.5 decides the 2 clips alike" in printed.err
    assert found[0] == found[1] == found[2]


def test_start_names_the_gates_to_keep(tune, folder):
    start = replace(load_gates(DEFAULT_GATES), values=np.array([0.91, 0.92, 0.93, 0.94, 0.95, 0.96]))
    save_gates(start, folder / "start.yaml")
    _, gates, printed = tune([ROWS["people.mp4"], ROWS["cat"]], "--start", folder / "start.yaml")
    assert [value_of(gates, actor) for actor in ("ball", "bird", "car", "dog")] == [0.92, 0.93, 0.94, 0.96]
    assert 0.01 <= value_of(gates, "person") <= 0.5
    assert 0.01 <= value_of(gates, "cat") <= 0.5
    assert gates.kept.source == "start.yaml"
    assert "from start.yaml" in printed.err
    code, gates, printed = tune([ROWS["people.mp4"]], "--start", folder / "none.yaml")
    assert (code, gates) == (console.WRONG_USAGE, None)
    assert printed.err == f"error: {folder / 'none.yaml'}: no such file\n"


def test_image_size_and_confidence_are_chosen_with_the_gates(tune, folder, capsys):
    rows = [ROWS["people.mp4"], ROWS["cat"], ROWS["both"]]
    code, gates, printed = tune(rows, "--confidences", 0.9, 0.3, "--image-sizes", 320, 224)
    assert code == console.DONE
    points = [line.split()[:2] for line in printed.out.splitlines() if line.split()[:1] in (["224"], ["320"])]
    assert points == [["224", "0.3"], ["224", "0.9"], ["320", "0.3"], ["320", "0.9"]]
    (chosen,) = (line.split() for line in printed.out.splitlines() if line.endswith("(chosen)"))
    assert chosen[:2] == [str(gates.detector.image_size), f"{gates.detector.confidence:g}"]
    assert chosen[2] == gates.method
    assert gates.out_of_fold is not None
    assert f"{100 * gates.out_of_fold.f1:.1f}" in chosen
    assert gates.sources == 3
    # What is tagged with these gates is detected as they were tuned.
    clip, out = str(folder / "cat.mp4"), folder / "tagged"
    assert main(["tag", "--video", clip, "--thresholds", str(folder / "out/gates.yaml"), "--out", str(out)]) == 0
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert (settings["image_size"], settings["confidence"]) == (gates.detector.image_size, gates.detector.confidence)


@pytest.mark.parametrize("method", ["common", "tuned"])
def test_a_method_can_be_requested(tune, method):
    _, gates, printed = tune([ROWS["people.mp4"], ROWS["cat"], ROWS["both"]], "--method", method)
    assert gates.method == method
    assert len(re.findall("(chosen)", printed.out)) == 1


def test_gates_kept_from_another_detector_are_pointed_out(tune):
    _, gates, printed = tune([ROWS["people.mp4"], ROWS["cat"]], "--start", PAPER_GATES_FILE)
    assert value_of(gates, "ball") == 0.107
    assert "the gates kept from paper.yaml were tuned for yolov3 of unknown sha256" in printed.err


@pytest.mark.parametrize(
    ("detector", "name"), [("embedded", "default.yaml"), ("yolo26n", "yolo26n.yaml"), ("my.pt", "paper.yaml")]
)
def test_known_gates_are_those_of_the_detector_or_the_published(detector, name):
    assert find_known_gates(None, detector).name == name


def test_an_actor_without_any_known_gate_is_given_the_uniform_one(taxonomy):
    paper = load_gates()
    known = KnownGates(replace(paper, actors=paper.actors[:-1], values=paper.values[:-1]), "five.yaml")
    truth = np.zeros((3, 6), bool)
    truth[0, 0] = True
    fixed, kept = known.keep(PresenceTable(np.zeros((3, 6)), truth), taxonomy)
    assert np.isnan(fixed).tolist() == [True, False, False, False, False, False]
    assert fixed[-1] == UNIFORM_GATE
    assert kept.reasons["dog"] == "no clip shows it, and no gate of it is known: 0.15"


def test_broken_and_missing_clips_are_skipped_with_line_and_reason(tune, folder):
    rows = [ROWS[name] for name in ("people.mp4", "broken", "missing", "both")]
    code, gates, printed = tune([*rows, "cat.mp4,cat-none,test", "gone.mp4,cat-none,test"])
    assert code == console.SOME_FAILED
    assert (gates.clips, gates.skipped) == (2, 2)
    skipped = [line for line in printed.err.splitlines() if line.startswith("skipped: ")]
    assert [line.split(": ")[1] for line in skipped] == [f"{folder}/clips.csv:{row}" for row in (4, 3, 7)]
    assert "no such file" in skipped[0]
    assert "not a video" in skipped[1]
    assert "skipped 3 in all" in printed.err
    _, clean, _ = tune([ROWS["people.mp4"], ROWS["both"], "cat.mp4,cat-none,test"])
    assert clean.values.tolist() == gates.values.tolist()


def test_a_truncated_clip_is_skipped(tune, folder, people_clip):
    """Its labels describe the whole clip, and what is missing may show other actors."""
    cut_file(remux(people_clip, folder / "cut.mkv"), 0.7)
    code, gates, printed = tune([ROWS["people.mp4"], "cut.mkv,adult-walking,train", ROWS["cat"]])
    assert code == console.SOME_FAILED
    assert (gates.clips, gates.skipped) == (2, 1)
    assert f"skipped: {folder}/clips.csv:3: {folder}/cut.mkv: " in printed.err
    assert tune([ROWS["people.mp4"], "cut.mkv,adult-walking,train"], "--strict")[0] == console.WRONG_USAGE


@pytest.mark.parametrize("bad", ["broken", "missing"])
def test_strict_stops_at_the_first(tune, folder, bad):
    code, gates, printed = tune([ROWS["people.mp4"], ROWS[bad], ROWS["both"]], "--strict")
    assert (code, gates) == (console.WRONG_USAGE, None)
    assert printed.err.startswith(f"error: {folder}/clips.csv:3: ")
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("bad", ["broken", "missing"])
def test_without_any_usable_clip_there_is_one_line(tune, folder, bad):
    code, gates, printed = tune([ROWS[bad], ROWS[bad].replace(bad, f"./sub/{bad}")])
    assert (code, gates) == (console.WRONG_USAGE, None)
    assert printed.err.startswith(f"error: {folder}/clips.csv:2: " if bad == "missing" else "error: ")
    assert printed.err.endswith("all 2 samples of split 'train' are unusable\n")
    assert len(printed.err.splitlines()) == 1


def test_a_held_out_split_of_broken_clips_costs_only_its_scores(tune):
    code, gates, printed = tune([ROWS["people.mp4"], ROWS["cat"], "broken.mp4,cat-none,test"])
    assert code == console.SOME_FAILED
    assert (gates.clips, gates.skipped) == (2, 0)
    assert " test" not in printed.out.partition("wrote")[0]
    assert "clips.csv:4: " in printed.err


def test_a_clip_without_labels_is_one_without_actors(tune, folder):
    code, gates, printed = tune([ROWS["both"].replace("adult-walking ", ""), "people.mp4,,train"])
    assert code == console.DONE
    assert gates.clips == 2
    assert gates.clips_showing["person"] == 0
    assert "1 of 2 clips have no labels: they count as clips in which no actor is" in printed.err
