"""The dense stem: its place in a network, its key in a model YAML, and its training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from actor_detector.dense_stem import make_stem
from actor_detector.training.augmentation import TrainingView
from actor_detector.training.frozen_features import frozen_features, run_on_features, tapped_children
from actor_detector.training.initial_weights import load_first_children, load_initial_weights
from actor_detector.training.settings import StemPhase
from actor_detector.training.stem_distillation import teach_stem
from actor_detector.weights import DetectorManifest, architecture_path, load_detector, save_detector
from actor_detector.yolo import build_network
from common.errors import DetectorError
from common.files import sha256_file
from common.training_run import TrainingRun
from inference.interfaces import Engine, Network
from inference.runtime import Runtime

NAMES = ("person", "sports ball", "bird", "car", "cat", "dog")
STEM = "stem: {children: 4, first: 16, blocks: [[32, 24, 2], [24, 24, 1]]}\n"
LAYERS = """
end2end: True
reg_max: 1
backbone:
  - [-1, 1, TorchVision, [1280, mobilenet_v2, null, True, 3, True]]
  - [0, 1, Index, [32, 7]]
  - [0, 1, Index, [96, 14]]
  - [0, 1, Index, [160, 17]]
head:
  - [[1, 2, 3], 1, Detect, [nc]]
"""
NO_STEM = f"nc: 6{LAYERS}"


def write_architecture(path: Path, stem: str = STEM) -> Path:
    path.write_text(f"nc: 6\n{stem}{LAYERS}")
    return path


def make_view(number: int) -> TrainingView:
    """A gradient in a random direction under noise."""
    random = np.random.default_rng(number)
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    image = (random.uniform(-2, 2, 3) * x[..., None] + random.uniform(-2, 2, 3) * y[..., None]) % 256
    noise = random.uniform(-20, 20, image.shape)
    return TrainingView((image + noise).clip(0, 255).astype(np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, int))


def test_stem_takes_the_place_of_the_first_children_and_no_index_changes(tmp_path: Path):
    network = build_network(write_architecture(tmp_path / "a.yaml"), NAMES).eval()
    backbone = network.model[0].m
    images = torch.rand(2, 3, 64, 96)
    assert len(backbone) == 17
    assert [tuple(backbone[: index + 1](images).shape[1:]) for index in (3, 6, 13, 16)] == [
        (24, 16, 24),
        (32, 8, 12),
        (96, 4, 6),
        (160, 2, 3),
    ]
    for frozen in (4, 7, 17, 18):  # one more than there are means all
        with torch.inference_mode():
            features = frozen_features(network, images, frozen)
            assert sorted(features) == tapped_children(network, frozen)
            torch.testing.assert_close(run_on_features(network, features)[0], network(images)[0])


def test_saved_detector_with_a_stem_gives_the_same_output(tmp_path: Path):
    architecture = write_architecture(tmp_path / "detector.yaml")
    network = build_network(architecture, NAMES).eval()
    path = tmp_path / "detector.safetensors"
    save_detector(
        path, network.state_dict(), DetectorManifest(NAMES, sha256_file(architecture), 64, "", (), {}, {}, {})
    )
    state, _ = load_detector(path)
    other = build_network(architecture, NAMES).eval()
    other.load_state_dict(state)
    network.load_state_dict(state)  # both in half precision
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(other(images)[0], network(images)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ("stem: 4\n", "children, first and blocks were expected, found 4"),
        ("stem: {children: 4, first: 16}\n", "children, first and blocks were expected"),
        ("stem: {children: 4, first: 16, blocks: []}\n", "children, first and blocks were expected"),
        ("stem: {children: 4, first: 16, blocks: [[32, 24]]}\n", r"\[hidden channels, channels, stride\] was expected"),
        (
            "stem: {children: 4, first: 16, blocks: [[32, 24, 2]], last: 3}\n",
            "children, first and blocks were expected",
        ),
        ("stem: {children: 4, first: 16, blocks: [[32, '24', 2]]}\n", r"\[hidden channels, channels, stride\]"),
        ("stem: {children: 4, first: 16, blocks: [[99999, 24, 2]]}\n", "1 to 512 channels"),
        ("stem: {children: 4, first: 0, blocks: [[32, 24, 2]]}\n", "1 to 512 channels"),
        ("stem: {children: 4, first: 16, blocks: [[32, 24, 4]]}\n", "strides of 1 or 2"),
        (
            "stem: {children: 4, first: 16, blocks: [[32, 24, 1]]}\n",
            r"has the shape \(24, 32, 32\), not \(24, 16, 16\)",
        ),
        ("stem: {children: 4, first: 16, blocks: [[32, 16, 2]]}\n", r"has the shape \(16, 16, 16\)"),
        ("stem: {children: 17, first: 16, blocks: [[32, 24, 2]]}\n", "17 of 17 cannot be replaced"),
    ],
)
def test_wrong_stems_are_refused_in_one_line(stem: str, message: str, tmp_path: Path):
    with pytest.raises(DetectorError, match=message) as caught:
        build_network(write_architecture(tmp_path / "a.yaml", stem), NAMES)
    assert "\n" not in str(caught.value)


def test_start_without_the_stem_gives_its_other_layers_and_teaches_the_stem(tmp_path: Path):
    (tmp_path / "start.yaml").write_text(NO_STEM)
    start = tmp_path / "start.safetensors"
    old = build_network(tmp_path / "start.yaml", NAMES).eval()
    architecture = sha256_file(architecture_path(start))
    save_detector(start, old.state_dict(), DetectorManifest(NAMES, architecture, 64, "", (), {}, {}, {}))
    network = build_network(write_architecture(tmp_path / "new.yaml"), NAMES).eval()
    assert "tensors new" in load_initial_weights(str(start), network)
    state, _ = load_detector(start)
    old.load_state_dict(state)
    features, images = torch.rand(1, 24, 16, 16), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for index in range(4, 17):
            torch.testing.assert_close(network.model[0].m[index](features), old.model[0].m[index](features))
            features = old.model[0].m[index](features)
        taught = load_first_children(str(start), 4)(images)
        torch.testing.assert_close(taught, old.model[0].m[:4](images), rtol=0, atol=0)


def test_start_that_hardly_fits_is_refused(tmp_path: Path):
    architecture = write_architecture(tmp_path / "a.yaml")
    few = {"model.0.m.4.conv.0.0.weight": torch.zeros(144, 24, 1, 1)}
    start = tmp_path / "a.safetensors"
    save_detector(start, few, DetectorManifest(NAMES, sha256_file(architecture), 64, "", (), {}, {}, {}))
    with pytest.raises(DetectorError, match="only 1 of the"):
        load_initial_weights(str(start), build_network(architecture, NAMES))


def test_random_weights_teach_no_stem():
    with pytest.raises(DetectorError, match="--start random has none"):
        load_first_children("random", 4)


class Taught(torch.nn.Module):
    """Another stem, as an engine runs it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = make_stem(8, [(16, 8, 2)])
        for start in range(0, 640, 32):  # so that its batch normalization fits the views
            self.forward(torch.from_numpy(np.stack([make_view(start + n).image for n in range(32)])))
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.flip(3).permute(0, 3, 1, 2).float() / 255)


def new_teacher_and_stem() -> tuple[Engine, torch.nn.Sequential]:
    teacher = Runtime().engine(Network("0" * 64, Taught), (64, 64), 32)
    torch.manual_seed(1)
    return teacher, make_stem(8, [(16, 8, 2)])


def test_stem_learns_the_output_of_the_layers_it_replaces(tmp_path: Path):
    teacher, stem = new_teacher_and_stem()
    reports = []
    phase = StemPhase(views=32 * 120, learning_rate=1e-2)
    teach_stem(stem, teacher, make_view, phase, TrainingRun(tmp_path, on_epoch=reports.append))
    assert [report.step for report in reports] == [100, 120]
    assert reports[-1].unexplained < 0.25
    images = np.stack([make_view(9000 + number).image for number in range(32)])
    rgb = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected, found = torch.from_numpy(teacher.submit(images).result()), stem(rgb)
    assert (found - expected).square().mean() < 0.25 * expected.var(dim=(0, 2, 3)).mean()


def test_stopped_training_of_a_stem_continues_as_if_it_had_not_been_stopped(tmp_path: Path):
    class StoppedError(Exception):
        pass

    def stop(report):
        raise StoppedError

    phase = StemPhase(views=32 * 104)
    stems = {}
    for name in ("whole", "stopped"):
        teacher, stems[name] = new_teacher_and_stem()
        (tmp_path / name).mkdir()
        if name == "stopped":
            with pytest.raises(StoppedError):
                teach_stem(stems[name], teacher, make_view, phase, TrainingRun(tmp_path / name, on_epoch=stop))
            teacher, stems[name] = new_teacher_and_stem()
        teach_stem(stems[name], teacher, make_view, phase, TrainingRun(tmp_path / name))
    for (name, one), other in zip(
        stems["whole"].state_dict().items(), stems["stopped"].state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name, rtol=0, atol=0)
    logs = [(tmp_path / name / "epochs.jsonl").read_text() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == [100, 104]
