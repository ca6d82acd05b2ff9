"""Random access to frames of video files by means of an index of their packets."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError, TruncatedClipError
from video.clock import Clock
from video.decoding import count_intact_frames, decode_video
from video.frames import Frame
from video.opening import open_video
from video.packets import PacketLog, decode_packets, read_packets
from video.pictures import PictureReader

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# FFmpeg only estimates the timestamps of other containers.
CONTAINERS_WITH_TIMESTAMPS = ("mov", "matroska", "flv", "mpegts")


def read_video_frames_at(
    clip: Path, wanted: Sequence[int], loop_filter: bool = True, intact_frames: int | None = None
) -> dict[int, Frame]:
    """Read frames of a video file by their index.

    Only what is known to decode without a fault is decoded from keyframes: in a damaged clip, a packet need not yield a
    frame, and a frame may show traces of earlier ones.

    Args:
        clip: The file.
        wanted: Distinct frame indices from 0, in ascending order.
        loop_filter: Whether to apply the deblocking filter, see `video.clips.decode_frames`.
        intact_frames: See `video.clips.read_frames_at`.

    Returns:
        The frames by index.

    Raises:
        ClipError: If the file cannot be read or has no such frame.
    """
    index = _index_packets(clip)
    if index is not None and wanted[0] >= 0 and wanted[-1] < len(index.pts):
        if intact_frames is None:
            intact_frames = count_intact_frames(clip)
        if len(index.pts) == intact_frames and (found := _decode_indexed(clip, wanted, loop_filter, index)):
            return found
    return _read_sequentially(clip, wanted, loop_filter)


@dataclass(frozen=True)
class _PacketIndex:
    """Timestamps and packet positions of all frames of a file, read without decoding.

    Attributes:
        pts: Shape (F,) int64, timestamp of every frame, ascending, in units of the stream's time base.
        seconds: Shape (F,) float64, when every frame is shown.
        position: Shape (F,) int64, position of its packet among the stream's packets, from 0.
        key_pts: Shape (K,) int64, timestamp of every keyframe, ascending.
        key_position: Shape (K,) int64, position of its packet, ascending.
    """

    pts: NDArray[np.int64]
    seconds: NDArray[np.float64]
    position: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    key_position: NDArray[np.int64]

    def packet_ranges(self, wanted: Sequence[int]) -> list[tuple[int, int]]:
        """Return the ranges of packets to decode for some frames: first and last position of each, not overlapping.

        A range starts at the last keyframe that is not shown after the frame. (Frames that follow a keyframe in the
        file but are shown before it may refer to frames before the keyframe.)
        """
        keys = np.searchsorted(self.key_pts, self.pts[wanted], side="right") - 1
        merged: list[tuple[int, int]] = []
        for first, last in sorted(zip(self.key_position[keys], self.position[wanted], strict=True)):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], int(last)))
            else:
                merged.append((int(first), int(last)))
        return merged

    def expected_pts(self, first: int, last: int) -> list[int]:
        """Return the timestamps that decoding a range of packets, starting with a keyframe, must yield."""
        begin = self.key_pts[np.searchsorted(self.key_position, first)]
        in_range = (self.position >= first) & (self.position <= last) & (self.pts >= begin)
        return [int(pts) for pts in self.pts[in_range]]


def _index_packets(clip: Path) -> _PacketIndex | None:
    """Index all packets without decoding them; None if they do not determine which frames a decoder would yield."""
    with open_video(clip) as (container, stream):
        # VP8 has hidden frames that are not marked in the packets.
        if not container.format.name.startswith(CONTAINERS_WITH_TIMESTAMPS) or stream.codec_context.name == "vp8":
            return None
        log = PacketLog()
        rows = [(packet.pts, packet.is_keyframe, packet.is_discard) for packet in read_packets(container, stream, log)]
        clock = Clock.of_stream(container, stream)
    if log.fault or any(pts is None for pts, _, _ in rows) or all(discard for _, _, discard in rows):
        return None
    pts = np.array([pts for pts, _, _ in rows], dtype=np.int64)
    keys = np.flatnonzero([key for _, key, _ in rows])
    shown = np.flatnonzero([not discard for _, _, discard in rows])  # edit lists can exclude frames
    order = shown[np.argsort(pts[shown])]
    ascending = (np.diff(pts[order]) > 0).all() and (np.diff(pts[keys]) > 0).all()
    if not ascending or not rows[0][1] or pts[0] != pts.min():
        return None
    follows_key = keys[np.searchsorted(pts[keys], pts[order], side="right") - 1] <= order
    if not follows_key.all():
        return None
    seconds = np.array([clock.seconds(int(value)) for value in pts[order]])
    return _PacketIndex(pts[order], seconds, order, pts[keys], keys)


def _decode_indexed(
    clip: Path, wanted: Sequence[int], loop_filter: bool, index: _PacketIndex
) -> dict[int, Frame] | None:
    """Decode only the packets that the frames need; None if decoding contradicts the index."""
    frame_by_pts = {int(index.pts[frame_index]): frame_index for frame_index in wanted}
    found: dict[int, Frame] = {}
    with open_video(clip, loop_filter) as (container, stream):
        reader, clock = PictureReader(stream), Clock.of_stream(container, stream)
        for picture in _decode_ranges(container, stream, index, wanted):
            if picture is None:
                return None
            frame_index = frame_by_pts.get(picture.pts) if picture.pts is not None else None
            shown = reader.read(picture)
            if frame_index is not None:
                duration_seconds = clock.duration_seconds(picture.duration)
                found[frame_index] = Frame(frame_index, float(index.seconds[frame_index]), duration_seconds, shown)
    return found if len(found) == len(wanted) else None


def _decode_ranges(
    container: "InputContainer", stream: "VideoStream", index: _PacketIndex, wanted: Sequence[int]
) -> Iterator["VideoFrame | None"]:
    """Decode the packet ranges of some frames; the last element is None if decoding contradicts the index."""
    log, position = PacketLog(), 0
    packets = read_packets(container, stream, log)
    for first, last in index.packet_ranges(wanted):
        packet_range = islice(packets, first - position, last + 1 - position)
        position = last + 1
        expected, decoded = index.expected_pts(first, last), []
        for picture in decode_packets(packet_range, stream, log):
            if picture.pts is not None and picture.pts >= expected[0]:
                decoded.append(picture.pts)
                yield picture
        if log.fault or decoded != expected:
            yield None
            return
        stream.codec_context.flush_buffers()


def _read_sequentially(clip: Path, wanted: Sequence[int], loop_filter: bool) -> dict[int, Frame]:
    """Decode a file from its start up to the last of the frames."""
    missing = set(wanted)
    found: dict[int, Frame] = {}
    frames = 0
    try:
        with closing(decode_video(clip, loop_filter)) as decoded:
            for frame in decoded:
                frames += 1
                if frame.index in missing:
                    missing.remove(frame.index)
                    found[frame.index] = frame
                if not missing:
                    break
    except TruncatedClipError:
        pass  # `read_frames` reports it; here only the requested frames matter
    if missing:
        raise ClipError(f"{clip}: there is no frame {min(missing)}: it has {frames} frames, 0 to {frames - 1}")
    return found
