"""Images of many sizes need one conversion and the memory of a few engines, and their outputs do not depend on it."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from actor_detector.letterbox import Letterbox
from actor_detector.yolo import YoloActorDetector
from common.paths import MODELS
from inference import openvino_engine
from inference.engine_pool import MAX_ENGINES, EnginePool
from inference.interfaces import Network, content_key
from inference.runtime import MAX_PIXELS, Runtime
from inference.torch_engine import Preprocessed

SIZES = [(32, 64), (64, 32), (48, 48), (16, 96), (96, 80), (64, 64)]


class StoresLastSize(nn.Module):
    """Adds a grid that it computes in Python when the size changes, as Ultralytics' heads do with their anchors."""

    size = None
    grid = torch.zeros(0)

    def forward(self, images):
        if self.size != images.shape[2:]:
            self.size = images.shape[2:]
            self.grid = torch.arange(int(images.shape[2]) * int(images.shape[3])).float()
        return images.flatten(2) * self.grid


def convolution():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Preprocessed(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval())


def make_network(name, build=convolution, takes_any_size=True):
    """Create a network; it is converted in this process, since a function inside of another cannot be pickled."""
    return Network(content_key(name), lambda: build(), takes_any_size=takes_any_size)


def images_of(size, count=3):
    return np.random.default_rng(sum(size)).integers(0, 256, (count, *size, 3)).astype(np.uint8)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_many_sizes_in_any_order_give_what_an_engine_of_their_own_gives(backend, tmp_path):
    built = []

    def build():
        built.append(1)
        return convolution()

    network = make_network("any", build)
    runtime = Runtime(backend, cache=tmp_path)
    pool = EnginePool(partial(runtime.engine, network))
    first = {size: pool.submit(images_of(size), 2) for size in SIZES}
    for size in reversed(SIZES):
        expected = Runtime(backend, cache=tmp_path).engine(network, size, 2).submit(images_of(size)).result()
        np.testing.assert_array_equal(first[size].result(), expected)
        np.testing.assert_array_equal(pool.submit(images_of(size), 2).result(), expected)
        assert len(pool) <= MAX_ENGINES
    if backend == "openvino":
        assert len(built) == 1
        assert len(list(tmp_path.glob("*.xml"))) == len(list(tmp_path.iterdir())) / 2 == 1


def test_the_engines_that_were_used_last_keep_their_memory(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    released = []
    runtime = Runtime("openvino", cache=tmp_path)

    def create(size, batch_size):
        engine = runtime.engine(make_network("any"), size, batch_size)
        release = engine.release
        monkeypatch.setattr(engine, "release", lambda: released.append(size) or release())
        return engine

    pool = EnginePool(create)
    first, second, third = SIZES[:3]
    for size in (first, second, first, second, second):
        pool.submit(images_of(size), 2).result()
    assert not released
    for size in (third, second, first):
        pool.submit(images_of(size), 2).result()
    assert released == [first, third]


def test_network_that_stores_sizes_is_converted_for_each(tmp_path):
    network = make_network("grid", lambda: Preprocessed(StoresLastSize()))
    for size in SIZES[:2]:
        images = images_of(size, 1)
        expected = Preprocessed(StoresLastSize())(torch.from_numpy(images)).numpy()
        found = Runtime("openvino", cache=tmp_path).engine(network, size, 1).submit(images).result()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(list(tmp_path.glob("*.xml"))) == 2


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_output_of_an_image_does_not_depend_on_the_others(backend, tmp_path):
    engine = Runtime(backend, cache=tmp_path).engine(make_network("alone", takes_any_size=False), (32, 48), 4)
    images = images_of((32, 48), 7)
    together = engine.submit(images).result()
    for start, stop in [(0, 1), (3, 5), (6, 7), (1, 6)]:
        np.testing.assert_array_equal(engine.submit(images[start:stop]).result(), together[start:stop])


@pytest.mark.parametrize("part", ["xml", "bin"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "missing"])
def test_damaged_file_is_converted_again(part, damage, tmp_path):
    network = make_network("damaged")
    expected = Runtime("openvino", cache=tmp_path).engine(network, (32, 32), 1).submit(images_of((32, 32))).result()
    (path,) = tmp_path.glob(f"*.{part}")
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "missing":
        path.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "flipped": flipped, "empty": b""}[damage])
    found = Runtime("openvino", cache=tmp_path).engine(network, (32, 32), 1).submit(images_of((32, 32))).result()
    np.testing.assert_array_equal(found, expected)
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / path.name).stat().st_size == pytest.approx(len(content), rel=0.1)


def test_large_images_are_processed_fewer_at_a_time():
    network = make_network("large")
    sizes = [(192, 320), (320, 320), (640, 640), (2560, 2560)]
    batch_sizes = [Runtime().engine(network, size, 16).batch_size for size in sizes]
    assert batch_sizes == [16, 16, 4, 1]
    assert all(
        count * height * width <= max(MAX_PIXELS, height * width)
        for count, (height, width) in zip(batch_sizes, sizes, strict=True)
    )


def test_embedded_detector_is_converted_once_for_all_shapes_of_frames(taxonomy, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino_engine, "SHIPPED", tmp_path / "none")
    path = MODELS / "actor_detector.safetensors"
    converted = YoloActorDetector(path, taxonomy, runtime=Runtime("openvino", cache=tmp_path), batch_size=1)
    reference = YoloActorDetector(path, taxonomy, batch_size=1)
    # The last ones have fewer candidates than the 300 boxes that the network selects.
    for width, height in [(224, 128), (128, 224), (224, 224), (224, 64), (32, 224)]:
        letterbox = Letterbox.fit_into((width, height), (width, height))
        images = images_of((height, width), 1)
        found, expected = (detector.submit(images, letterbox).result() for detector in (converted, reference))
        assert found.shape == expected.shape
        np.testing.assert_allclose(np.sort(found[0, :, 4]), np.sort(expected[0, :, 4]), atol=1e-4)
    assert len(list(tmp_path.glob("*.xml"))) == 1
