"""Kinds of videos that are cut off, damaged, or have headers that claim what is not there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from bad_videos import ERROR, OK, TRUNCATED, Kind
from fake_clips import make_clip, remux

FRAMES = 30


def write_noise(path: Path, codec: str = "libx264", **options: str) -> Path:
    """Write a clip of noise, whose frames are so large that they make up almost all of the file."""
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(FRAMES):
            image = draw.integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def kinds(work: Path) -> Iterator[Kind]:
    """List the kinds."""
    mp4 = write_noise(work / "noise.mp4", g="5", bf="0")
    sources = {
        "index-last.mp4": mp4,
        "index-first.mp4": remux(mp4, work / "index-first.mp4", movflags="faststart"),
        "fragmented.mp4": remux(mp4, work / "fragmented.mp4", movflags="frag_keyframe+empty_moov"),
        "cut.mkv": remux(mp4, work / "noise.mkv"),
        "cut.ts": remux(mp4, work / "noise.ts"),
        "cut.avi": write_noise(work / "noise.avi", "mpeg4", g="5"),
        "cut.flv": remux(mp4, work / "noise.flv"),
    }
    for name, source in sources.items():
        yield from _cut_at_every_tenth(name, source)
    yield from _damaged(mp4, work)
    yield from _false_claims(mp4, sources["cut.avi"], sources["cut.mkv"])


def _cut_at_every_tenth(name: str, source: Path) -> Iterator[Kind]:
    content = source.read_bytes()
    ends = _packet_ends(source)
    for tenth in range(1, 10):
        length = len(content) * tenth // 10
        complete = sum(end <= length for end in ends)
        if name.startswith("index-last"):
            status, frames = ERROR, 0  # the index is at the end
        elif complete:
            # FFmpeg may decode a frame of which a part is there.
            status, frames = TRUNCATED, complete if name.startswith("index-first") else None
        else:
            status, frames = f"{ERROR}|{TRUNCATED}", None
        stem, suffix = name.split(".")
        yield Kind(f"{stem}-at-{tenth}0-percent.{suffix}", status, _writer(content[:length]), frames)


def _packet_ends(source: Path) -> list[int]:
    with av.open(str(source)) as container:
        return [packet.pos + packet.size for packet in container.demux(video=0) if packet.pos is not None]


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _damaged(mp4: Path, work: Path) -> Iterator[Kind]:
    draw = np.random.default_rng(1)
    for source in (mp4, work / "noise.mkv", work / "noise.ts", work / "noise.avi", work / "noise.flv"):
        content = bytearray(source.read_bytes())
        for position in draw.integers(len(content) // 4, len(content), 20).tolist():
            content[position] ^= 0x55
        any_status = f"{OK}|{TRUNCATED}|{ERROR}"
        yield Kind(f"flipped-bytes{source.suffix}", any_status, _writer(bytes(content)))
        content = bytearray(source.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 400] = bytes(400)
        yield Kind(f"zeros-in-the-middle{source.suffix}", any_status, _writer(bytes(content)))
    avi = (work / "noise.avi").read_bytes()
    yield Kind("index-missing.avi", OK, _writer(avi[: avi.rindex(b"idx1")]), FRAMES, (64, 48))
    ts = (work / "noise.ts").read_bytes()
    yield Kind("garbage-in-front.ts", OK, _writer(b"garbage" * 50 + ts), FRAMES, (64, 48))
    yield Kind("garbage-behind.mp4", OK, _writer(mp4.read_bytes() + b"garbage" * 999), FRAMES, (64, 48))
    yield Kind("a-packet-lost.ts", TRUNCATED, _writer(ts[: 188 * 30] + ts[188 * 31 :]))
    yield Kind("frames-of-noise.mkv", ERROR, lambda path: _overwrite_packets(work / "noise.mkv", path))
    yield Kind("no-frames.mkv", ERROR, lambda path: make_clip(path, 0))


def _overwrite_packets(source: Path, target: Path) -> None:
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = source.read_bytes()
    for packet in packets:
        content = content.replace(packet, b"\xff" * len(packet))
    target.write_bytes(content)


def _false_claims(mp4: Path, avi: Path, mkv: Path) -> Iterator[Kind]:
    content = mp4.read_bytes()
    avi_content = avi.read_bytes()
    huge, most = b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"

    def patched(box: bytes, offset: int, value: bytes, source: bytes = content) -> Callable[[Path], object]:
        """Overwrite a field of a box, counted from its name."""
        start = (source.index if source is avi_content else source.rindex)(box) + offset
        return _writer(source[:start] + value + source[start + len(value) :])

    shown = {"frames": FRAMES, "size": (64, 48)}
    # The decoder goes by the video itself, whatever the container claims.
    yield Kind("claims-a-huge-picture.mp4", OK, patched(b"avc1", 28, most), FRAMES)
    yield Kind("claims-a-huge-display.mp4", OK, patched(b"tkhd", 80, huge * 2), FRAMES, (48, 48))
    yield Kind("claims-a-long-movie.mp4", OK, patched(b"mvhd", 20, huge), **shown)
    yield Kind("claims-a-long-video.mp4", OK, patched(b"mdhd", 20, huge), **shown)
    yield Kind("claims-no-time-scale.mp4", f"{OK}|{ERROR}", patched(b"mdhd", 16, bytes(4)))
    yield Kind("claims-many-samples.mp4", f"{OK}|{TRUNCATED}|{ERROR}", patched(b"stsz", 12, most))
    yield Kind("claims-many-chunks.mp4", f"{OK}|{TRUNCATED}|{ERROR}", patched(b"stco", 8, most))
    yield Kind("claims-many-durations.mp4", f"{OK}|{TRUNCATED}|{ERROR}", patched(b"stts", 8, huge))
    yield Kind("claims-huge-samples.mp4", f"{TRUNCATED}|{ERROR}", patched(b"stsz", 8, huge))
    yield Kind("claims-long-frames.mp4", OK, patched(b"stts", 16, huge))
    yield Kind("claims-an-endless-box.mp4", f"{OK}|{TRUNCATED}|{ERROR}", patched(b"mdat", -4, most))
    yield Kind("claims-an-empty-box.mp4", f"{OK}|{TRUNCATED}|{ERROR}", patched(b"moov", -4, bytes(4)))
    yield Kind("claims-a-short-box.mp4", ERROR, patched(b"moov", -4, b"\0\0\0\x09"))
    yield Kind("claims-an-unknown-codec.mp4", ERROR, patched(b"avc1", 0, b"zzzz"))
    yield Kind("offsets-behind-the-end.mp4", f"{TRUNCATED}|{ERROR}", patched(b"stco", 12, huge))
    yield Kind("claims-many-frames.avi", TRUNCATED, patched(b"strh", 40, huge, avi_content))
    yield Kind("claims-a-huge-picture.avi", f"{OK}|{TRUNCATED}|{ERROR}", patched(b"strf", 12, huge * 2, avi_content))
    yield Kind("claims-no-rate.avi", f"{OK}|{ERROR}", patched(b"strh", 28, bytes(8), avi_content))
    reordered = make_clip(mp4.with_name("reordered.mp4")).read_bytes()
    for name, entry, offset in (("times-out-of-order", 3, 40_000), ("times-before-their-keyframe", 9, 0)):
        shifted = patched(b"ctts", 16 + 8 * entry, offset.to_bytes(4, "big"), reordered)
        yield Kind(f"{name}.mp4", OK, shifted, size=(64, 48))
    deep = b""
    for _ in range(2000):
        deep = (len(deep) + 8).to_bytes(4, "big") + b"moov" + deep
    yield Kind("nested-boxes.mp4", ERROR, _writer(content[:32] + deep))
    body = mkv.read_bytes()
    yield Kind(
        "claims-a-huge-element.mkv", f"{OK}|{TRUNCATED}|{ERROR}", _writer(body[:50] + b"\x08" + most + body[55:])
    )
