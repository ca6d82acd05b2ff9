"""Clips that change their size midway or are damaged: one answer, from the decoder or from cached detections."""

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import photo_clips
import pytest

from a2d.formats.base import Sample
from action_heads.training.samples import SampledFrame, decode_sampled_frames
from pipeline import ActorActionTagger, TaggerConfig


def write_h264(path: Path, images: np.ndarray) -> bytes:
    """Write a clip without timestamps, so that two can be joined, and return its contents."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=4, options={"threads": "1", "g": "4"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture(params=["sizes", "damaged"])
def unusual_clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    people = photo_clips.pan(photo_clips.PEOPLE, 8)
    small = np.stack([cv2.resize(image, None, fx=0.5, fy=0.5) for image in people])
    suffix = "h264" if request.param == "sizes" else "mkv"
    first = write_h264(tmp_path / f"first.{suffix}", people)
    clip = tmp_path / f"clip.{suffix}"
    if request.param == "sizes":
        clip.write_bytes(first + write_h264(tmp_path / "second.h264", small))
    else:
        content = bytearray(first)
        for position in range(len(content) // 3, len(content) - 500, 700):
            content[position] ^= 0x5A
        clip.write_bytes(content)
    return clip


def test_cached_detections_lead_to_the_same_answer(config: TaggerConfig, unusual_clip: Path, tmp_path: Path) -> None:
    config = replace(config, cache=tmp_path / "cache")
    cold = ActorActionTagger.from_config(config).tag(unusual_clip)
    warm = ActorActionTagger.from_config(config).tag(unusual_clip)
    assert not cold.timing["detections_from_cache"]
    assert warm.timing["detections_from_cache"]
    assert cold.scores
    assert warm.scores == cold.scores
    assert (warm.status, warm.error, warm.frames, warm.labels) == (cold.status, cold.error, cold.frames, cold.labels)


def test_heads_are_trained_on_frames_of_different_sizes(tmp_path: Path) -> None:
    people = photo_clips.pan(photo_clips.PEOPLE, 4)
    clip = tmp_path / "clip.h264"
    first = write_h264(tmp_path / "first.h264", people)
    clip.write_bytes(first + write_h264(tmp_path / "second.h264", people[:, ::2, ::2].copy()))
    sample = Sample(clip, None, ("adult-walking",), "train", "a source")
    box = np.array([10, 10, 60, 60], np.float32)
    frames = [SampledFrame(sample, "", index, box) for index in (1, 6)]
    shapes = [image.shape for _, image in decode_sampled_frames(frames)]
    height, width = people.shape[1:3]
    assert shapes == [(height, width, 3), (height // 2, width // 2, 3)]
