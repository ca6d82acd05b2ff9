"""PyTorch and OpenVINO agree, and OpenVINO caches converted networks."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import photo_clips
import pytest
from single_clip import detect_clip

from actor_detector.detector_settings import DetectorSettings
from actor_detector.int8_calibration import calibration_images, evenly_spaced_frames
from actor_detector.yolo import YoloActorDetector
from common.errors import UserError
from common.paths import MODELS, PROJECT
from inference.interfaces import Network, content_key
from inference.runtime import Runtime, make_runtime
from pipeline.config import TaggerConfig, build_runtime
from pipeline.tagger import ActorActionTagger
from video.clips import decode_frames

SETTINGS = DetectorSettings(224, 0.4)
KIT_CLIPS = (
    "dog-walking__ground-a-video-dog-walking.mp4",
    "bird-walking__lixirui142-flamingo.mp4",
    "cat-none__yrcong-puff.mp4",
)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


def small_network():
    import torch
    from torch import nn

    from inference.torch_engine import Preprocessed

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Preprocessed(network.eval(), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_outputs_of_batches_of_any_size_are_in_order(backend, count, engines):
    import torch

    images = np.random.default_rng(0).integers(0, 256, (count, 16, 24, 3)).astype(np.uint8)
    engine = Runtime(backend, cache=engines).engine(Network(content_key("small"), lambda: small_network()), (16, 24), 4)
    module = small_network()
    rgb = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    with torch.inference_mode():
        expected = module.network((rgb - mean) / std).numpy()
    outputs = [engine.submit(images) for _ in range(5)]
    for output in outputs:
        np.testing.assert_allclose(output.result(), expected, atol=1e-5)


def test_cached_network_is_not_built_again(tmp_path):
    built = []
    images = np.full((2, 16, 24, 3), 200, np.uint8)

    def build():
        built.append(1)
        return small_network()

    runtime = Runtime("openvino", cache=tmp_path)
    network = Network(content_key("cached"), build)
    first = runtime.engine(network, (16, 24), 2).submit(images).result()
    again = runtime.engine(network, (16, 24), 2).submit(images).result()
    assert len(built) == 1
    np.testing.assert_array_equal(first, again)
    runtime.engine(network, (24, 16), 2)
    assert len(built) == 2, "each shape has a network in the cache"
    for path in tmp_path.glob("*.bin"):
        path.unlink()
    runtime.engine(network, (16, 24), 2)
    assert len(built) == 3, "a network without its weights must not be used"


def test_unwritable_cache_is_only_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    runtime = Runtime("openvino", cache=tmp_path / "file" / "engines")
    engine = runtime.engine(Network(content_key("uncached"), lambda: small_network()), (16, 24), 2)
    assert engine.submit(np.zeros((1, 16, 24, 3), np.uint8)).result().shape == (1, 4)
    assert "cannot be cached" in caplog.text
    assert runtime.facts("0" * 64, lambda: {"a": 1}) == {"a": 1}


@pytest.fixture(scope="module")
def clips(people_and_cat_clip, people_clip, cat_clip):
    return [people_and_cat_clip, people_clip, cat_clip]


@pytest.fixture(params=["embedded", "yolo26n"])
def detector_and_clips(request, clips):
    """The file of a detector, and clips in which it detects actors."""
    if request.param == "embedded":
        return MODELS / "actor_detector.safetensors", clips
    kit = request.getfixturevalue("kit")
    return kit / "weights" / "yolo26n.pt", [kit / "clips" / name for name in KIT_CLIPS]


def test_backends_agree_on_detections(detector_and_clips, taxonomy, engines):
    path, clips = detector_and_clips
    found = {}
    for backend in ("torch", "openvino"):
        yolo = YoloActorDetector(path, taxonomy, SETTINGS, make_runtime(backend, "f32", "cpu", engines))
        found[backend] = [detect_clip(yolo, clip) for clip in clips]
    for reference, other in zip(found["torch"], found["openvino"], strict=True):
        assert len(reference.boxes)
        np.testing.assert_allclose(other.presence_ratios(6), reference.presence_ratios(6), atol=0.01)
        assert abs(len(other.boxes) - len(reference.boxes)) <= 0.01 * len(reference.boxes)


def test_backends_agree_on_results(config, clips, engines):
    results = {}
    for backend in ("torch", "openvino"):
        tagger = ActorActionTagger.from_config(replace(config, backend=backend, cache=None, engines=engines))
        results[backend] = [tagger.tag(clip) for clip in clips]
    for reference, other in zip(results["torch"], results["openvino"], strict=True):
        assert reference.scores
        assert [actor.present for actor in other.actors.values()] == [
            actor.present for actor in reference.actors.values()
        ]
        assert {name: actor.frames for name, actor in other.actors.items()} == {
            name: actor.frames for name, actor in reference.actors.items()
        }
        assert other.scores == pytest.approx(reference.scores, abs=0.02)


def test_networks_are_converted_in_another_process(people_clip, tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipeline.config import TaggerConfig, build_runtime; "
        "from pipeline.tagger import ActorActionTagger; from inference import openvino_engine; "
        f"openvino_engine.SHIPPED = Path({str(tmp_path)!r}); "
        "tagger = ActorActionTagger.from_config(TaggerConfig(backend='openvino', device='cpu')); "
        f"print(tagger.tag({str(people_clip)!r}).status, 'torch' in sys.modules, "
        "'ultralytics' in sys.modules, sys.modules.get('openvino_telemetry'))"
    )
    environment = {**os.environ, "ACTOR_ACTION_CACHE": str(tmp_path)}
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert printed == 2 * [["ok", "False", "False", "None"]]
    assert len(list(tmp_path.glob("engines/*.xml"))) == 2, "a detector and a trunk"


def test_int8_detector_nearly_agrees_with_single_precision(kit, taxonomy, tmp_path, capfd):
    clips = [kit / "clips" / name for name in KIT_CLIPS]
    weights = kit / "weights" / "yolo26n.pt"
    runtime = make_runtime("openvino", "int8", "cpu", tmp_path, calibration_images(clips))
    assert runtime.name.startswith("openvino int8 ")
    found = [detect_clip(YoloActorDetector(weights, taxonomy, SETTINGS, runtime), clip) for clip in clips]
    assert capfd.readouterr().out == ""
    for clip, quantized in zip(clips, found, strict=True):
        reference = detect_clip(YoloActorDetector(weights, taxonomy, SETTINGS, Runtime("openvino")), clip)
        np.testing.assert_allclose(quantized.presence_ratios(6), reference.presence_ratios(6), atol=0.15)
        assert not np.array_equal(quantized.confidence, reference.confidence), "must compute with 8-bit integers"
    (key,) = {path.stem[-16:] for path in tmp_path.glob("*-int8-*.xml")}
    assert key in calibration_images(clips).key
    assert calibration_images(clips[:1]).key != calibration_images(clips).key


def test_network_without_int8_support_stays_in_single_precision(people_clip):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype(np.uint8)
    calibration = calibration_images([people_clip])
    network = Network(content_key("small"), lambda: small_network())
    int8 = Runtime("openvino", precision="int8", calibration=calibration).engine(network, (16, 24), 2)
    reference = Runtime("openvino").engine(network, (16, 24), 2)
    np.testing.assert_array_equal(int8.submit(images).result(), reference.submit(images).result())


def test_calibration_images_are_evenly_spaced_letterboxed_frames(tmp_path):
    squares = photo_clips.pan(photo_clips.PEOPLE, 150)[:, :, 128:448]
    clip = photo_clips.write_frames(tmp_path / "squares.mp4", squares)
    frames = [frame.index for frame in evenly_spaced_frames(clip, 10)]
    assert 5 < len(frames) <= 10
    assert len({*np.diff(frames)}) == 1
    images = calibration_images([clip]).load((96, 160))
    assert images.shape[1:] == (96, 160, 3)
    assert 64 < len(images) <= 128
    first = next(decode_frames(clip))
    width = round(96 * first.size[0] / first.size[1])
    left = (160 - width) // 2
    np.testing.assert_array_equal(images[0][:, left : left + width], first.image((width, 96)))
    assert (images[0][:, :left] == 114).all()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("onnx", "f32", "cpu"), "backend 'onnx' was given, allowed: auto, torch, openvino"),
        (("torch", "int4", "cpu"), "precision 'int4' was given, allowed: auto, f32, bf16, int8"),
        (("torch", "int8", "cpu"), "precision int8 needs backend openvino on the CPU, found torch on 'cpu'"),
        (("auto", "int8", "cpu"), "precision int8 and --calibration go together"),
        (("openvino", "f32", "cuda:0"), "backend openvino runs on the CPU, device 'cuda:0' was given"),
    ],
    ids=str,
)
def test_make_runtime_rejects_invalid_combinations(choice, message):
    with pytest.raises(UserError, match=message):
        make_runtime(*choice, None)


def test_auto_selects_by_device():
    assert make_runtime("auto", "auto", "cpu", None).name == "openvino f32"
    assert make_runtime("auto", "auto", "cuda:0", None).name == "torch f32"
    assert build_runtime(TaggerConfig(device="cpu")).name == "openvino f32"
