"""PyTorch and OpenVINO give the same answers, and OpenVINO keeps what it converted."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actor_detector.detector_settings import DetectorSettings
from actor_detector.int8_calibration import calibration_images, evenly_spaced_frames
from actor_detector.yolo import YoloActorDetector
from common.errors import UserError
from inference.interfaces import Network, content_key
from inference.runtime import Runtime, make_runtime
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger
from single_clip import detect_clip
from video.clips import decode_frames

PROJECT = Path(__file__).resolve().parents[2]
CLIPS = (
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
@pytest.mark.parametrize("images", [1, 4, 7])
def test_batches_of_any_number_are_answered_in_order(backend, images, engines):
    import torch

    shown = np.random.default_rng(0).integers(0, 256, (images, 16, 24, 3)).astype(np.uint8)
    engine = Runtime(backend, cache=engines).engine(Network(content_key("small"), small_network), (16, 24), 4)
    module = small_network()
    rgb = torch.from_numpy(shown[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    with torch.inference_mode():
        expected = module.network((rgb - mean) / std).numpy()
    answers = [engine.submit(shown) for _ in range(5)]
    for answer in answers:
        np.testing.assert_allclose(answer.result(), expected, atol=1e-5)


def test_a_kept_network_is_not_built_again(tmp_path):
    built = []
    images = np.full((2, 16, 24, 3), 200, np.uint8)

    def build():
        built.append(1)
        return small_network()

    runtime = Runtime("openvino", cache=tmp_path)
    network = Network(content_key("kept"), build)
    first = runtime.engine(network, (16, 24), 2).submit(images).result()
    again = runtime.engine(network, (16, 24), 2).submit(images).result()
    assert len(built) == 1
    np.testing.assert_array_equal(first, again)
    runtime.engine(network, (24, 16), 2)
    assert len(built) == 2, "another shape is another network"
    for path in tmp_path.glob("*.bin"):
        path.unlink()
    runtime.engine(network, (16, 24), 2)
    assert len(built) == 3, "half of a kept network is none"


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    runtime = Runtime("openvino", cache=tmp_path / "file" / "engines")
    engine = runtime.engine(Network(content_key("unkept"), small_network), (16, 24), 2)
    assert engine.submit(np.zeros((1, 16, 24, 3), np.uint8)).result().shape == (1, 4)
    assert "cannot be kept" in caplog.text
    assert runtime.facts("0" * 64, lambda: {"a": 1}) == {"a": 1}


@pytest.mark.parametrize("detector", ["yolo26n", "embedded"])
def test_detections_agree_on_real_clips(kit, taxonomy, engines, detector):
    path = kit / "weights" / "yolo26n.pt" if detector == "yolo26n" else PROJECT / "models/actor_detector.safetensors"
    found = {}
    for backend in ("torch", "openvino"):
        own = YoloActorDetector(path, taxonomy, DetectorSettings(224, 0.4), make_runtime(backend, "f32", "cpu", engines))
        found[backend] = [detect_clip(own, kit / "clips" / clip) for clip in CLIPS]
    for reference, other in zip(found["torch"], found["openvino"], strict=True):
        np.testing.assert_allclose(other.presence_ratios(6), reference.presence_ratios(6), atol=0.01)
        assert abs(len(other.boxes) - len(reference.boxes)) <= 0.01 * len(reference.boxes)


def test_results_agree_on_real_clips(config, kit, engines):
    results = {}
    for backend in ("torch", "openvino"):
        own = replace(config, backend=backend, cache=None, engines=engines)
        tagger = ActorActionTagger.from_config(own)
        results[backend] = [tagger.tag(kit / "clips" / clip) for clip in CLIPS]
    for reference, other in zip(results["torch"], results["openvino"], strict=True):
        assert [actor.present for actor in other.actors.values()] == [
            actor.present for actor in reference.actors.values()
        ]
        assert {name: actor.frames for name, actor in other.actors.items()} == {
            name: actor.frames for name, actor in reference.actors.items()
        }
        assert other.scores == pytest.approx(reference.scores, abs=0.02)


def test_a_second_run_needs_no_torch(kit, tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipeline.config import TaggerConfig; "
        "from pipeline.tagger import ActorActionTagger; "
        "tagger = ActorActionTagger.from_config(TaggerConfig(backend='openvino', device='cpu')); "
        f"print(tagger.tag({str(kit / 'clips' / CLIPS[0])!r}).status, 'torch' in sys.modules, "
        "'ultralytics' in sys.modules, sys.modules.get('openvino_telemetry'))"
    )
    environment = {**os.environ, "ACTOR_ACTION_CACHE": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["ok", "True", "True", "None"], ["ok", "False", "False", "None"]]


def test_a_detector_in_8_bits_sees_nearly_the_same(kit, taxonomy, tmp_path, capfd):
    clips = [kit / "clips" / clip for clip in CLIPS]
    weights = kit / "weights" / "yolo26n.pt"
    runtime = make_runtime("openvino", "int8", "cpu", tmp_path, calibration_images(clips))
    assert runtime.name.startswith("openvino int8 ")
    found = [detect_clip(YoloActorDetector(weights, taxonomy, DetectorSettings(224, 0.4), runtime), clip) for clip in clips]
    assert capfd.readouterr().out == ""
    for clip, own in zip(clips, found, strict=True):
        usual = detect_clip(YoloActorDetector(weights, taxonomy, DetectorSettings(224, 0.4), Runtime("openvino")), clip)
        np.testing.assert_allclose(own.presence_ratios(6), usual.presence_ratios(6), atol=0.15)
        assert not np.array_equal(own.confidence, usual.confidence), "it does compute in 8 bits"
    (description,) = {path.stem[-16:] for path in tmp_path.glob("*-int8-*.xml")}
    assert description in calibration_images(clips).key
    assert calibration_images(clips[:1]).key != calibration_images(clips).key


def test_a_network_that_does_not_bear_8_bits_keeps_its_own(kit, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype(np.uint8)
    calibration = calibration_images([kit / "clips" / CLIPS[0]])
    network = Network(content_key("small"), small_network)
    own = Runtime("openvino", precision="int8", calibration=calibration).engine(network, (16, 24), 2)
    usual = Runtime("openvino").engine(network, (16, 24), 2)
    np.testing.assert_array_equal(own.submit(images).result(), usual.submit(images).result())


def test_frames_for_calibration_are_spread_over_the_clip(kit):
    clip = kit / "clips" / CLIPS[2]
    frames = [frame.index for frame in evenly_spaced_frames(clip, 10)]
    assert 5 < len(frames) <= 10
    assert len({*np.diff(frames)}) == 1
    images = calibration_images([clip]).images((96, 160))
    assert images.shape[1:] == (96, 160, 3)
    assert 64 < len(images) <= 128 or len(images) == sum(1 for _ in decode_frames(clip))
    first = next(decode_frames(clip))
    inner = round(96 * first.size[0] / first.size[1])
    left = (160 - inner) // 2
    np.testing.assert_array_equal(images[0][:, left : left + inner], first.image((inner, 96)))
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
def test_what_cannot_be_had_is_refused(choice, message):
    with pytest.raises(UserError, match=message):
        make_runtime(*choice, None)


def test_auto_follows_the_device():
    assert make_runtime("auto", "auto", "cpu", None).name == "openvino f32"
    assert make_runtime("auto", "auto", "cuda:0", None).name == "torch bf16"
    assert TaggerConfig(device="cpu").runtime.name == "openvino f32"
