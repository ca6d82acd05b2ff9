"""The detector's training: frozen features, phases, checkpoints, and the command around them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from a2d.taxonomy import Taxonomy
from actor_detector.training.frozen_features import children_read, frozen_features, run_on_features
from actor_detector.training.initial_weights import load_initial_weights
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from actor_detector.training.trainer import Phase, TrainingSettings, presence_f1, train_detector
from actor_detector.weights import DetectorManifest, architecture_path, load_detector, save_detector
from actor_detector.yolo import YoloActorDetector, build_network
from common.errors import DatasetError, DetectorError, TrainingError
from common.paths import PROJECT

ARCHITECTURE = PROJECT / "models" / "actor_detector.yaml"
NAMES = ("person", "sports ball", "bird", "car", "cat", "dog")
SETTINGS = TrainingSettings(image_size=96, view_size=96, batch_size=8, warm_up=2, average=0.8)
PHASES = (Phase("frozen", 18, 16, 2, 2e-3), Phase("deep", 14, 16, 2, 1e-3))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[PseudoLabelledImage]:
    """Twelve images: a bright disc is a ball (1), a dark square is a car (3)."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    made = []
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
        made.append(PseudoLabelledImage(path, box, np.ones(1, np.float32), np.array([1 if number % 2 else 3])))
    return made


def new_network(epochs: int = 4):
    torch.manual_seed(0)
    return build_network(ARCHITECTURE, NAMES, epochs)


def manifest() -> DetectorManifest:
    from common.files import sha256_file

    return DetectorManifest(NAMES, sha256_file(ARCHITECTURE), 320, "random", (), {}, {}, {})


@pytest.mark.parametrize("frozen", [7, 14, 18])
def test_the_rest_of_the_network_on_frozen_features_gives_what_the_whole_gives(frozen: int):
    network = new_network().eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        features = frozen_features(network, images, frozen)
        assert sorted(features) == children_read(network, frozen)
        torch.testing.assert_close(run_on_features(network, features)[0], network(images)[0])


def test_a_training_that_was_killed_ends_as_one_that_was_not(images: list[PseudoLabelledImage], tmp_path: Path):
    class KilledError(Exception):
        pass

    def die_in_the_second_phase(report):
        if report.phase == "deep":
            raise KilledError

    whole = train_detector(new_network(), images[:10], images[10:], PHASES, SETTINGS, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_detector(
            new_network(),
            images[:10],
            images[10:],
            PHASES,
            SETTINGS,
            tmp_path / "cut",
            on_epoch=die_in_the_second_phase,
        )
    resumed = train_detector(new_network(), images[:10], images[10:], PHASES, SETTINGS, tmp_path / "cut")
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=name, rtol=0, atol=0)
    logs = [(tmp_path / folder / "epochs.jsonl").read_text() for folder in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["phase"] for line in logs[0].splitlines()] == ["frozen", "frozen", "deep", "deep"]


def test_training_lowers_the_loss_and_leaves_the_frozen_children_alone(
    images: list[PseudoLabelledImage], tmp_path: Path
):
    reports = []
    network = new_network()
    before = {name: tensor.clone() for name, tensor in network.model[0].m[:18].state_dict().items()}
    phase = Phase("frozen", 18, 32, 6, 3e-3)
    average = train_detector(network, images, images, [phase], SETTINGS, tmp_path, on_epoch=reports.append)
    assert reports[-1].loss < 0.8 * reports[0].loss
    for name, tensor in average.model[0].m[:18].state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_the_backbone_moves_by_its_share_of_the_learning_rate(images: list[PseudoLabelledImage], tmp_path: Path):
    phase = Phase("deep", 14, 16, 1, 1e-3)
    moved = {}
    for share in (0.0, 1.0):
        network = new_network()
        before = {name: tensor.clone() for name, tensor in network.named_parameters()}
        train_detector(network, images, [], [phase], replace(SETTINGS, backbone_share=share), tmp_path / str(share))
        moved[share] = {name for name, tensor in network.named_parameters() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("model.0.") for name in moved[0.0])
    assert any(name.startswith("model.0.m.18.") for name in moved[1.0])
    assert moved[0.0] >= {name for name in moved[1.0] if name.startswith("model.4.")} != set()


def test_images_without_any_actor_cannot_teach(images: list[PseudoLabelledImage], tmp_path: Path):
    empty = PseudoLabelledImage(
        images[0].path, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    )
    with pytest.raises(TrainingError, match="no actor in any of the images"):
        train_detector(new_network(), [empty], [empty], PHASES, SETTINGS, tmp_path)


def test_presence_f1_is_2tp_over_said_plus_true():
    said, truth = np.array([[1, 0], [1, 0], [0, 0]], bool), np.array([[1, 0], [0, 0], [1, 0]], bool)
    assert presence_f1(said, truth).tolist() == [0.5, 0.0]


def test_a_saved_detector_finds_what_the_network_finds(tmp_path: Path, taxonomy: Taxonomy):
    network = new_network().eval()
    for layer in network.modules():  # as it starts, hardly anything gets through, and all confidences are the same
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    for heads in (network.model[-1].one2one_cv2, network.model[-1].one2one_cv3):
        for head in heads:
            head[-1].weight.data.mul_(0.01)
    path = tmp_path / "own.safetensors"
    save_detector(path, network.state_dict(), manifest())
    shutil.copy(ARCHITECTURE, architecture_path(path))
    assert path.stat().st_size < 10e6
    detector = YoloActorDetector(path, taxonomy, 320, 0.0)
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
        assert same.any()  # in no fixed order: many are equally likely


def test_the_same_detector_gives_the_same_bytes(tmp_path: Path):
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
def test_a_wrong_file_is_refused_in_one_line(damage, message: str, tmp_path: Path, taxonomy: Taxonomy):
    path = tmp_path / "own.safetensors"
    save_detector(path, new_network().state_dict(), manifest())
    shutil.copy(ARCHITECTURE, architecture_path(path))
    damage(path)
    with pytest.raises(DetectorError, match=message) as caught:
        YoloActorDetector(path, taxonomy, 320, 0.5)
    assert "\n" not in str(caught.value)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path, taxonomy: Taxonomy):
    import safetensors.torch

    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DetectorError, match="no detector of ours"):
        YoloActorDetector(path, taxonomy, 320, 0.5)


def test_an_own_detector_can_be_started_from_even_for_other_classes(tmp_path: Path):
    network = new_network()
    path = tmp_path / "own.safetensors"
    save_detector(path, network.state_dict(), manifest())
    shutil.copy(ARCHITECTURE, architecture_path(path))
    torch.manual_seed(1)
    other = build_network(ARCHITECTURE, ("horse", "person"))
    load_initial_weights(str(path), other)
    same = {name: torch.equal(t.half().float(), other.state_dict()[name]) for name, t in network.state_dict().items()
            if t.is_floating_point() and not name.startswith(f"model.{len(network.model) - 1}.")}  # fmt: skip
    assert all(same.values())


def test_what_is_not_there_cannot_be_started_from():
    with pytest.raises(DetectorError, match=r"gone\.safetensors: no such detector file"):
        load_initial_weights("gone.safetensors", new_network())


class TestCommand:
    """retrain_detector.py on real frames of the kit, with the kit's YOLO26n as the teacher."""

    @pytest.fixture(scope="class")
    def folder(self, kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("kit-frames")
        for path in sorted((kit / "frames").iterdir())[:12]:
            shutil.copy(path, folder / path.name)
        return folder

    def arguments(self, folder: Path, yolo: Path, tmp_path: Path) -> list[str]:
        return [
            *("--images", str(folder), "--teacher", str(yolo), "--start", "random", "--device", "cpu"),
            *("--work", str(tmp_path / "work"), "--out", str(tmp_path / "own.safetensors"), "--held-out", "0.3"),
            *("--views", "8", "--epochs", "1", "--deep-views", "8", "--deep-epochs", "1", "--imgsz", "96"),
        ]

    def test_it_writes_a_detector_that_can_be_used(self, folder, yolo, tmp_path, taxonomy, capsys):
        import retrain_detector

        assert retrain_detector.main(self.arguments(folder, yolo, tmp_path)) == 0
        assert "held-out images" in capsys.readouterr().out
        detector = YoloActorDetector(tmp_path / "own.safetensors", taxonomy, 96, 0.0)
        assert len(detector.detect([np.zeros((96, 96, 3), np.uint8)])[0].boxes)
        _, manifest = load_detector(tmp_path / "own.safetensors")
        assert [phase["name"] for phase in manifest.training["phases"]] == ["frozen", "deep"]
        with pytest.raises(TrainingError, match="holds a training already: --resume"):
            retrain_detector.main(self.arguments(folder, yolo, tmp_path))
        bytes_before = (tmp_path / "own.safetensors").read_bytes()
        assert retrain_detector.main([*self.arguments(folder, yolo, tmp_path), "--resume"]) == 0
        assert (tmp_path / "own.safetensors").read_bytes() == bytes_before
        with pytest.raises(TrainingError, match="holds a training with"):
            retrain_detector.main([*self.arguments(folder, yolo, tmp_path), "--resume", "--epochs", "3"])

    def test_wrong_folders_are_named(self, yolo, tmp_path):
        import retrain_detector

        (tmp_path / "empty").mkdir()
        with pytest.raises(DatasetError, match="no images there"):
            retrain_detector.main(self.arguments(tmp_path / "empty", yolo, tmp_path))
        assert not list((tmp_path / "work").iterdir()), "the right path can be given next, without --resume"
        with pytest.raises(TrainingError, match="no training to resume"):
            retrain_detector.main([*self.arguments(tmp_path / "empty", yolo, tmp_path / "new"), "--resume"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--epochs", "0", "--deep-epochs", "0"], "--epochs or --deep-epochs must be above 0"),
            (["--deep-epochs", "-1"], "-1 was given, a whole number from 0 is allowed"),
        ],
        ids=["nothing to train", "negative"],
    )
    def test_epochs_that_cannot_be_are_refused(self, folder, yolo, tmp_path, capsys, change, message):
        import retrain_detector

        with pytest.raises(SystemExit, match="2"):
            retrain_detector.main([*self.arguments(folder, yolo, tmp_path), *change])
        assert message in capsys.readouterr().err
