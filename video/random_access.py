"""Random access to frames of video files by means of an index of their packets."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError, TruncatedClipError
from video.decoding import (
    BgrConverter,
    DecodedPicture,
    PacketLog,
    decode_packets,
    decode_video,
    frame_duration_seconds,
    open_video,
    read_packets,
    stream_time_base,
)
from video.frames import Frame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg only estimates the timestamps of other containers.
CONTAINERS_WITH_TIMESTAMPS = ("mov", "matroska", "flv", "mpegts")


def read_video_frames_at(clip: Path, wanted: Sequence[int], loop_filter: bool = True) -> dict[int, Frame]:
    """Read frames of a video file by their index.

    Args:
        clip: The file.
        wanted: Distinct frame indices from 0, in ascending order.
        loop_filter: Whether to apply the deblocking filter, see `video.clips.decode_frames`.

    Returns:
        The frames by index.

    Raises:
        ClipError: If the file cannot be read or has no such frame.
    """
    return _read_by_packet_index(clip, wanted, loop_filter) or _read_sequentially(clip, wanted, loop_filter)


@dataclass(frozen=True)
class _PacketIndex:
    """Timestamps and packet positions of all frames of a file, read without decoding.

    Attributes:
        pts: Shape (F,) int64, timestamp of every frame, ascending, in units of the stream's time base.
        position: Shape (F,) int64, position of its packet among the stream's packets, from 0.
        key_pts: Shape (K,) int64, timestamp of every keyframe, ascending.
        key_position: Shape (K,) int64, position of its packet, ascending.
    """

    pts: NDArray[np.int64]
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


def _index_packets(container: "InputContainer", stream: "VideoStream") -> _PacketIndex | None:
    """Index all packets without decoding them; None if they do not determine which frames a decoder would yield."""
    # VP8 has hidden frames that are not marked in the packets.
    if not container.format.name.startswith(CONTAINERS_WITH_TIMESTAMPS) or stream.codec_context.name == "vp8":
        return None
    log = PacketLog()
    rows = [(packet.pts, packet.is_keyframe, packet.is_discard) for packet in read_packets(container, stream, log)]
    if log.fault or any(pts is None for pts, _, _ in rows) or all(discard for _, _, discard in rows):
        return None
    pts = np.array([pts for pts, _, _ in rows], dtype=np.int64)
    keys = np.flatnonzero([key for _, key, _ in rows])
    shown = np.flatnonzero([not discard for _, _, discard in rows])  # edit lists can exclude frames
    order = shown[np.argsort(pts[shown])]
    ascending = (np.diff(pts[order]) > 0).all() and (np.diff(pts[keys]) > 0).all()
    if not ascending or not rows[0][1] or pts[0] != pts.min():
        return None
    return _PacketIndex(pts[order], order, pts[keys], keys)


def _read_by_packet_index(clip: Path, wanted: Sequence[int], loop_filter: bool) -> dict[int, Frame] | None:
    """Decode only the packets that the frames need; None if there is no index, or decoding contradicts it."""
    with open_video(clip) as (container, stream):
        index = _index_packets(container, stream)
    if index is None or wanted[0] < 0 or wanted[-1] >= len(index.pts):
        return None
    frame_by_pts = {int(index.pts[frame_index]): frame_index for frame_index in wanted}
    found: dict[int, Frame] = {}
    with open_video(clip, loop_filter) as (container, stream):
        log, converter, position = PacketLog(), BgrConverter(), 0
        packets = read_packets(container, stream, log)
        for first, last in index.packet_ranges(wanted):
            packet_range = islice(packets, first - position, last + 1 - position)
            position = last + 1
            expected, decoded = index.expected_pts(first, last), []
            for picture in decode_packets(packet_range, stream, log):
                if picture.pts is None or picture.pts < expected[0]:
                    continue
                decoded.append(picture.pts)
                if picture.pts in frame_by_pts:
                    frame_index = frame_by_pts[picture.pts]
                    time_seconds = float((picture.pts - int(index.pts[0])) * stream_time_base(stream))
                    duration_seconds = frame_duration_seconds(picture, stream)
                    found[frame_index] = Frame(
                        frame_index, time_seconds, duration_seconds, DecodedPicture(picture, converter)
                    )
            if log.fault or decoded != expected:
                return None
            stream.codec_context.flush_buffers()
    return found


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
