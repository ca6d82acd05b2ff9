"""Variants of a clip that show the same: repeated, slowed, paused, trimmed, and at another frame rate or resolution.

Where the frames stay as they are, packets are copied; otherwise, frames are encoded again with little loss.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from video.clips import decode_frames

TIME_BASE = Fraction(1, 90_000)
Image = NDArray[np.uint8]


def loop(source: Path, target: Path, seconds: float) -> Path:
    """Repeat a clip until it has at least a duration, without encoding it again."""
    packets = _packets(source)
    length = max(pts + duration for pts, _, duration, _ in packets)
    count = int(np.ceil(seconds / float(length * _time_base(source))))
    repeated = [
        (pts + turn * length, dts + turn * length, duration, data)
        for turn in range(count)
        for pts, dts, duration, data in packets
    ]
    return _remux(source, target, repeated)


def slow_down(source: Path, target: Path, factor: int) -> Path:
    """Stretch a clip in time by a whole factor, without encoding it again."""
    return _remux(
        source, target, [(p * factor, d * factor, length * factor, data) for p, d, length, data in _packets(source)]
    )


def insert_gap(source: Path, target: Path, seconds: float) -> Path:
    """Keep the frame at a third of a clip on the screen, by delaying those that follow."""
    frames = list(_frames(source))
    start = len(frames) // 3
    times = [time + seconds * (index > start) for index, (time, _) in enumerate(frames)]
    return encode(target, [image for _, image in frames], _fps(frames), times)


def freeze(source: Path, target: Path, seconds: float) -> Path:
    """Repeat the frame at a third of a clip for some time."""
    frames = list(_frames(source))
    fps = _fps(frames)
    index = len(frames) // 3
    images = [image for _, image in frames]
    return encode(target, images[:index] + images[index : index + 1] * round(seconds * fps) + images[index:], fps)


def trim(source: Path, target: Path, share: float) -> Path:
    """Cut off a share of a clip, half of it at each end."""
    frames = list(_frames(source))
    cut = round(len(frames) * share / 2)
    return encode(target, [image for _, image in frames[cut : len(frames) - cut]], _fps(frames))


def change_frame_rate(source: Path, target: Path, fps: float) -> Path:
    """Drop or repeat frames until there are so many per second."""
    frames = list(_frames(source))
    times = np.array([time for time, _ in frames])
    wanted = np.arange(0, times[-1] + 1 / _fps(frames), 1 / fps)
    index = np.maximum(np.searchsorted(times, wanted + 1e-6, side="right") - 1, 0)
    return encode(target, (frames[row][1] for row in index), fps)


def resize(source: Path, target: Path, lines: int) -> Path:
    """Resize a clip to a number of lines, keeping its shape."""
    frames = list(_frames(source))
    height, width = frames[0][1].shape[:2]
    size = (round(width * lines / height / 2) * 2, lines)
    interpolation = cv2.INTER_AREA if lines < height else cv2.INTER_CUBIC
    return encode(target, (cv2.resize(image, size, interpolation=interpolation) for _, image in frames), _fps(frames))


VARIANTS: dict[str, Callable[[Path, Path], Path]] = {
    "looped to 60 s": lambda source, target: loop(source, target, 60),
    "slowed to half": lambda source, target: slow_down(source, target, 2),
    "gap of 60 s": lambda source, target: insert_gap(source, target, 60),
    "frozen for 5 s": lambda source, target: freeze(source, target, 5),
    "trimmed by 10 %": lambda source, target: trim(source, target, 0.1),
    "12 frames/s": lambda source, target: change_frame_rate(source, target, 12),
    "60 frames/s": lambda source, target: change_frame_rate(source, target, 60),
    "240 lines": lambda source, target: resize(source, target, 240),
    "1080 lines": lambda source, target: resize(source, target, 1080),
}


def encode(target: Path, images: Iterable[Image], fps: float, times: Sequence[float] | None = None) -> Path:
    """Write images (H, W, 3), uint8, BGR, as H.264 with little loss; by default, at a constant frame rate."""
    with av.open(str(target), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "ultrafast"})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TIME_BASE
        for number, image in enumerate(images):
            even = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
            if number == 0:
                stream.height, stream.width = even.shape[:2]
            frame = av.VideoFrame.from_ndarray(even, format="bgr24")
            frame.pts, frame.time_base = round((times[number] if times else number / rate) / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target


def _frames(source: Path) -> Iterator[tuple[float, Image]]:
    for frame in decode_frames(source):
        yield frame.time_seconds, frame.image()


def _fps(frames: list[tuple[float, Image]]) -> float:
    return (len(frames) - 1) / (frames[-1][0] - frames[0][0])


def _time_base(source: Path) -> Fraction:
    with av.open(str(source)) as container:
        return container.streams.video[0].time_base


def _packets(source: Path) -> list[tuple[int, int, int, bytes]]:
    """Timestamps (pts, dts, duration) from 0, and contents, of all packets of the video."""
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        first = min(packet.pts for packet in packets)
        return [(p.pts - first, p.dts - first, p.duration, bytes(p)) for p in packets]


def _remux(source: Path, target: Path, packets: Iterable[tuple[int, int, int, bytes]]) -> Path:
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        template = container.streams.video[0]
        stream = output.add_stream_from_template(template)
        keys = {bytes(packet): packet.is_keyframe for packet in container.demux(template) if packet.size}
        for pts, dts, duration, data in packets:
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, template.time_base
            packet.pts, packet.dts, packet.duration, packet.is_keyframe = pts, dts, duration, keys[data]
            output.mux(packet)
    return target
