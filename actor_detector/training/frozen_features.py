"""What a frozen backbone makes of training views, computed once and kept on disk, so that epochs cost the rest alone.

The backbone is layer 0 of the model, an Ultralytics `TorchVision` layer that hands out the outputs of all its children.
Its first `frozen` children never change; of their outputs only those are kept that something behind them reads, in half
precision. Views are taken one after another, so a computation that is stopped goes on where it was.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actor_detector.training.augmentation import TrainingView
from common.files import write_atomically

Features = dict[int, torch.Tensor]  # by place of the backbone's child, each (B, C, h, w)
SAVED_EVERY = 512  # views


def children_read(network: Any, frozen: int) -> list[int]:
    """Say which outputs of the frozen children something else reads.

    Args:
        network: An Ultralytics detection model.
        frozen: Number of the backbone's first children that do not change.

    Returns:
        Places of children, from 0, rising; the last frozen child is always among them.
    """
    taps = [layer.index - 1 for layer in network.model if type(layer).__name__ == "Index"]  # 0 is the backbone's input
    return sorted({tap for tap in taps if tap < frozen} | {frozen - 1})


def frozen_features(network: Any, images: torch.Tensor, frozen: int) -> Features:
    """Run the frozen children on images (B, 3, S, S), RGB in [0, 1], and keep what is read."""
    kept: Features = {}
    wanted = set(children_read(network, frozen))
    value = images
    for place, child in enumerate(network.model[0].m[:frozen]):
        value = child(value)
        if place in wanted:
            kept[place] = value
    return kept


def run_on_features(network: Any, features: Features) -> object:
    """Run the rest of the network on frozen features, giving what the whole gives on the images."""
    backbone = network.model[0].m
    outputs: list[torch.Tensor | None] = [None] * (len(backbone) + 1)
    for place, value in features.items():
        outputs[place + 1] = value
    value = features[max(features)]
    for place in range(max(features) + 1, len(backbone)):
        value = backbone[place](value)
        outputs[place + 1] = value
    results: list[object] = [outputs]
    for layer in network.model[1:]:
        source = [layer.f] if isinstance(layer.f, int) else layer.f
        inputs = [results[place] for place in source]  # -1 is the layer before
        results.append(layer(inputs[0] if isinstance(layer.f, int) else inputs))
    return results[-1]


def to_inputs(images: NDArray[np.uint8], device: str) -> torch.Tensor:
    """Turn BGR images (B, S, S, 3) uint8 into RGB (B, 3, S, S) in [0, 1], as Ultralytics feeds its models."""
    tensor = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2)
    return tensor.to(device, memory_format=torch.channels_last).float() / 255


@dataclass(frozen=True)
class FeatureStore:
    """Frozen features of numbered views in a folder, with the boxes to learn.

    Attributes:
        folder: Where they lie: one `<child>.npy` (V, h, w, C) half precision a kept child, and `targets.npz`.
        arrays: The features by child.
        targets: The boxes and actors of each view.
    """

    folder: Path
    arrays: dict[int, NDArray[np.float16]]
    targets: list[tuple[NDArray[np.float32], NDArray[np.int64]]]

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: NDArray[np.int64], device: str) -> Features:
        """Read the features of some views."""
        return {
            child: torch.from_numpy(array[rows]).to(device).float().permute(0, 3, 1, 2)
            for child, array in self.arrays.items()
        }


def compute_frozen_features(
    folder: Path,
    network: Any,
    frozen: int,
    make_view: Callable[[int], TrainingView],
    count: int,
    device: str,
    autocast: torch.autocast,
    batch_size: int = 32,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda starts: starts,
) -> FeatureStore:
    """Compute the frozen features of views 0 to `count`, or what is missing of them.

    Args:
        folder: Where to keep them. It must be used for one backbone and one series of views alone.
        network: In evaluation mode.
        frozen: Number of the backbone's frozen children.
        make_view: Makes a view from its number, the same at every call.
        count: Number of views.
        device: Where the network is.
        autocast: The precision to compute in.
        batch_size: Views in one pass.
        progress: Wraps the batches' starts, for a progress bar.

    Returns:
        The store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counter = folder / "done.json"
    done = json.loads(counter.read_text()) if counter.is_file() else 0
    arrays: dict[int, NDArray[np.float16]] = {}
    targets = _load_targets(folder / "targets.npz")[:done]
    done = len(targets)
    for start, views in progress_views(make_view, done, count, batch_size, progress):
        with torch.inference_mode(), autocast:
            features = frozen_features(network, to_inputs(np.stack([view.image for view in views]), device), frozen)
        for child, value in features.items():
            if child not in arrays:
                arrays[child] = _open(folder / f"{child}.npy", (count, *value.shape[2:], value.shape[1]))
            arrays[child][start : start + len(views)] = value.permute(0, 2, 3, 1).half().cpu().numpy()
        targets += [(view.boxes, view.actor_index) for view in views]
        if len(targets) % SAVED_EVERY < batch_size or len(targets) == count:
            _save_targets(folder / "targets.npz", targets)
            write_atomically(counter, json.dumps(len(targets)))
    for child in children_read(network, frozen) if count else []:
        arrays.setdefault(child, np.load(folder / f"{child}.npy", mmap_mode="r"))
    return FeatureStore(folder, arrays, targets)


def progress_views(
    make_view: Callable[[int], TrainingView],
    done: int,
    count: int,
    batch_size: int,
    progress: Callable[[Iterable[int]], Iterable[int]],
) -> Iterator[tuple[int, list[TrainingView]]]:
    """Make views batch by batch, the next batch while the last one is used."""

    def make(start: int) -> list[TrainingView]:
        return [make_view(number) for number in range(start, min(start + batch_size, count))]

    with ThreadPoolExecutor(max_workers=1) as pool:
        starts = range(done, count, batch_size)
        coming = pool.submit(make, done) if done < count else None
        for start in progress(starts):
            assert coming is not None
            views = coming.result()
            coming = pool.submit(make, start + batch_size) if start + batch_size < count else None
            yield start, views


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Open an array on disk for writing; one of another shape, from another series, is replaced."""
    if path.is_file():
        array: NDArray[np.float16] = np.load(path, mmap_mode="r+")
        if array.shape == shape:
            return array
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _save_targets(path: Path, targets: list[tuple[NDArray[np.float32], NDArray[np.int64]]]) -> None:
    temporary = path.with_name("targets.tmp.npz")
    np.savez(
        temporary,
        counts=np.array([len(boxes) for boxes, _ in targets]),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in targets)]),
        actors=np.concatenate([np.zeros(0, np.int64), *(actors for _, actors in targets)]),
    )
    temporary.replace(path)


def _load_targets(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    if not path.is_file():
        return []
    with np.load(path) as file:
        cuts = np.cumsum(file["counts"])[:-1]
        if not len(file["counts"]):
            return []
        return list(zip(np.split(file["boxes"], cuts), np.split(file["actors"], cuts), strict=True))
