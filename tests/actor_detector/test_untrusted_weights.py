"""Detector files with a payload: nothing in them runs, whatever opcode calls it and whatever it is wrapped in."""

import contextlib
import json
import pickle
import shutil
from pathlib import Path

import payloads
import pytest
import safetensors.torch
import torch
from torch import nn

from a2d.taxonomy import Taxonomy
from actor_detector.weights import architecture_path
from actor_detector.yolo import YoloActorDetector
from common.downloads import KNOWN_WEIGHTS
from common.errors import DetectorError
from common.files import sha256_file
from common.paths import MODELS
from pipeline.known_detectors import EMBEDDED_FILE, find_detector


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists if a payload has run."""
    return tmp_path / "marker"


@pytest.mark.parametrize("payload", payloads.PAYLOADS)
def test_payload_in_a_detector_never_runs(taxonomy: Taxonomy, tmp_path: Path, marker: Path, payload: str) -> None:
    content = payloads.PAYLOADS[payload](marker)
    for container, wrap in payloads.CONTAINERS.items():
        file = tmp_path / "malicious.pt"
        file.write_bytes(wrap(content))
        with pytest.raises(DetectorError, match=r"malicious\.pt: not a YOLO model .*--trust-weights") as caught:
            YoloActorDetector(file, taxonomy)
        assert not marker.exists(), container
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("payload", [name for name in payloads.PAYLOADS if name != "constructor of a layer"])
def test_payload_runs_when_it_is_unpickled(marker: Path, payload: str) -> None:
    with contextlib.suppress(Exception):  # some fail after they have run
        pickle.loads(payloads.PAYLOADS[payload](marker))
    assert marker.exists()


def test_trusted_file_is_unpickled(taxonomy: Taxonomy, tmp_path: Path, marker: Path) -> None:
    file = tmp_path / "trusted.pt"
    torch.save({"model": payloads.Reduced(Path.touch, marker)}, file)
    with pytest.raises(DetectorError, match=r"trusted\.pt: not a YOLO model") as caught:
        YoloActorDetector(file, taxonomy, trust_weights=True)
    assert marker.exists()
    assert "--trust-weights" not in str(caught.value)
    marker.unlink()
    with pytest.raises(DetectorError, match="it names "):  # trust in one file is no trust in the next
        YoloActorDetector(file, taxonomy)
    assert not marker.exists()


def test_payload_in_the_weights_folder_never_runs(
    taxonomy: Taxonomy, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path))
    file = tmp_path / KNOWN_WEIGHTS["yolo26n"].file_name
    file.write_bytes(payloads.CONTAINERS["zip"](payloads.PAYLOADS["STACK_GLOBAL"](marker)))
    with pytest.raises(DetectorError, match="not a YOLO model"):
        YoloActorDetector(find_detector("yolo26n"), taxonomy)
    assert not marker.exists()


def detector_with_architecture(folder: Path, change: dict[str, str]) -> Path:
    """Write the embedded detector with another model YAML, of which its manifest has the right hash."""
    path = Path(shutil.copy(EMBEDDED_FILE, folder / "detector.safetensors"))
    text = (MODELS / "actor_detector.yaml").read_text(encoding="utf-8")
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    architecture_path(path).write_text(text, encoding="utf-8")
    with safetensors.safe_open(path, framework="pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
    manifest["architecture"] = sha256_file(architecture_path(path))
    tensors = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save(tensors, metadata={"manifest": json.dumps(manifest)}))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nc: 6": 'nc: 6\nactivation: "PAYLOAD"'}, "unsupported activation"),
        ({"Conv, [192, 1, 1]": 'Conv, [192, "PAYLOAD", 1]'}, "layer 4: a word or a number was expected"),
        ({"Conv, [192, 1, 1]": "torch_safe_load, [evil.pt]"}, "'torch_safe_load' is no layer"),
        ({"Conv, [192, 1, 1]": "DetectionModel, [evil.yaml]"}, "'DetectionModel' is no layer"),
        ({"mobilenet_v2, null": "mobilenet_v2, DEFAULT"}, "TorchVision downloads weights"),
        ({"[1280, mobilenet_v2, null, True, 3, True]": "[1280, mobilenet_v2]"}, "TorchVision downloads weights"),
        ({"Conv, [192, 1, 1]": "Conv, [1000000000, 1, 1]"}, "layer 4: a number up to 4096 was expected"),
        ({"Conv, [192, 1, 1]": "Conv, [4096, 4095, 1]"}, "it has .* parameters, at most"),
        ({"1, Conv, [192, 1, 1]": "1000000, Conv, [192, 1, 1]"}, "1 to 100"),
        ({'nn.Upsample, [None, 2, "nearest"]': 'nn.Upsample, [None, 900, "nearest"]'}, "a number up to 8 was expected"),
        ({"nc: 6": "nc: 6\nwidth_multiple: 1.0e+300"}, "width_multiple: a number up to 10"),
        ({"nc: 6": "nc: 6\nscales: {n: [1.0, 1.0e+300, 1024]}"}, "scales: 'n': a number up to 10"),
        ({"head:": "head: 1\nother:"}, "head: a list of layers was expected"),
        ({"Conv, [192, 1, 1]": "nn.Whatever, [192]"}, "not an Ultralytics detection model"),
    ],
    ids=lambda value: next(iter(value.values()))[-40:] if isinstance(value, dict) else "",
)
def test_malicious_model_yaml_is_refused(
    taxonomy: Taxonomy, tmp_path: Path, marker: Path, change: dict[str, str], message: str
) -> None:
    expression = payloads.python_touch(marker)
    change = {old: new.replace("PAYLOAD", expression) for old, new in change.items()}
    with pytest.raises(DetectorError, match=message) as caught:
        YoloActorDetector(detector_with_architecture(tmp_path, change), taxonomy)
    assert not marker.exists()
    assert "\n" not in str(caught.value)


def test_unchanged_model_yaml_is_accepted(taxonomy: Taxonomy, tmp_path: Path) -> None:
    changed = detector_with_architecture(tmp_path, {"nc: 6": "nc: 6\nactivation: nn.SiLU()"})
    assert YoloActorDetector(changed, taxonomy)


class Model(nn.Module):
    """A module of no library."""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param({"model": nn.Linear(2, 2)}, "not a YOLO model", id="a layer"),
        pytest.param({"model": Model()}, r"it names .*Model, which could run code", id="another class"),
        pytest.param({"weight": torch.zeros(3)}, "not a YOLO model", id="state dict"),
        pytest.param({}, "not a YOLO model", id="nothing"),
    ],
)
def test_other_pytorch_file_is_refused(taxonomy: Taxonomy, tmp_path: Path, content: object, reason: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(DetectorError, match=reason):
        YoloActorDetector(tmp_path / "other.pt", taxonomy)


def test_model_with_infinite_weights_is_refused(taxonomy: Taxonomy, tmp_path: Path) -> None:
    path = detector_with_architecture(tmp_path, {})
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.inf
    path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))
    with pytest.raises(DetectorError, match="contains values that are not finite"):
        YoloActorDetector(path, taxonomy)


def test_quoted_file_name_is_not_replaced_by_another(taxonomy: Taxonomy, yolo: Path, tmp_path: Path) -> None:
    """Ultralytics drops quotes and spaces from names, and renames YOLOv5 files."""
    (tmp_path / "model.pt").write_bytes(b"another file")
    for name in ("mod'el.pt", "yolov5n.pt"):
        shutil.copy(yolo, tmp_path / name)
        assert YoloActorDetector(tmp_path / name, taxonomy).sha256 == sha256_file(yolo)
