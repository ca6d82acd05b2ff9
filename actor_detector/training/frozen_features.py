"""Features of a frozen backbone for training views, computed once and saved, so that epochs only train the rest.

The backbone is layer 0 of the model, an Ultralytics `TorchVision` layer that returns the outputs of all its children.
Its first `frozen` children are not trained; of their outputs, those that later layers use are saved in half precision.
Without frozen children, the only feature is the image, as child -1.
Views are computed in order, so that an interrupted computation can be resumed.
"""

import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actor_detector.training.augmentation import TrainingView
from common.files import write_atomically
from common.prefetch import prefetch
from common.training_run import TrainingRun
from inference.image_tensors import bgr_to_rgb_tensor

Features = dict[int, torch.Tensor]  # by index of the backbone's child, each (B, C, h, w)
Targets = tuple[NDArray[np.float32], NDArray[np.int64]]  # of one view: boxes (N, 4) in its pixels, actors (N,)
BATCH_SIZE = 32  # views
SAVE_INTERVAL = 512  # views


def tapped_children(network: Any, frozen: int) -> list[int]:
    """Return which of the frozen children have outputs that are used outside the frozen part.

    Args:
        network: An Ultralytics detection model.
        frozen: Number of the backbone's first children that are not trained; it may have fewer.

    Returns:
        Indices of children, from 0, ascending; always includes the last frozen child, which is -1 if there is none.
    """
    taps = [layer.index - 1 for layer in network.model if type(layer).__name__ == "Index"]  # 0 is the backbone's input
    frozen = min(frozen, len(network.model[0].m))
    return sorted({tap for tap in taps if tap < frozen} | {frozen - 1})


def frozen_features(network: Any, images: torch.Tensor, frozen: int) -> Features:
    """Run the frozen children on images (B, 3, S, S), RGB in [0, 1], and return the outputs of the tapped ones."""
    tapped = set(tapped_children(network, frozen))
    features: Features = {} if frozen else {-1: images}
    value = images
    for index, child in enumerate(network.model[0].m[:frozen]):
        value = child(value)
        if index in tapped:
            features[index] = value
    return features


def run_on_features(network: Any, features: Features) -> object:
    """Run the rest of the network on frozen features; the output equals that of the whole network on the images."""
    backbone = network.model[0].m
    outputs: list[torch.Tensor | None] = [None] * (len(backbone) + 1)
    for index, value in features.items():
        outputs[index + 1] = value
    value = features[max(features)]
    for index in range(max(features) + 1, len(backbone)):
        value = backbone[index](value)
        outputs[index + 1] = value
    results: list[object] = [outputs]
    for layer in network.model[1:]:
        sources = [layer.f] if isinstance(layer.f, int) else layer.f
        inputs = [results[source] for source in sources]  # -1 is the previous layer
        results.append(layer(inputs[0] if isinstance(layer.f, int) else inputs))
    return results[-1]


def to_inputs(images: NDArray[np.uint8], device: str) -> torch.Tensor:
    """Convert BGR images (B, S, S, 3), uint8, to the inputs of Ultralytics' models: (B, 3, S, S), RGB in [0, 1]."""
    return bgr_to_rgb_tensor(images).to(device, memory_format=torch.channels_last).float() / 255


def autocast(run: TrainingRun) -> torch.autocast:
    """Return the context in which a training's networks are computed."""
    return torch.autocast(run.device.split(":")[0], torch.bfloat16, enabled=run.bf16)


@dataclass(frozen=True)
class ViewSeries:
    """A numbered series of views.

    Attributes:
        description: For progress bars.
        make_view: Creates a view from its number; the same number always gives the same view.
        count: Number of views.
    """

    description: str
    make_view: Callable[[int], TrainingView]
    count: int

    def batches(self, first: int) -> Generator[list[TrainingView], None, None]:
        """Create the views from a number on, batch by batch."""
        for start in range(first, self.count, BATCH_SIZE):
            yield [self.make_view(number) for number in range(start, min(start + BATCH_SIZE, self.count))]


@dataclass(frozen=True)
class FeatureStore:
    """Frozen features of numbered views in a folder, and the views' targets.

    Attributes:
        folder: Contains `<child>.npy` (V, h, w, C) in half precision for each tapped child, and `targets.npz`.
        arrays: The features by child.
        targets: The boxes and actors of each view.
    """

    folder: Path
    arrays: dict[int, NDArray[np.float16]]
    targets: list[Targets]

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: NDArray[np.int64], device: str) -> Features:
        """Load the features of some views."""
        return {
            child: torch.from_numpy(array[rows]).to(device).float().permute(0, 3, 1, 2)
            for child, array in self.arrays.items()
        }


def compute_frozen_features(
    folder: Path, network: Any, frozen: int, views: ViewSeries, run: TrainingRun
) -> FeatureStore:
    """Compute the frozen features of views, or load those that were computed before.

    Args:
        folder: Where to save them. It must only be used with one backbone and one series of views.
        network: In evaluation mode.
        frozen: Number of the backbone's frozen children.
        views: The views.
        run: Where and how to compute.

    Returns:
        The features of all views.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counter = folder / "done.json"
    done = json.loads(counter.read_text()) if counter.is_file() else 0
    arrays: dict[int, NDArray[np.float16]] = {}
    targets = _load_targets(folder / "targets.npz")[:done]
    starts = range(len(targets), views.count, BATCH_SIZE)
    with closing(prefetch(views.batches(starts.start), 1)) as batches:
        for start, batch in zip(run.progress(starts, views.description, "batch"), batches, strict=True):
            with torch.inference_mode(), autocast(run):
                inputs = to_inputs(np.stack([view.image for view in batch]), run.device)
                features = frozen_features(network, inputs, frozen)
            for child, value in features.items():
                if child not in arrays:
                    arrays[child] = _open(folder / f"{child}.npy", (views.count, *value.shape[2:], value.shape[1]))
                arrays[child][start : start + len(batch)] = value.permute(0, 2, 3, 1).half().cpu().numpy()
            targets += [(view.boxes, view.actor_index) for view in batch]
            if len(targets) % SAVE_INTERVAL < BATCH_SIZE or len(targets) == views.count:
                _save_targets(folder / "targets.npz", targets)
                write_atomically(counter, json.dumps(len(targets)))
    for child in tapped_children(network, frozen) if views.count else []:
        arrays.setdefault(child, np.load(folder / f"{child}.npy", mmap_mode="r", allow_pickle=False))
    return FeatureStore(folder, arrays, targets)


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Open an array on disk for writing; an array of another shape, from another series, is replaced."""
    if path.is_file():
        array: NDArray[np.float16] = np.load(path, mmap_mode="r+", allow_pickle=False)
        if array.shape == shape:
            return array
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _save_targets(path: Path, targets: list[Targets]) -> None:
    temporary = path.with_name("targets.tmp.npz")
    np.savez(
        temporary,
        counts=np.array([len(boxes) for boxes, _ in targets]),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in targets)]),
        actors=np.concatenate([np.zeros(0, np.int64), *(actors for _, actors in targets)]),
    )
    temporary.replace(path)


def _load_targets(path: Path) -> list[Targets]:
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as file:
        ends = np.cumsum(file["counts"])[:-1]
        if not len(file["counts"]):
            return []
        return list(zip(np.split(file["boxes"], ends), np.split(file["actors"], ends), strict=True))
