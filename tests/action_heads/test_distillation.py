"""Distillation of a trunk on a few images, and its continuation after an interruption."""

import json

import cv2
import numpy as np
import pytest
import torch

from action_heads.backbones import find_backbone
from action_heads.distillation.grid_pooling import pool_over_grid
from action_heads.distillation.random_crops import WHOLE_IMAGE, CropDataset
from action_heads.distillation.settings import DistillationSettings
from action_heads.distillation.teacher import Teacher
from action_heads.distillation.trainer import DistillationImages, _Distillation, distil
from action_heads.model import feature_extractor, load_trunk
from action_heads.trunk_files import read_trunk_manifest
from common.errors import TrainingError
from common.training_run import TrainingRun
from inference.image_tensors import normalize_rgb
from pipeline.__main__ import main
from pipeline.commands import console

SETTINGS = DistillationSettings(sizes=((32, 3), (48, 1)), batch_size=6, learning_rate=2e-3)
STUDENT = find_backbone("resnet34")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve images of noise with different colors, scales and shapes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(12):
        grain = rng.integers(0, 256, (4 + number, 5, 3)).astype(np.uint8) // (1 + number % 3)
        cv2.imwrite(str(folder / f"{number:02d}.png"), cv2.resize(grain, (60 + 4 * number, 64)))
    paths = sorted(folder.iterdir())
    return DistillationImages(paths[:10], paths[10:])


@pytest.fixture(scope="module")
def teacher():
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    return Teacher(trunk, torch.eye(1280)[:10], torch.zeros(10))


@pytest.fixture(scope="module")
def uninterrupted(images, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    tensors = distil(images, teacher, STUDENT, SETTINGS, TrainingRun(folder))
    return tensors, [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]


def test_loss_decreases_and_is_logged(uninterrupted):
    tensors, log = uninterrupted
    assert [line["epoch"] for line in log] == [1, 2, 3, 4]
    assert [line["size"] for line in log] == [32, 32, 32, 48]
    assert log[2]["loss"] < log[0]["loss"]
    assert log[-1]["learning_rate"] < log[0]["learning_rate"]
    assert tensors["layer4.2.bn2.running_var"].shape == (512,)
    assert not any(name.startswith("fc.") for name in tensors)


def test_interrupted_training_continues_with_the_same_result(images, teacher, uninterrupted, tmp_path):
    class InterruptedError(Exception):
        pass

    def interrupt(steps, description, unit):
        for step in steps:
            if description == "epoch 3/4":
                raise InterruptedError
            yield step

    with pytest.raises(InterruptedError):
        distil(images, teacher, STUDENT, SETTINGS, TrainingRun(tmp_path, progress=interrupt))
    assert len((tmp_path / "epochs.jsonl").read_text().splitlines()) == 2
    (tmp_path / "epochs.jsonl").unlink()
    reports = []
    tensors = distil(images, teacher, STUDENT, SETTINGS, TrainingRun(tmp_path, on_epoch=reports.append))
    assert [report.epoch for report in reports] == [3, 4]
    expected, log = uninterrupted
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name
    assert [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()] == log


def test_divergence_of_the_classes_adds_to_the_loss(images, teacher, tmp_path):
    with_classes = DistillationSettings(sizes=((32, 1),), batch_size=6, logits_weight=1.0)
    without = DistillationSettings(sizes=((32, 1),), batch_size=6)
    reports = []
    for number, settings in enumerate((with_classes, without)):
        run = TrainingRun(tmp_path / str(number), on_epoch=reports.append)
        distil(DistillationImages(images.train[:6]), teacher, STUDENT, settings, run)
    assert reports[0].loss > reports[1].loss


def test_teacher_features_are_computed_once_per_crop(images, teacher, tmp_path):
    settings = DistillationSettings(sizes=((32, 4),), crops=2, batch_size=6)
    few = DistillationImages(images.train[:6])
    distil(few, teacher, STUDENT, settings, TrainingRun(tmp_path))
    features = np.load(tmp_path / "taught.npy")
    assert features.shape == (2, 6, 4, 1280)
    assert np.isfinite(features).all()
    (tmp_path / "checkpoint.pt").unlink()
    np.save(tmp_path / "taught.npy", np.zeros_like(features))
    distil(few, teacher, STUDENT, settings, TrainingRun(tmp_path))
    assert not np.load(tmp_path / "taught.npy").any(), "cached features are not computed again"
    assert [settings.crop_in(epoch) for epoch in (1, 2, 3, 4)] == [1, 2, 1, 2]


def test_grid_cells_are_in_row_major_order(images, teacher, tmp_path):
    trunk = teacher.trunk
    network = pool_over_grid(feature_extractor(trunk), trunk.backbone, 2)
    whole = CropDataset(images.held_out, 224, 0, WHOLE_IMAGE)[1][None]
    lit = torch.zeros_like(whole)
    lit[:, :, :112, 112:] = whole[:, :, :112, 112:]
    mean, std = trunk.preprocessing.mean, trunk.preprocessing.std
    with torch.inference_mode():
        dark, one, mirrored = (
            network(normalize_rgb(x, mean, std))[0] for x in (torch.zeros_like(whole), lit, lit.flip(3))
        )
    assert (one - dark).abs().mean(dim=1).argmax() == 1, "the upper right cell is the second one"
    assert (mirrored - dark).abs().mean(dim=1).argmax() == 0


def test_mirroring_a_crop_mirrors_the_cells_of_its_targets(images, teacher, tmp_path):
    settings = DistillationSettings(sizes=((32, 1),), batch_size=6)
    distillation = _Distillation(images, teacher, STUDENT, settings, TrainingRun(tmp_path), workers=0)
    crops = torch.arange(8 * 3 * 4 * 4).view(8, 3, 4, 4)
    targets = torch.stack([crops[:, 0, :2, :2], crops[:, 0, :2, 2:], crops[:, 0, 2:, :2], crops[:, 0, 2:, 2:]], 1)
    targets = targets.flatten(2).sort(dim=2).values.float()
    mirrored_targets, mirrored_crops = distillation._mirror(targets, crops, 1, 0)
    mirrored = [not torch.equal(a, b) for a, b in zip(mirrored_crops, crops, strict=True)]
    assert 0 < sum(mirrored) < 8
    rows = mirrored_crops[:, 0]
    cells = [rows[:, :2, :2], rows[:, :2, 2:], rows[:, 2:, :2], rows[:, 2:, 2:]]
    expected = torch.stack(cells, 1).flatten(2).sort(dim=2).values.float()
    assert torch.equal(mirrored_targets, expected)


def test_crops_are_determined_by_seed_and_number(images):
    first, repeated, other_crop, other_seed = (
        CropDataset(images.train, 32, seed, number)[3] for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert first.shape == (3, 32, 32)
    assert torch.equal(first, repeated)
    assert not torch.equal(first, other_crop)
    assert not torch.equal(first, other_seed)


def test_missing_or_unreadable_images_are_rejected(images, teacher, tmp_path):
    with pytest.raises(TrainingError, match="no image to train on"):
        distil(DistillationImages([]), teacher, STUDENT, SETTINGS, TrainingRun(tmp_path))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(TrainingError, match="not an image that can be read"):
        distil(DistillationImages([tmp_path / "text.png"]), teacher, STUDENT, SETTINGS, TrainingRun(tmp_path))


def test_command_writes_a_trunk_and_continues_only_with_resume(images, tmp_path, capsys):
    out = tmp_path / "trunk.safetensors"
    command = ["distil-trunk", "--images", str(images.train[0].parent), "--out", str(out), "--device", "cpu"]
    command += ["--sizes", "32:1", "--training-batch-size", "6", "--held-out", "0.2"]
    assert main(command) == 0
    manifest = read_trunk_manifest(out)
    assert manifest.backbone == "resnet34"
    assert "taught by efficientnet_lite0" in manifest.source
    assert manifest.preprocessing["size"] == 32, "heads use the preprocessing of the trunk's training"
    trunk = load_trunk(str(out), STUDENT)
    assert "fc.weight" not in trunk.state
    assert out.stat().st_size < 43_000_000
    before = out.read_bytes()
    assert main(command) == console.WRONG_USAGE
    assert "continue it with --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert out.read_bytes() == before
    small = tmp_path / "small.safetensors"
    resumed = [*command, "--resume", "--eight-bits", "--out", str(small), "--work", f"{out}.work"]
    assert main(resumed) == 0
    assert small.stat().st_size < 22_000_000
    rounded = load_trunk(str(small), STUDENT)
    for name, tensor in trunk.state.items():
        assert (rounded.state[name] - tensor).norm() <= 0.02 * tensor.norm(), name
    assert main([*command, "--resume", "--seed", "1"]) == console.WRONG_USAGE
    assert "holds a training with settings" in capsys.readouterr().err


def test_missing_image_folder_leaves_the_work_folder_empty(tmp_path, capsys):
    command = ["distil-trunk", "--images", str(tmp_path / "no"), "--out", str(tmp_path / "t.safetensors")]
    assert main(command) == console.WRONG_USAGE
    assert "no such file or folder" in capsys.readouterr().err
    assert not list((tmp_path / "t.safetensors.work").iterdir())


@pytest.mark.parametrize("size", ["112", "x:1", "112:0", "8:1"])
def test_invalid_sizes_are_rejected(images, tmp_path, capsys, size):
    command = ["distil-trunk", "--images", str(images.train[0].parent), "--out", str(tmp_path / "t"), "--sizes", size]
    assert main(command) == console.WRONG_USAGE
    assert f"size '{size}' was given, SIDE:EPOCHS" in capsys.readouterr().err


def test_serialized_settings_keep_their_names():
    expected = [
        *("sizes", "crops", "cells", "batch_size", "learning_rate"),
        *("weight_decay", "logits_weight", "temperature", "seed"),
    ]
    assert list(SETTINGS.to_dict()) == expected
    assert SETTINGS.to_dict()["cells"] == SETTINGS.grid
