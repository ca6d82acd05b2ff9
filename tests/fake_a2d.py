"""Tiny data sets in the three layouts that `a2d.dataset` reads, with real videos, PNG frames and HDF5 files.

    write_release(tmp_path)      official release: videoset.csv, clips320H, Annotations/mat
    write_course(tmp_path)       course layout: list, pngs320H, Annotations/mat
    write_clips_csv(tmp_path)    clips.csv and clips

All three contain `CLIPS` by default.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import load_taxonomy

HEIGHT, WIDTH, FRAMES, FPS = 32, 48, 6, 10
RELEASE_FLAGS = {"train": 0, "test": 1}


@dataclass(frozen=True)
class FakeClip:
    """A clip to write.

    Attributes:
        vid: Its name without suffix.
        split: train, val or test; the official release has no val.
        frames: Label ids by frame number, from 1, of the annotated frames; each id becomes one instance.
    """

    vid: str
    split: str
    frames: Mapping[int, tuple[int, ...]]

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels of the clip, in vector order."""
        taxonomy = load_taxonomy()
        ids = {label_id for frame_ids in self.frames.values() for label_id in frame_ids}
        return tuple(label.name for label in taxonomy.labels if label.id in ids)


# Frames with one instance, several instances, two instances of one label, and none.
CLIPS = (
    FakeClip("walker-01", "train", {1: (18,), 4: (18, 75)}),
    FakeClip("_dash.dot", "train", {2: (43, 43), 5: (44,)}),
    FakeClip("ball_02", "test", {3: (36, 13), 6: ()}),
)


def write_release(root: Path, clips: Sequence[FakeClip] = CLIPS) -> Path:
    """Write an official release into a folder and return the folder."""
    rows = []
    for clip in clips:
        write_video(root / "clips320H" / f"{clip.vid}.mp4")
        _write_annotations(root, clip)
        first_id = next((ids[0] for ids in clip.frames.values() if ids), 0)
        flag = RELEASE_FLAGS[clip.split]
        rows.append([clip.vid, first_id, "0:00:00", "0:00:01", HEIGHT, WIDTH, FRAMES, len(clip.frames), flag])
    write_rows(root / "videoset.csv", rows)
    return root


def write_course(
    root: Path, clips: Sequence[FakeClip] = CLIPS, splits: Iterable[str] = ("train", "val", "test"), withheld: str = ""
) -> Path:
    """Write the course layout into a folder and return the folder; the withheld split has no annotations."""
    (root / "list").mkdir(parents=True)
    for split in splits:
        lines = [f"{clip.vid}/{number:05d}\n" for clip in clips if clip.split == split for number in clip.frames]
        (root / "list" / f"{split}.txt").write_text("".join(lines))
    for clip in clips:
        write_pngs(root / "pngs320H" / clip.vid)
        if clip.split != withheld:
            _write_annotations(root, clip)
    return root


def write_clips_csv(root: Path, clips: Sequence[FakeClip] = CLIPS) -> Path:
    """Write clips and the `clips.csv` that lists them into a folder and return the CSV."""
    rows = [["file", "labels", "split"]]
    for clip in clips:
        write_video(root / "clips" / f"{clip.vid}.mp4")
        rows.append([f"clips/{clip.vid}.mp4", " ".join(clip.label_names), clip.split])
    return write_rows(root / "clips.csv", rows)


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def moving_square(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Draw a white square that moves to the right on grey, shape (frames, height, width, 3)."""
    images = np.full((frames, height, width, 3), 90, dtype=np.uint8)
    for number, image in enumerate(images):
        image[8:16, 2 + 4 * number : 10 + 4 * number] = 255
    return images


def write_video(path: Path, images: NDArray[np.uint8] | None = None, fps: int = FPS, codec: str = "mpeg4") -> Path:
    """Encode images (frames, H, W, 3), even H and W, as a video and return its path."""
    images = moving_square() if images is None else images
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        _, stream.height, stream.width, _ = images.shape
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def write_pngs(folder: Path, images: NDArray[np.uint8] | None = None) -> Path:
    """Write images (frames, H, W, 3) as `00001.png`, `00002.png` and so on, and return the folder."""
    images = moving_square() if images is None else images
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=1):
        assert cv2.imwrite(str(folder / f"{number:05d}.png"), image)
    return folder


def write_mat(path: Path, ids: Sequence[int], height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Write an annotation as MATLAB 7.3 does: HDF5, every array transposed, a single instance's mask 2-D.

    Args:
        path: The file to write.
        ids: The label id of each instance; instances are side by side, so none hides another.
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.

    Returns:
        The path.
    """
    masks = np.zeros((len(ids), width, height), dtype=np.uint8)
    semantic = np.zeros((width, height), dtype=np.float64)
    boxes = np.zeros((4, len(ids)))
    step = width // max(len(ids), 1)
    for number, label_id in enumerate(ids):
        left, right = number * step, (number + 1) * step - 1
        masks[number, left:right, 4:20] = 1
        semantic[left:right, 4:20] = label_id
        boxes[:, number] = left, 4, right, 20
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["id"] = np.array(ids, dtype=np.float64).reshape(1, -1)
        file["reBBox"] = boxes
        file["reMask"] = masks[0] if len(ids) == 1 else masks
        file["reS_id"] = semantic
    return path


def _write_annotations(root: Path, clip: FakeClip) -> None:
    for number, ids in clip.frames.items():
        write_mat(root / "Annotations" / "mat" / clip.vid / f"{number:05d}.mat", ids)
