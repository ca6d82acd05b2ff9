"""Training of the detector: frozen features, phases, checkpoints, files, and the command."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import photo_clips
import pytest
import torch
from fake_a2d import write_pngs

from a2d.taxonomy import Taxonomy
from actor_detector.detector_settings import DetectorSettings
from actor_detector.training.frozen_features import frozen_features, run_on_features, tapped_children, to_inputs
from actor_detector.training.initial_weights import load_initial_weights
from actor_detector.training.presence_evaluation import presence_f1
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from actor_detector.training.settings import Phase, TrainingSettings
from actor_detector.training.trainer import _augmented_views, train_detector
from actor_detector.training.view_stream import FreshViews
from actor_detector.weights import DetectorManifest, architecture_path, load_detector, save_detector
from actor_detector.yolo import YoloActorDetector, build_network
from common.errors import DatasetError, DetectorError, TaxonomyError, TrainingError
from common.files import sha256_file
from common.paths import MODELS
from common.training_run import TrainingRun
from pipeline.commands import retrain_detector

ARCHITECTURE = MODELS / "actor_detector.yaml"
NAMES = ("person", "sports ball", "bird", "car", "cat", "dog")
SETTINGS = TrainingSettings(image_size=96, view_size=96, batch_size=8, warm_up=2, average=0.8)
PHASES = (Phase("frozen", 18, 16, 2, 2e-3), Phase("deep", 14, 16, 2, 1e-3), Phase("whole", 0, 8, 2, 1e-3))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[PseudoLabelledImage]:
    """Twelve images: a bright disc is a ball (1), a dark square is a car (3)."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    created = []
    for number in range(12):
        image = random.integers(90, 130, (96, 128, 3)).astype(np.uint8)
        x, y, half = int(random.integers(30, 98)), int(random.integers(30, 66)), 20
        if number % 2:
            cv2.circle(image, (x, y), half, (250, 250, 250), -1)
        else:
            cv2.rectangle(image, (x - half, y - half), (x + half, y + half), (5, 5, 5), -1)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), image)
        box = np.array([[(x - half) / 128, (y - half) / 96, (x + half) / 128, (y + half) / 96]], np.float32)
        created.append(PseudoLabelledImage(path, box, np.ones(1, np.float32), np.array([1 if number % 2 else 3])))
    return created


def new_network(epochs: int = 4):
    torch.manual_seed(0)
    return build_network(ARCHITECTURE, NAMES, epochs)


def manifest() -> DetectorManifest:
    return DetectorManifest(NAMES, sha256_file(ARCHITECTURE), 320, "random", (), {}, {}, {})


@pytest.mark.parametrize("frozen", [0, 7, 14, 18])
def test_network_on_frozen_features_equals_the_network_on_images(frozen: int):
    network = new_network().eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        features = frozen_features(network, images, frozen)
        assert sorted(features) == tapped_children(network, frozen)
        torch.testing.assert_close(run_on_features(network, features)[0], network(images)[0])


def test_inputs_are_rgb_in_0_to_1_and_channels_last():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    expected = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2).float() / 255
    inputs = to_inputs(images, "cpu")
    torch.testing.assert_close(inputs, expected, rtol=0, atol=0)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_resumed_training_equals_an_uninterrupted_one(images: list[PseudoLabelledImage], tmp_path: Path):
    class StoppedError(Exception):
        pass

    def train(folder: str, stop_in: str = ""):
        def stop_in_the_phase(report):
            if report.phase == stop_in:
                raise StoppedError

        run = TrainingRun(tmp_path / folder, on_epoch=stop_in_the_phase)
        return train_detector(new_network(), images[:10], images[10:], PHASES, SETTINGS, run)

    whole = train("whole")
    for phase in ("deep", "whole"):
        with pytest.raises(StoppedError):
            train("stopped", stop_in=phase)
    resumed = train("stopped")
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=name, rtol=0, atol=0)
    logs = [(tmp_path / folder / "epochs.jsonl").read_text() for folder in ("whole", "stopped")]
    assert logs[0] == logs[1]
    phases = [phase.name for phase in PHASES for _ in range(phase.epochs)]
    assert [json.loads(line)["phase"] for line in logs[0].splitlines()] == phases


def test_whole_phase_trains_all_layers_on_fresh_views_that_worker_processes_make(
    images: list[PseudoLabelledImage], tmp_path: Path
):
    averages = []
    phase = Phase("whole", 0, 8, 1, 3e-3)
    for workers in (0, 2):
        network = new_network()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        run = TrainingRun(tmp_path / str(workers), workers=workers)
        averages.append(train_detector(network, images, images[:2], [phase], SETTINGS, run).state_dict())
        unchanged = [name for name, tensor in averages[-1].items() if torch.equal(tensor, before[name])]
        assert not [name for name in unchanged if name.startswith("model.0.")]  # batch normalization included
    for name, one in averages[0].items():
        torch.testing.assert_close(one, averages[1][name], msg=name, rtol=0, atol=0)
    views = _augmented_views(images, len(NAMES), phase, SETTINGS, seed=0)
    of_epochs = [[f[-1] for f, _ in FreshViews(views.make_view, 4, 2, "cpu").batches(epoch)] for epoch in (1, 2)]
    assert not any(torch.equal(*pair) for pair in zip(*of_epochs, strict=True))


def test_training_lowers_the_loss_and_does_not_change_frozen_children(
    images: list[PseudoLabelledImage], tmp_path: Path
):
    reports = []
    network = new_network()
    before = {name: tensor.clone() for name, tensor in network.model[0].m[:18].state_dict().items()}
    phase = Phase("frozen", 18, 32, 10, 3e-3)
    average = train_detector(network, images, images, [phase], SETTINGS, TrainingRun(tmp_path, on_epoch=reports.append))
    assert reports[-1].loss < 0.8 * reports[0].loss
    for name, tensor in average.model[0].m[:18].state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_backbone_share_scales_its_learning_rate(images: list[PseudoLabelledImage], tmp_path: Path):
    phase = Phase("deep", 14, 16, 1, 1e-3)
    moved = {}
    for share in (0.0, 1.0):
        network = new_network()
        before = {name: tensor.clone() for name, tensor in network.named_parameters()}
        train_detector(
            network, images, [], [phase], replace(SETTINGS, backbone_share=share), TrainingRun(tmp_path / str(share))
        )
        moved[share] = {name for name, tensor in network.named_parameters() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("model.0.") for name in moved[0.0])
    assert any(name.startswith("model.0.m.16.") for name in moved[1.0])
    assert moved[0.0] >= {name for name in moved[1.0] if name.startswith("model.4.")} != set()


def test_images_without_actors_are_refused(images: list[PseudoLabelledImage], tmp_path: Path):
    empty = PseudoLabelledImage(
        images[0].path, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    )
    with pytest.raises(TrainingError, match="no actor in any of the images"):
        train_detector(new_network(), [empty], [empty], PHASES, SETTINGS, TrainingRun(tmp_path))


def test_presence_f1_is_2tp_over_predicted_plus_target_positives():
    predicted, targets = np.array([[1, 0], [1, 0], [0, 0]], bool), np.array([[1, 0], [0, 0], [1, 0]], bool)
    assert presence_f1(predicted, targets).tolist() == [0.5, 0.0]


def test_saved_detector_equals_the_network(tmp_path: Path, taxonomy: Taxonomy):
    network = new_network().eval()
    for layer in network.modules():  # the initial weights attenuate so much that all confidences are equal
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    for heads in (network.model[-1].one2one_cv2, network.model[-1].one2one_cv3):
        for head in heads:
            head[-1].weight.data.mul_(0.01)
    path = tmp_path / "detector.safetensors"
    save_detector(path, network.state_dict(), manifest())
    shutil.copy(ARCHITECTURE, architecture_path(path))
    assert path.stat().st_size < 10e6
    detector = YoloActorDetector(path, taxonomy, DetectorSettings(320, 0.0))
    image = np.random.default_rng(0).integers(0, 255, (320, 320, 3)).astype(np.uint8)
    (found,) = detector.detect([image])
    state, _ = load_detector(path)
    network.load_state_dict(state)
    tensor = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = network(tensor)[0][0].numpy()
    assert found.confidence[0] == pytest.approx(expected[:, 4].max(), abs=1e-4)
    corners, confidence, actors = expected[:, :4].clip(0, 320), expected[:, 4], expected[:, 5]
    for box, score, actor in zip(found.boxes[:20], found.confidence[:20], found.actor_index[:20], strict=True):
        same = (np.abs(corners - box).max(axis=1) < 0.5) & (np.abs(confidence - score) < 1e-3) & (actors == actor)
        assert same.any()  # in no fixed order, since many are equally confident


def test_equal_detectors_give_equal_bytes(tmp_path: Path):
    state = new_network().state_dict()
    for name in ("one", "two"):
        save_detector(tmp_path / f"{name}.safetensors", state, manifest())
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such detector file"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "not a readable safetensors file"),
        (lambda path: architecture_path(path).unlink(), "its model YAML is missing"),
        (lambda path: architecture_path(path).write_text("nc: 6"), "was trained with another model YAML"),
    ],
)
def test_wrong_file_is_refused_in_one_line(damage, message: str, tmp_path: Path, taxonomy: Taxonomy):
    path = tmp_path / "detector.safetensors"
    save_detector(path, new_network().state_dict(), manifest())
    shutil.copy(ARCHITECTURE, architecture_path(path))
    damage(path)
    with pytest.raises(DetectorError, match=message) as caught:
        YoloActorDetector(path, taxonomy, DetectorSettings(320, 0.5))
    assert "\n" not in str(caught.value)


def test_foreign_safetensors_file_is_refused(tmp_path: Path, taxonomy: Taxonomy):
    import safetensors.torch

    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DetectorError, match="not a detector of this project"):
        YoloActorDetector(path, taxonomy, DetectorSettings(320, 0.5))


def test_detector_with_other_classes_initializes_all_but_the_outputs(tmp_path: Path):
    network = new_network()
    path = tmp_path / "detector.safetensors"
    save_detector(path, network.state_dict(), manifest())
    shutil.copy(ARCHITECTURE, architecture_path(path))
    torch.manual_seed(1)
    other = build_network(ARCHITECTURE, ("horse", "person"))
    load_initial_weights(str(path), other)
    same = {name: torch.equal(t.half().float(), other.state_dict()[name]) for name, t in network.state_dict().items()
            if t.is_floating_point() and not name.startswith(f"model.{len(network.model) - 1}.")}  # fmt: skip
    assert all(same.values())


def test_missing_initial_weights_are_refused():
    with pytest.raises(DetectorError, match=r"gone\.safetensors: no such detector file"):
        load_initial_weights("gone.safetensors", new_network())


def run_retrain_detector(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    retrain_detector.add_arguments(parser)
    return retrain_detector.run(parser.parse_args(arguments))


class TestCommand:
    """The command retrain-detector on photographs of people and a cat, with the embedded detector as the teacher."""

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        images = [*photo_clips.pan(photo_clips.PEOPLE, 6), *photo_clips.pan(photo_clips.CAT, 6)]
        return write_pngs(tmp_path_factory.mktemp("frames"), np.stack(images))

    def arguments(self, folder: Path, tmp_path: Path) -> list[str]:
        teacher = str(MODELS / "actor_detector.safetensors")
        return [
            *("--images", str(folder), "--teacher", teacher, "--start", "random", "--device", "cpu"),
            *("--work", str(tmp_path / "work"), "--out", str(tmp_path / "detector.safetensors"), "--held-out", "0.3"),
            *("--views", "8", "--epochs", "1", "--deep-views", "8", "--deep-epochs", "1", "--imgsz", "96"),
            *("--whole-views", "4", "--whole-epochs", "1", "--batch-size", "4", "--workers", "1"),
        ]

    def test_writes_a_usable_detector(self, folder, tmp_path, taxonomy, capsys):
        assert run_retrain_detector(self.arguments(folder, tmp_path)) == 0
        assert "held-out images" in capsys.readouterr().out
        detector = YoloActorDetector(tmp_path / "detector.safetensors", taxonomy, DetectorSettings(96, 0.0))
        assert len(detector.detect([np.zeros((96, 96, 3), np.uint8)])[0].boxes)
        _, manifest = load_detector(tmp_path / "detector.safetensors")
        assert [phase["name"] for phase in manifest.training["phases"]] == ["frozen", "deep", "whole"]
        with pytest.raises(TrainingError, match="holds a training already: continue it with --resume"):
            run_retrain_detector(self.arguments(folder, tmp_path))
        bytes_before = (tmp_path / "detector.safetensors").read_bytes()
        assert run_retrain_detector([*self.arguments(folder, tmp_path), "--resume"]) == 0
        assert (tmp_path / "detector.safetensors").read_bytes() == bytes_before
        with pytest.raises(TrainingError, match="holds a training with"):
            run_retrain_detector([*self.arguments(folder, tmp_path), "--resume", "--epochs", "3"])

    def test_known_boxes_are_trained_on(self, folder, tmp_path):
        """The teacher sees no ball anywhere; the list has one in each picture, and says that the last shows none."""
        names = sorted(path.name for path in folder.iterdir())
        rows = [f"{folder / name},10,20,30,40" for name in names[:-1]]
        boxes = tmp_path / "balls.csv"
        boxes.write_text("\n".join(["file,x1,y1,x2,y2", *rows, f"{folder / names[-1]},,,,"]) + "\n")
        known = ["--boxes", f"ball={boxes}"]
        assert run_retrain_detector([*self.arguments(folder, tmp_path), *known]) == 0
        _, manifest = load_detector(tmp_path / "detector.safetensors")
        assert manifest.data["images"] - 1 <= manifest.data["boxes"]["sports ball"] <= manifest.data["images"]
        assert manifest.data["boxes"]["sports ball"] > 0
        assert manifest.data["known_boxes"] == {"ball": sha256_file(boxes)}

    def test_known_boxes_of_other_images_or_actors_are_refused(self, folder, tmp_path):
        (elsewhere,) = write_pngs(tmp_path / "other", np.zeros((1, 50, 50, 3), np.uint8)).iterdir()
        boxes = tmp_path / "balls.csv"
        boxes.write_text(f"file,x1,y1,x2,y2\n{elsewhere},1,2,3,4\n")
        with pytest.raises(DatasetError, match="none of the 1 images that it names is among those to train on"):
            run_retrain_detector([*self.arguments(folder, tmp_path), "--boxes", f"ball={boxes}"])
        boxes.write_text(f"file,x1,y1,x2,y2\n{next(folder.iterdir())},1,2,3,4\n")
        with pytest.raises(TaxonomyError, match="unknown actor 'bal'"):
            run_retrain_detector([*self.arguments(folder, tmp_path), "--boxes", f"bal={boxes}"])
        with pytest.raises(SystemExit):
            run_retrain_detector([*self.arguments(folder, tmp_path), "--boxes", str(boxes)])

    def test_wrong_folders_are_refused(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(DatasetError, match="no images there"):
            run_retrain_detector(self.arguments(tmp_path / "empty", tmp_path))
        assert not list((tmp_path / "work").iterdir()), (
            "the command can be repeated with the right path, without --resume"
        )
        with pytest.raises(TrainingError, match="no training to resume"):
            run_retrain_detector([*self.arguments(tmp_path / "empty", tmp_path / "new"), "--resume"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                ["--epochs", "0", "--deep-epochs", "0", "--whole-epochs", "0"],
                "--epochs, --deep-epochs or --whole-epochs must be above 0",
            ),
            (["--deep-epochs", "-1"], "-1 was given, a whole number from 0 is allowed"),
        ],
        ids=["nothing to train", "negative"],
    )
    def test_wrong_epochs_are_refused(self, folder, tmp_path, capsys, change, message):
        with pytest.raises((SystemExit, TrainingError)) as caught:
            run_retrain_detector([*self.arguments(folder, tmp_path), *change])
        assert message in capsys.readouterr().err + str(caught.value)
