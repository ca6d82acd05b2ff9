"""Teaching a trunk on a handful of images: it learns, and being killed changes nothing."""

import json

import cv2
import distil_trunk
import numpy as np
import pytest
import torch

from action_heads.backbones import find_backbone
from action_heads.distillation.grid_pooling import pool_over_grid
from action_heads.distillation.random_crops import CropDataset
from action_heads.distillation.settings import DistillationSettings
from action_heads.distillation.trainer import Teacher, _normalise, _Run, distil
from action_heads.model import feature_extractor, load_trunk
from action_heads.trunk_files import read_trunk_manifest
from common.errors import TrainingError
from pipeline.commands import console as cli

SETTINGS = DistillationSettings(sizes=((32, 3), (48, 1)), batch_size=6, learning_rate=2e-3)
STUDENT = find_backbone("resnet34")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve pictures of noise in different colours and grains, of different shapes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(12):
        grain = rng.integers(0, 256, (4 + number, 5, 3)).astype(np.uint8) // (1 + number % 3)
        cv2.imwrite(str(folder / f"{number:02d}.png"), cv2.resize(grain, (60 + 4 * number, 64)))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def teacher():
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    return Teacher(trunk, torch.eye(1280)[:10], torch.zeros(10))


@pytest.fixture(scope="module")
def uninterrupted(images, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    tensors = distil(images[:10], images[10:], teacher, STUDENT, SETTINGS, folder)
    return tensors, [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]


def test_it_learns_and_logs(uninterrupted):
    tensors, log = uninterrupted
    assert [line["epoch"] for line in log] == [1, 2, 3, 4]
    assert [line["size"] for line in log] == [32, 32, 32, 48]
    assert log[2]["loss"] < log[0]["loss"]
    assert log[-1]["learning_rate"] < log[0]["learning_rate"]
    assert tensors["layer4.2.bn2.running_var"].shape == (512,)
    assert not any(name.startswith("fc.") for name in tensors)


def test_one_that_is_killed_goes_on_and_ends_the_same(images, teacher, uninterrupted, tmp_path):
    class KilledError(Exception):
        pass

    def kill(steps, what):
        for step in steps:
            if what == "epoch 3/4":
                raise KilledError
            yield step

    with pytest.raises(KilledError):
        distil(images[:10], images[10:], teacher, STUDENT, SETTINGS, tmp_path, progress=kill)
    assert len((tmp_path / "epochs.jsonl").read_text().splitlines()) == 2
    (tmp_path / "epochs.jsonl").unlink()
    seen = []
    tensors = distil(images[:10], images[10:], teacher, STUDENT, SETTINGS, tmp_path, on_epoch=seen.append)
    assert [report.epoch for report in seen] == [3, 4]
    expected, log = uninterrupted
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name
    assert [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()] == log


def test_the_classes_can_be_taught_too(images, teacher, tmp_path):
    with_classes = DistillationSettings(sizes=((32, 1),), batch_size=6, logits_weight=1.0)
    without = DistillationSettings(sizes=((32, 1),), batch_size=6)
    reports = []
    for number, settings in enumerate((with_classes, without)):
        distil(images[:6], [], teacher, STUDENT, settings, tmp_path / str(number), on_epoch=reports.append)
    assert reports[0].loss > reports[1].loss


def test_the_teacher_is_asked_about_each_crop_once(images, teacher, tmp_path):
    settings = DistillationSettings(sizes=((32, 4),), crops=2, batch_size=6)
    distil(images[:6], [], teacher, STUDENT, settings, tmp_path)
    answers = np.load(tmp_path / "taught.npy")
    assert answers.shape == (2, 6, 4, 1280)
    assert np.isfinite(answers).all()
    (tmp_path / "checkpoint.pt").unlink()
    np.save(tmp_path / "taught.npy", np.zeros_like(answers))
    distil(images[:6], [], teacher, STUDENT, settings, tmp_path)
    assert not np.load(tmp_path / "taught.npy").any(), "what is known is not asked again"
    assert [settings.crop_in(epoch) for epoch in (1, 2, 3, 4)] == [1, 2, 1, 2]


def test_the_parts_of_an_image_are_compared_each_with_its_own(images, teacher, tmp_path):
    trunk = teacher.trunk
    by_cells = pool_over_grid(feature_extractor(trunk), trunk.backbone, 2)
    whole = CropDataset(images, 224, 0, 0)[11][None]
    lit = torch.zeros_like(whole)
    lit[:, :, :112, 112:] = whole[:, :, :112, 112:]
    preprocessing = trunk.preprocessing
    with torch.inference_mode():
        dark, one, mirrored = (
            by_cells(_normalise(x, preprocessing))[0] for x in (torch.zeros_like(whole), lit, lit.flip(3))
        )
    assert (one - dark).abs().mean(dim=1).argmax() == 1, "cells run row by row, the upper right one is the second"
    assert (mirrored - dark).abs().mean(dim=1).argmax() == 0


def test_a_mirrored_crop_is_taught_with_its_cells_mirrored(images, teacher, tmp_path):
    settings = DistillationSettings(sizes=((32, 1),), batch_size=6)
    run = _Run(images, [], teacher, STUDENT, settings, tmp_path, "cpu", False, 0)
    seen = torch.arange(8 * 3 * 4 * 4).view(8, 3, 4, 4)
    taught = torch.stack([seen[:, 0, :2, :2], seen[:, 0, :2, 2:], seen[:, 0, 2:, :2], seen[:, 0, 2:, 2:]], 1)
    taught = taught.flatten(2).sort(dim=2).values.float()
    learned, shown = run._mirror(taught, seen, 1, 0)
    mirrored = [not torch.equal(a, b) for a, b in zip(shown, seen, strict=True)]
    assert 0 < sum(mirrored) < 8
    cells = [shown[:, 0, :2, :2], shown[:, 0, :2, 2:], shown[:, 0, 2:, :2], shown[:, 0, 2:, 2:]]
    expected = torch.stack(cells, 1).flatten(2).sort(dim=2).values.float()
    assert torch.equal(learned, expected)


def test_crops_are_the_same_for_one_seed_and_number(images):
    first, again, later, other = (
        CropDataset(images, 32, seed, number)[3] for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert first.shape == (3, 32, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def test_what_cannot_be_used_is_refused(images, teacher, tmp_path):
    with pytest.raises(TrainingError, match="no image to learn from"):
        distil([], [], teacher, STUDENT, SETTINGS, tmp_path)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(TrainingError, match="not an image that can be read"):
        distil([tmp_path / "text.png"], [], teacher, STUDENT, SETTINGS, tmp_path)


def test_the_command_writes_a_trunk_and_goes_on_only_when_asked(images, tmp_path, capsys):
    out = tmp_path / "trunk.safetensors"
    command = ["--images", str(images[0].parent), "--out", str(out), "--device", "cpu", "--sizes", "32:1"]
    command += ["--training-batch-size", "6", "--held-out", "0.2"]
    assert cli.run(distil_trunk.main, command) == 0
    manifest = read_trunk_manifest(out)
    assert manifest.backbone == "resnet34"
    assert "taught by efficientnet_lite0" in manifest.source
    assert manifest.preprocessing["size"] == 32, "heads are fed as the trunk was taught"
    trunk = load_trunk(str(out), STUDENT)
    assert "fc.weight" not in trunk.state
    assert out.stat().st_size < 43_000_000
    before = out.read_bytes()
    assert cli.run(distil_trunk.main, command) == cli.WRONG_USAGE
    assert "--resume goes on with it" in capsys.readouterr().err
    assert cli.run(distil_trunk.main, [*command, "--resume"]) == 0
    assert out.read_bytes() == before
    small = tmp_path / "small.safetensors"
    again = [*command, "--resume", "--eight-bits", "--out", str(small), "--work", f"{out}.work"]
    assert cli.run(distil_trunk.main, again) == 0
    assert small.stat().st_size < 22_000_000
    rounded = load_trunk(str(small), STUDENT)
    for name, tensor in trunk.state.items():
        assert (rounded.state[name] - tensor).norm() <= 0.02 * tensor.norm(), name
    assert cli.run(distil_trunk.main, [*command, "--resume", "--seed", "1"]) == cli.WRONG_USAGE
    assert "holds a training with settings" in capsys.readouterr().err


def test_a_wrong_folder_does_not_claim_the_work_folder(tmp_path, capsys):
    command = ["--images", str(tmp_path / "no"), "--out", str(tmp_path / "t.safetensors")]
    assert cli.run(distil_trunk.main, command) == cli.WRONG_USAGE
    assert "no such file or folder" in capsys.readouterr().err
    assert not list((tmp_path / "t.safetensors.work").iterdir())


@pytest.mark.parametrize("size", ["112", "x:1", "112:0", "8:1"])
def test_sizes_that_cannot_be_are_refused(images, tmp_path, capsys, size):
    command = ["--images", str(images[0].parent), "--out", str(tmp_path / "t"), "--sizes", size]
    assert cli.run(distil_trunk.main, command) == cli.WRONG_USAGE
    assert f"size '{size}' was given, SIDE:EPOCHS" in capsys.readouterr().err
