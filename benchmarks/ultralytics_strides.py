"""Ultralytics' own prediction on videos, of every frame or every Nth one, for comparison with the speed options."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detector_settings import DetectorSettings


def prepare_prediction(
    weights: Path, settings: DetectorSettings, stride: int, clips: Sequence[Path]
) -> Callable[[], object]:
    """Prepare a run over all clips, as Ultralytics' documentation recommends.

    Args:
        weights: An Ultralytics `.pt` file.
        settings: Image size and confidence threshold.
        stride: Predict every Nth frame only, its `vid_stride`.
        clips: Video files.
    """
    predict = _load(weights, settings, stride)

    def run() -> None:
        for clip in clips:
            for _ in predict(clip):
                pass

    return run


def presence_ratios(
    weights: Path, settings: DetectorSettings, stride: int, clips: Sequence[Path], taxonomy: Taxonomy
) -> tuple[NDArray[np.float64], int]:
    """Compute the share of the predicted frames that show each actor.

    Args:
        weights: See `prepare_prediction`, as are the following.
        settings: Of the network.
        stride: Of the frames.
        clips: Video files.
        taxonomy: Whose actors.

    Returns:
        Shape (clips, actors), in [0, 1], and how many frames were predicted in all.
    """
    predict = _load(weights, settings, stride)
    ratios, frames = np.zeros((len(clips), len(taxonomy.actors))), 0
    for row, clip in enumerate(clips):
        shown = []
        for result in predict(clip):
            actor_of_class = taxonomy.match_detector_classes(result.names)
            classes = result.boxes.cls.int().tolist()
            actors = [actor_of_class[class_index] for class_index in classes if class_index in actor_of_class]
            shown.append(np.bincount(actors, minlength=len(taxonomy.actors)) > 0)
        ratios[row] = np.mean(shown, axis=0)
        frames += len(shown)
    return ratios, frames


def _load(weights: Path, settings: DetectorSettings, stride: int) -> Callable[[Path], Any]:
    """Return the prediction of one video, frame by frame."""
    from ultralytics import YOLO

    model = YOLO(str(weights))
    options = {
        **{"imgsz": settings.image_size, "conf": settings.confidence, "vid_stride": stride},
        **{"device": "cpu", "stream": True, "verbose": False},
    }
    return lambda clip: model.predict(str(clip), **options)
