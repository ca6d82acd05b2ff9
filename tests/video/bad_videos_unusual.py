"""Kinds of videos that are intact, but unusual: pixel formats, sizes, times, orientations, streams, joints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from bad_videos import OK, TRUNCATED, Kind
from fake_clips import Encoder, Orientation, grey, make_clip

SIZE = (64, 48)
X265 = {"x265-params": "log-level=none:pools=none"}
ONE = 1 << 16  # of a display matrix, whose last value is in units of 1 / (1 << 30)


@dataclass(frozen=True)
class Video:
    """A video to be encoded, of `frames` grey frames at 25 frames per second.

    Attributes:
        codec: Name of FFmpeg's encoder.
        pixel_format: FFmpeg's name.
        size: Width and height, pixels.
        frames: Number of frames.
        options: Of the encoder.
        properties: Attributes of the encoder's context.
        matrix: The display matrix, 9 values.
        times_ms: Timestamp of every frame; None for an even rate.
    """

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = SIZE
    frames: int = 4
    options: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    matrix: Sequence[int] | None = None
    times_ms: Sequence[int] | None = None

    def write(self, path: Path) -> Path:
        """Encode the video."""
        write_streams(path, [self])
        return path


def write_streams(path: Path, videos: Sequence[Video], dispositions: Sequence[int] = ()) -> None:
    """Write a file with several video streams."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, video in enumerate(videos):
            stream = container.add_stream(video.codec, rate=25, options=dict(video.options))
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = *video.size, video.pixel_format
            for name, value in video.properties.items():
                setattr(stream.codec_context, name, value)
            if video.times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if video.matrix is not None:
                stream.set_display_matrix(video.matrix)
            if dispositions:
                stream.disposition = dispositions[number]
            streams.append(stream)
        container.start_encoding()
        for stream, video in zip(streams, videos, strict=True):
            for number in range(video.frames):
                picture = av.VideoFrame.from_ndarray(grey(number, video.size), format="bgr24")
                picture = picture.reformat(format=video.pixel_format)
                if video.times_ms is not None:
                    picture.pts, picture.time_base = video.times_ms[number], Fraction(1, 1000)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))


def kinds(work: Path) -> Iterator[Kind]:
    """List the kinds."""
    for name, video in _pictures().items():
        yield Kind(name, OK, video.write, video.frames, video.size)
    yield from _orientations()
    yield from _shapes()
    yield from _times(work)
    yield from _streams()
    yield from _joints(work)
    clip = make_clip(work / "whole.mp4")
    mkv = make_clip(work / "whole-too.mkv", 30)
    for name, source in {
        "mkv-named.mp4": mkv,
        "mp4-named.avi": clip,
        "mp4-named-text.txt": clip,
        "no-ending": clip,
        "colon: http.mp4": clip,
        "pattern-%03d-*?[a].mp4": clip,
        "line\nbreak.mp4": clip,
        "ünï-🎬.mp4": clip,
        "-dash.mp4": clip,
        f"{'long' * 60}.mp4": clip,
    }.items():
        yield Kind(name, OK, lambda path, source=source: path.write_bytes(source.read_bytes()), 30, SIZE)


def _pictures() -> dict[str, Video]:
    """List sizes and pixel formats."""
    lossless = {"codec": "ffv1"}
    return {
        "one-frame.mp4": Video(frames=1),
        "two-frames.mkv": Video(frames=2),
        "one-pixel.mov": Video("png", "rgb24", (1, 1)),
        "one-column.mov": Video("png", "rgb24", (1, 300)),
        "one-row.mov": Video("png", "rgb24", (300, 1)),
        "odd.mkv": Video(**lossless, size=(33, 17)),
        "odd-h264.mp4": Video(pixel_format="yuv444p", size=(35, 19)),
        "wide.mkv": Video(**lossless, size=(2000, 40)),
        "8k.mkv": Video("mjpeg", "yuvj420p", (7680, 4320), 1),
        "10-bit-h265.mp4": Video("libx265", "yuv420p10le", options=X265),
        "10-bit-h264.mp4": Video(pixel_format="yuv420p10le"),
        "12-bit.mkv": Video(**lossless, pixel_format="yuv420p12le"),
        "16-bit-grey.mkv": Video(**lossless, pixel_format="gray16le"),
        "grey.mkv": Video(**lossless, pixel_format="gray"),
        "alpha.mkv": Video(**lossless, pixel_format="yuva420p"),
        "alpha.mov": Video("qtrle", "argb"),
        "alpha-vp9.webm": Video("libvpx-vp9", "yuva420p", options={"cpu-used": "8", "deadline": "realtime"}),
        "palette.gif": Video("gif", "rgb8"),
        "animation.apng": Video("apng", "rgba"),
        "colours-that-ffmpeg-cannot-convert.mkv": Video(
            **lossless, properties={"colorspace": 14, "color_primaries": 12, "color_trc": 17}
        ),
        "rgb.avi": Video("rawvideo", "bgr24"),
        "4-2-2.mov": Video("prores_ks", "yuv422p10le"),
        "4-4-4.mp4": Video(pixel_format="yuv444p"),
        "full-range.mp4": Video(pixel_format="yuvj420p"),
        "interlaced.mpg": Video(
            "mpeg2video", frames=12, options={"flags": "+ildct+ilme", "top": "1"}, properties={"field_order": 2}
        ),
        "interlaced.mp4": Video(options={"x264-params": "interlaced=1"}),
        "mpeg4.avi": Video("mpeg4", options={"bf": "2"}),
        "wmv2.asf": Video("wmv2"),
        "av1.mkv": Video("libsvtav1", options={"preset": "12"}),
    }


def _orientations() -> Iterator[Kind]:
    for rotation in (0, 90, 180, -90):
        for mirrored in (False, True):
            name = f"turned-{rotation}{'-mirrored' * mirrored}.mp4"
            shown = (48, 64) if abs(rotation) == 90 else SIZE
            orientation = Orientation(rotation, mirrored)
            yield Kind(
                name, OK, lambda path, turn=orientation: make_clip(path, 4, orientation=turn), frames=4, size=shown
            )
    matrices = {
        "flipped-vertically.mp4": (ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
        "matrix-of-zeros.mp4": (0,) * 9,
        "turned-30.mkv": (56756, 32768, 0, -32768, 56756, 0, 0, 0, 1 << 30),
    }
    for name, matrix in matrices.items():
        yield Kind(name, OK, Video(matrix=matrix).write, frames=4, size=SIZE)


def _shapes() -> Iterator[Kind]:
    for numerator, denominator, width in ((1, 2, 32), (2, 1, 128), (16, 11, 93), (1, 1000, 64), (640, 639, 64)):
        video = Video(properties={"sample_aspect_ratio": Fraction(numerator, denominator)})
        for suffix in ("mp4", "mkv"):
            yield Kind(f"pixels-{numerator}-to-{denominator}.{suffix}", OK, video.write, frames=4, size=(width, 48))
    yield Kind("h263-of-12-to-11.3gp", OK, Video("h263", size=(176, 144)).write, frames=4, size=(192, 144))
    hdr = {"color_primaries": 9, "colorspace": 9}
    for name, transfer in (("pq", 16), ("hlg", 18)):
        video = Video("libx265", "yuv420p10le", options=X265, properties={**hdr, "color_trc": transfer})
        yield Kind(f"hdr-{name}.mp4", OK, video.write, frames=4, size=SIZE)


def _times(work: Path) -> Iterator[Kind]:
    regular = [40 * number for number in range(12)]
    no_reordering = {"bf": "0"}
    for name, times in {
        "a-slide-of-a-minute": [*regular[:6], *(60_000 + time for time in regular[6:])],
        "a-jump-of-two-days": [*regular[:6], *(172_800_000 + time for time in regular[6:])],
        "starts-late": [5_000_000 + time for time in regular],
        "uneven": [time + time // 7 % 30 for time in regular],
    }.items():
        for suffix in ("mp4", "mkv", "ts"):
            video = Video(frames=12, times_ms=times, options=no_reordering)
            yield Kind(f"{name}.{suffix}", OK, video.write, 12, SIZE)
    yield Kind("starts-below-zero.mkv", OK, Video(frames=12, times_ms=[time - 200 for time in regular]).write, 12, SIZE)
    yield Kind("without-times.h264", OK, lambda path: make_clip(path, 30), 30, SIZE)
    yield Kind("without-times.avi", OK, lambda path: make_clip(path, 30), 30, SIZE)


def _streams() -> Iterator[Kind]:
    from av.stream import Disposition

    default, none = Disposition.default.value, 0
    small, large = Video(size=(32, 24), frames=8), Video(frames=12)
    photo = Video("mjpeg", "yuvj420p", (32, 24), 1)
    yield Kind("default-second.mkv", OK, lambda path: write_streams(path, [small, large], [none, default]), 12, SIZE)
    yield Kind("default-first.mkv", OK, lambda path: write_streams(path, [large, small], [default, none]), 12, SIZE)
    for suffix in ("mp4", "mkv"):
        yield Kind(f"thumbnail-first.{suffix}", OK, lambda path: write_streams(path, [photo, large]), 12, SIZE)
    attached = Disposition.attached_pic.value
    yield Kind("cover-first.mp4", OK, lambda path: write_streams(path, [photo, large], [attached, default]), 12, SIZE)


def _joints(work: Path) -> Iterator[Kind]:
    def joined(*parts: Path) -> Any:
        return lambda path: path.write_bytes(b"".join(part.read_bytes() for part in parts))

    small = make_clip(work / "small.ts", 30)
    large = make_clip(work / "large.ts", 30, size=(96, 64))
    mpeg2 = make_clip(work / "mpeg2.ts", 30, Encoder("mpeg2video"))
    yield Kind("joined.ts", OK, joined(small, small), 60, SIZE)
    yield Kind("joined-sizes.ts", OK, joined(small, large), 60, (96, 64))
    yield Kind("joined-thrice.ts", OK, joined(mpeg2, mpeg2, mpeg2), 90, SIZE)
    yield Kind("joined-codecs.ts", f"{OK}|{TRUNCATED}", joined(small, mpeg2))
    yield Kind("joined-and-cut.ts", TRUNCATED, lambda path: path.write_bytes((small.read_bytes() * 2)[:-1000]))
    stream = make_clip(work / "small.mpg", 30, Encoder("mpeg2video"))
    yield Kind("joined.mpg", OK, joined(stream, stream), 60, SIZE)
    first, second = make_clip(work / "s.h264", 5), make_clip(work / "l.h264", 4, size=(96, 64))
    yield Kind("joined-sizes.h264", OK, joined(first, second), 9, (96, 64))
