"""Training a head on data that is not perfect: labels without samples, broken, missing and truncated clips."""

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_clips import cut_file, remux

from a2d.formats.base import Sample
from action_heads.checkpoint import head_path, read_manifest
from action_heads.crops import NO_BOX
from action_heads.training.samples import SampledFrame
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.training import head_features
from pipeline.training.label_coverage import constant_f1, count_labels


@pytest.fixture
def folder(cat_clip, people_and_cat_clip, tmp_path):
    """A folder with four cat clips of two contents, and a file that is no video."""
    for name, clip in (("a", cat_clip), ("b", people_and_cat_clip), ("c", cat_clip), ("d", people_and_cat_clip)):
        shutil.copy(clip, tmp_path / f"{name}.mp4")
    (tmp_path / "broken.mp4").write_text("no video")
    return tmp_path


@pytest.fixture
def train(folder, cache, capsys):
    """Train the cat head on rows of a CSV; returns the exit code, the manifest or None, and what was printed."""

    def run(rows, *arguments):
        data = folder / "clips.csv"
        data.write_text("file,labels,split\n" + "\n".join(rows) + "\n")
        path = head_path(folder / "heads", "cat")
        path.unlink(missing_ok=True)
        command = ["retrain-head", "--actor", "cat", "--data", str(data), "--out", str(path.parent)]
        code = main([*command, "--cache", str(cache), "--device", "cpu", "--look-every", "1", *arguments])
        return code, read_manifest(path) if path.is_file() else None, capsys.readouterr()

    return run


ONE_LABEL = ["a.mp4,cat-none,train", "b.mp4,cat-none adult-walking,train"]


@pytest.mark.parametrize("arguments", [(), ("--tune", "norms", "--trunk", "random", "--epochs", "1")], ids=len)
def test_a_head_that_was_shown_one_label_says_what_its_score_is_worth(train, arguments):
    code, manifest, printed = train([*ONE_LABEL, "c.mp4,cat-walking,test"], *arguments)
    assert code == console.DONE
    assert "warning: all 2 samples show cat-none and nothing else: the head cannot tell anything else" in printed.err
    assert manifest.data["labels_without_counterexamples"] == ["cat-none"]
    assert len(manifest.data["labels_without_samples"]) == 6
    assert manifest.data["samples_per_label"]["cat-none"] == 2
    assert manifest.data["commonest_label"] == "cat-none"
    assert manifest.scores["train"]["constant_f1"] == 1
    assert manifest.scores["test"]["constant_f1"] == 0
    assert "F1 of always" in printed.out


@pytest.mark.parametrize("arguments", [(), ("--tune", "norms", "--trunk", "random", "--epochs", "1")], ids=len)
def test_stills_are_trained_on_too(train, folder, arguments):
    """They teach a label that no clip shows; one that is no image is skipped, and other splits' are left alone."""
    for name in ("one.png", "two.webp", "other.png"):
        assert cv2.imwrite(str(folder / name), np.full((90, 120, 3), 80, np.uint8))
    (folder / "bad.jpg").write_text("no image")
    stills = folder / "stills.csv"
    rows = ["one.png,cat-eating,", "two.webp,cat-eating,train", "bad.jpg,cat-none,", "other.png,cat-none,test"]
    stills.write_text("\n".join(["file,labels,split", *rows]) + "\n")
    clips = ["a.mp4,cat-none,train", "b.mp4,cat-walking,train"]
    code, manifest, printed = train(clips, "--stills", str(stills), *arguments)
    assert code == console.SOME_FAILED
    assert manifest.recipe["stills"] == {"from": ["cat"], "samples": 2, "weight": 0.1}
    assert f"skipped: {stills}:4: {folder}/bad.jpg" in printed.err
    assert manifest.data["samples"] == 2, "stills do not count as clips"
    without = train(clips, *arguments)[1]
    assert "stills" not in without.recipe
    assert without.data["images"] == manifest.data["images"]
    if not arguments:
        assert "cat-eating" in without.data["labels_without_samples"]
        assert "cat-eating" not in manifest.data["labels_without_samples"]


def test_stills_without_the_columns_of_stills_are_refused(train, folder):
    stills = folder / "stills.csv"
    stills.write_text("picture,labels\na.png,cat-none\n")
    code, manifest, printed = train(ONE_LABEL, "--stills", str(stills))
    assert (code, manifest) == (console.WRONG_USAGE, None)
    assert printed.err.splitlines()[-1] == (
        f"error: {stills}: the column 'file' is missing; the header has: picture, labels"
    )


def test_labels_without_samples_or_with_few_are_named_with_counts(train):
    rows = ["a.mp4,cat-none,train", "b.mp4,cat-walking,train", "c.mp4,cat-none,train"]
    code, manifest, printed = train(rows)
    assert code == console.DONE
    assert "warning: none of the 3 samples shows cat-climbing, cat-eating, cat-jumping, " in printed.err
    assert "warning: few of the 3 samples show cat-walking (1), cat-none (2)" in printed.err
    assert manifest.data["labels_without_counterexamples"] == []
    assert manifest.scores["train"]["constant_f1"] == pytest.approx(2 / 3)


def test_borrowed_samples_teach_labels_too(taxonomy):
    cat = taxonomy.actor("cat")
    samples = [Sample("a.mp4", None, ("cat-walking",), "train", "a")] * 2
    frames = [SampledFrame(sample, "", 0, NO_BOX) for sample in samples]
    names = cat.label_names
    targets, known = np.zeros((3, 7), bool), np.zeros((3, 7), bool)
    targets[:, names.index("cat-running")] = True
    known[:, [names.index("cat-running"), names.index("cat-walking")]] = True
    auxiliary = SimpleNamespace(features=SimpleNamespace(sample=np.array([0, 0, 1]), targets=targets), known=known)
    coverage = count_labels(cat, frames, auxiliary)
    assert coverage.samples == 1, "of one sample, however many frames it has"
    assert "cat-running" not in coverage.without_samples
    assert coverage.without_counterexamples == []
    assert count_labels(cat, frames).without_counterexamples == ["cat-walking"]


def test_constant_f1_is_that_of_one_label(taxonomy):
    cat = taxonomy.actor("cat")
    targets = np.zeros((3, 7), bool)
    targets[0, 0] = targets[1, 0] = targets[1, 1] = targets[2, 1] = True
    assert constant_f1(cat, cat.label_names[0], targets) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_clips_that_cannot_be_used_are_skipped_with_line_and_reason(train, folder, cat_clip):
    cut_file(remux(cat_clip, folder / "cut.mkv"), 0.7)
    bad = ["broken.mp4,cat-none,train", "missing.mp4,cat-none,train", "cut.mkv,cat-none,train"]
    rows = ["a.mp4,cat-none,train", *bad, "b.mp4,cat-walking,train", "d.mp4,,train", "gone.mp4,cat-none,test"]
    code, manifest, printed = train([*rows, "c.mp4,cat-none,test"])
    assert code == console.SOME_FAILED
    assert (manifest.data["samples"], manifest.data["skipped"]) == (2, 3)
    assert manifest.scores["test"]["images"] > 0
    skipped = [line.split(": ")[1] for line in printed.err.splitlines() if line.startswith("skipped: ")]
    assert sorted(skipped) == [f"{folder}/clips.csv:{row}" for row in (3, 4, 5, 8)]
    assert train(["a.mp4,cat-none,train", "b.mp4,cat-walking,train"])[1].data["images"] == manifest.data["images"]


@pytest.mark.parametrize("bad", ["broken", "missing"])
def test_strict_stops_at_the_first(train, folder, bad):
    code, manifest, printed = train(["a.mp4,cat-none,train", f"{bad}.mp4,cat-none,train"], "--strict")
    assert (code, manifest) == (console.WRONG_USAGE, None)
    assert printed.err.splitlines()[-1].startswith(f"error: {folder}/clips.csv:3: ")


def test_without_any_usable_clip_there_is_one_line(train, folder):
    code, manifest, printed = train(["broken.mp4,cat-none,train", "missing.mp4,cat-none,train", "a.mp4,,train"])
    assert (code, manifest) == (console.WRONG_USAGE, None)
    assert printed.err.splitlines()[-1].startswith(f"error: {folder}/clips.csv:3: no such file")


def test_a_clip_that_cannot_be_decoded_again_is_dropped(train, folder, monkeypatch):
    """Stage 1 reads a clip before the heads do; it may have been deleted in between."""
    compute = head_features.compute_features

    def delete_first(*arguments):
        (folder / "b.mp4").unlink(missing_ok=True)
        return compute(*arguments)

    monkeypatch.setattr(head_features, "compute_features", delete_first)
    rows = ["a.mp4,cat-none,train", "b.mp4,cat-walking,train"]
    code, manifest, printed = train(rows, "--no-cache")
    assert code == console.SOME_FAILED
    assert (manifest.data["samples"], manifest.data["skipped"]) == (1, 1)
    assert f"skipped: {folder}/clips.csv:3: {folder}/b.mp4: " in printed.err
