"""Video files, certain frames: which packets to decode for them, learnt from the packets alone."""

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

# Containers that store when each frame is shown; of the others, FFmpeg guesses it.
STORES_TIMESTAMPS = ("mov", "matroska", "flv", "mpegts")


def read_video_frames_at(clip: Path, wanted: Sequence[int], loop_filter: bool = True) -> dict[int, Frame]:
    """Read certain frames of a video file.

    Args:
        clip: The file.
        wanted: Places in the clip, from 0, rising, none twice.
        loop_filter: Whether the decoder smooths the edges of its blocks, see `video.clips.decode_frames`.

    Returns:
        The frames by place.

    Raises:
        ClipError: If the file cannot be read or has no such frame.
    """
    return _pick_by_index(clip, wanted, loop_filter) or _pick_sequentially(clip, wanted, loop_filter)


@dataclass(frozen=True)
class _PacketIndex:
    """Which frame lies where in a file, learnt from its packets alone.

    Attributes:
        pts: Shape (F,) int64, timestamp of every frame, ascending, in units of the stream's time base.
        position: Shape (F,) int64, place of its packet among the stream's packets, from 0.
        key_pts: Shape (K,) int64, timestamp of every keyframe, ascending.
        key_position: Shape (K,) int64, place of its packet, ascending.
    """

    pts: NDArray[np.int64]
    position: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    key_position: NDArray[np.int64]

    def stretches(self, wanted: Sequence[int]) -> list[tuple[int, int]]:
        """Find the packets to decode for the wanted frames: first and last position of each stretch, none overlapping.

        A stretch starts at the last keyframe that is not shown after the frame. (Frames that follow a keyframe in the
        file but are shown before it may refer to what comes before the keyframe.)
        """
        keys = np.searchsorted(self.key_pts, self.pts[wanted], side="right") - 1
        merged: list[tuple[int, int]] = []
        for first, last in sorted(zip(self.key_position[keys], self.position[wanted], strict=True)):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], int(last)))
            else:
                merged.append((int(first), int(last)))
        return merged

    def shown(self, first: int, last: int) -> list[int]:
        """List the timestamps that must come out when the packets from a keyframe to a last one are decoded."""
        begin = self.key_pts[np.searchsorted(self.key_position, first)]
        inside = (self.position >= first) & (self.position <= last) & (self.pts >= begin)
        return [int(pts) for pts in self.pts[inside]]


def _scan(container: "InputContainer", stream: "VideoStream") -> _PacketIndex | None:
    """Read all packets without decoding them; None where they do not tell what a decoder would show."""
    # VP8 hides frames that the packets do not mark.
    if not container.format.name.startswith(STORES_TIMESTAMPS) or stream.codec_context.name == "vp8":
        return None
    tally = PacketLog()
    rows = [(packet.pts, packet.is_keyframe, packet.is_discard) for packet in read_packets(container, stream, tally)]
    if tally.fault or any(pts is None for pts, _, _ in rows) or all(discard for _, _, discard in rows):
        return None
    pts = np.array([pts for pts, _, _ in rows], dtype=np.int64)
    keys = np.flatnonzero([key for _, key, _ in rows])
    shown = np.flatnonzero([not discard for _, _, discard in rows])  # an edit list can take frames out
    order = shown[np.argsort(pts[shown])]
    ascending = (np.diff(pts[order]) > 0).all() and (np.diff(pts[keys]) > 0).all()
    if not ascending or not rows[0][1] or pts[0] != pts.min():
        return None
    return _PacketIndex(pts[order], order, pts[keys], keys)


def _pick_by_index(clip: Path, wanted: Sequence[int], loop_filter: bool) -> dict[int, Frame] | None:
    """Decode only what the wanted frames need; None if the packets do not tell, or the decoder does not agree."""
    with open_video(clip) as (container, stream):
        index = _scan(container, stream)
    if index is None or wanted[0] < 0 or wanted[-1] >= len(index.pts):
        return None
    number_by_pts = {int(index.pts[number]): number for number in wanted}
    found: dict[int, Frame] = {}
    with open_video(clip, loop_filter) as (container, stream):
        tally, painter, position = PacketLog(), BgrConverter(), 0
        packets = read_packets(container, stream, tally)
        for first, last in index.stretches(wanted):
            stretch = islice(packets, first - position, last + 1 - position)
            position = last + 1
            expected, seen = index.shown(first, last), []
            for picture in decode_packets(stretch, stream, tally):
                if picture.pts is None or picture.pts < expected[0]:
                    continue
                seen.append(picture.pts)
                if picture.pts in number_by_pts:
                    number = number_by_pts[picture.pts]
                    time = float((picture.pts - int(index.pts[0])) * stream_time_base(stream))
                    seconds = frame_duration_seconds(picture, stream)
                    found[number] = Frame(number, time, seconds, DecodedPicture(picture, painter))
            if tally.fault or seen != expected:
                return None
            stream.codec_context.flush_buffers()
    return found


def _pick_sequentially(clip: Path, wanted: Sequence[int], loop_filter: bool) -> dict[int, Frame]:
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
        pass  # `read_frames` reports it; here only the frames that were asked for matter
    if missing:
        raise ClipError(f"{clip}: there is no frame {min(missing)}: it has {frames} frames, 0 to {frames - 1}")
    return found
