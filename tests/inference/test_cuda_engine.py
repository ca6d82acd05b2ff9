"""On a CUDA device, a recorded pass gives what the module gives, whatever is submitted in between.

These tests are only collected where there is such a device, see `tests/conftest.py`.
"""

import numpy as np
import photo_clips
import pytest
import torch
from single_clip import detect_clip
from torch import nn

from a2d.taxonomy import load_taxonomy
from actor_detector.detector_settings import DetectorSettings
from actor_detector.yolo import YoloActorDetector
from common.paths import A2D_TAXONOMY_FILE, MODELS
from inference.interfaces import Network, content_key
from inference.runtime import Runtime
from inference.torch_engine import Preprocessed
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger

SIZE, BATCH = (16, 24), 4
CLOSE = 2e-3  # TF32, in which GPUs convolve, has 10 bits of mantissa


class Grid(nn.Module):
    """Adds a grid that it makes from nothing, as detectors do."""

    def forward(self, images):
        """Add the number of each column."""
        return images + torch.arange(images.shape[-1]).type_as(images)


class Deciding(nn.Module):
    """Reads a number back to decide what comes next, which no recorded pass can."""

    def forward(self, images):
        """Keep bright images, and negate dark ones."""
        return images if images.mean().item() > 0.5 else -images


def make_network(*layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolution = nn.Conv2d(3, 4, 3)
    layers = nn.Sequential(convolution, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Preprocessed(layers.eval(), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def make_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3)).astype(np.uint8)


def make_engine(*layers, precision="f32"):
    network = Network(content_key("cuda", len(layers), *map(str, layers)), lambda: make_network(*layers))
    return Runtime("torch", "cuda:0", precision).engine(network, SIZE, BATCH)


def expected(images, *layers):
    with torch.inference_mode():
        return make_network(*layers)(torch.from_numpy(images)).numpy()


@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("layers", [(nn.ReLU(),), (Grid(),), (Deciding(),)], ids=["plain", "grid", "deciding"])
def test_outputs_are_those_of_the_module(layers, count):
    images = make_images(count)
    found = make_engine(*layers).submit(images).result()
    parts = [images[start : start + BATCH] for start in range(0, count, BATCH)]
    filled = [np.concatenate([part, np.zeros((BATCH - len(part), *SIZE, 3), np.uint8)]) for part in parts]
    wanted = np.concatenate([expected(whole, *layers)[: len(part)] for whole, part in zip(filled, parts, strict=True)])
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=CLOSE * max(1, np.abs(wanted).max()))


def test_plain_modules_are_recorded_and_deciding_ones_are_not():
    for layers, is_recorded in (((nn.ReLU(),), True), ((Grid(),), True), ((Deciding(),), False)):
        engine = make_engine(*layers)
        engine.submit(make_images(1)).result()
        assert (engine._pass._graph is not None) == is_recorded


def test_an_output_does_not_depend_on_the_other_images_of_its_batch():
    engine, images = make_engine(nn.ReLU()), make_images(4)
    together = engine.submit(images).result()
    for row, image in enumerate(images):
        assert (engine.submit(image[None]).result() == together[row]).all()


def test_many_batches_can_wait_and_images_may_change_once_submitted():
    engine = make_engine(nn.ReLU())
    wanted = [expected(make_images(4, seed), nn.ReLU()) for seed in range(20)]
    images, waiting = np.empty((4, *SIZE, 3), np.uint8), []
    for seed in range(20):
        images[:] = make_images(4, seed)
        waiting.append(engine.submit(images))
    for pending, output in reversed(list(zip(waiting, wanted, strict=True))):
        assert pending.result() == pytest.approx(output, abs=CLOSE)


def test_a_released_engine_still_gives_what_was_submitted_before_and_what_comes_after():
    engine, images = make_engine(nn.ReLU()), make_images(4)
    before = engine.submit(images)
    engine.release()
    assert (before.result() == engine.submit(images).result()).all()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return photo_clips.write_people_and_cat(tmp_path_factory.mktemp("clips") / "people_and_cat.mp4")


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_detector_finds_on_a_gpu_what_it_finds_on_the_cpu(clip, precision):
    taxonomy = load_taxonomy(A2D_TAXONOMY_FILE)
    found = {}
    for device in ("cpu", "cuda:0"):
        runtime = Runtime("torch", device, precision if device != "cpu" else "f32")
        detector = YoloActorDetector(
            MODELS / "actor_detector.safetensors", taxonomy, DetectorSettings(224, 0.25), runtime
        )
        found[device] = detect_clip(detector, clip)
    ratios = [found[device].presence_ratios(6) for device in found]
    assert ratios[1] == pytest.approx(ratios[0], abs=0.05)
    if precision == "f32":
        assert len(found["cuda:0"].confidence) == pytest.approx(len(found["cpu"].confidence), rel=0.02)


def test_both_stages_say_on_a_gpu_what_they_say_on_the_cpu(clip):
    configs = [TaggerConfig(backend="torch", device=device) for device in ("cpu", "cuda:0")]
    results = [ActorActionTagger.from_config(config).tag(clip) for config in configs]
    said, sought = ({label.label: label for label in result.labels} for result in reversed(results))
    assert said.keys() == sought.keys()
    for label, one in said.items():
        assert one.score == pytest.approx(sought[label].score, abs=0.02)
        assert one.segments == sought[label].segments
