"""The audio of a clip: which track, whether it can be decoded, and its packets on the clock of the clip's frames.

PyAV is imported when a clip is first opened, so that importing this module is cheap.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from common.heartbeat import beat
from video.clock import ABSURD_GAP_SECONDS, BACKWARD_SECONDS, DISCONTINUITY_SECONDS, can_jump
from video.frames import Frame
from video.opening import open_container, select_stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

PROBED_PACKETS = 100  # of which one must be decoded
PRIMING_SECONDS = 0.1  # of packets before the first sample that is heard, which decoders need; of Opus, 0.08 s


@dataclass
class ClipAudio:
    """An audio track of an open clip.

    Attributes:
        clip: The file.
        container: The open file.
        stream: One of its streams, from its start.
        first: Its first samples, decoded: their format and their time.
        offsets: In seconds, what added to a time on the file's clock gives the time relative to the clip's first frame.
            There is one for each stretch of the video between two jumps of the clock, as far as `follow` has seen it.
    """

    clip: Path
    container: "InputContainer"
    stream: "AudioStream"
    first: "AudioFrame"
    offsets: list[float]

    @property
    def start_seconds(self) -> float:
        """When the first sample is heard, on the file's clock."""
        return float((self.first.pts or 0) * (self.first.time_base or 0))

    @property
    def lead_seconds(self) -> float:
        """How long the audio is heard before the first frame is shown."""
        return max(0.0, -(self.start_seconds + self.offsets[0]))

    def follow(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield the frames of the clip, and note where its clock jumps."""
        for frame in frames:
            if frame.stored_seconds is not None:
                offset = frame.time_seconds - frame.stored_seconds
                if abs(offset - self.offsets[-1]) > BACKWARD_SECONDS:
                    self.offsets.append(offset)
            yield frame

    def packets(self) -> Iterator[tuple["Packet[AudioStream]", int]]:
        """Yield the packets that are heard, in file order, each with the number of jumps of its clock before it.

        Packets without a timestamp get the time at which the one before them ends. The end of the file, or what is
        damaged beyond repair there, ends the audio.
        """
        time_base = self.stream.time_base or Fraction(1, self.first.sample_rate)
        expected: int | None = None
        jumps = 0
        for packet in _demux(self.container, self.stream):
            pts = packet.pts if packet.pts is not None else packet.dts if packet.dts is not None else expected
            packet.pts = pts = pts or 0
            if expected is not None and self._is_jump(float((pts - expected) * time_base)):
                jumps += 1
            expected = pts + (packet.duration or 0)
            is_before_start = not jumps and float(expected * time_base) < self.start_seconds - PRIMING_SECONDS
            is_cut_out = packet.is_discard and float(pts * time_base) >= self.start_seconds
            if not (is_before_start or is_cut_out):  # as an edit list demands
                yield packet, jumps

    def leave_out(self, reason: object, from_seconds: float | None = None) -> None:
        """Tell the user why there is no audio in a copy, or none from some time on."""
        where = "is left out" if from_seconds is None else f"ends at {max(0.0, from_seconds):.1f} s"
        _warn(self.clip, f"its audio {where}: {reason}")

    def _is_jump(self, seconds: float) -> bool:
        if can_jump(self.container):
            return seconds > DISCONTINUITY_SECONDS or seconds < -BACKWARD_SECONDS
        return seconds > ABSURD_GAP_SECONDS or seconds < -DISCONTINUITY_SECONDS


@contextmanager
def open_audio(clip: Path, first: Frame) -> Iterator[ClipAudio | None]:
    """Open the audio track of a clip that players play: the one that FFmpeg prefers.

    Args:
        clip: A video file, or a folder of frames, which has none.
        first: The clip's first frame.

    Yields:
        The track; None if there is none, or if it is left out, which is then logged with the reason.

    Raises:
        ClipError: If the file can no longer be read.
    """
    if clip.is_dir():
        yield None
        return
    with open_container(clip) as container:
        tracks = container.streams.audio
        if not tracks:
            yield None
            return
        best = container.streams.best("audio", related=select_stream(container))
        stream = next((track for track in tracks if best is not None and track.index == best.index), tracks[0])
        offset = first.time_seconds - (first.stored_seconds or 0.0)
        samples = _decode_start(clip, stream.index)
        audio = ClipAudio(clip, container, stream, samples, [offset]) if samples else None
        if audio is None:
            codec = stream.codec_context.name if stream.codec_context else "of an unknown codec"
            _warn(clip, f"its audio is left out: it cannot be decoded ({codec})")
        elif audio.lead_seconds > ABSURD_GAP_SECONDS:
            audio.leave_out(f"it begins {audio.lead_seconds:.0f} s before the first frame")
            audio = None
        elif len(tracks) > 1:
            codec = stream.codec_context.name
            _warn(clip, f"of its {len(tracks)} audio tracks, number {stream.index} is kept ({codec})")
        yield audio


def _decode_start(clip: Path, index: int) -> "AudioFrame | None":
    """Decode the first samples of a stream; None if that is not possible."""
    from av.error import FFmpegError

    with open_container(clip) as container:
        stream = next((track for track in container.streams.audio if track.index == index), None)
        if stream is None or stream.codec_context is None:
            return None
        for packet in islice(_demux(container, stream), PROBED_PACKETS):
            try:
                frames = packet.decode()
            except (FFmpegError, MemoryError):
                continue
            for frame in frames:
                if frame.samples and frame.sample_rate:
                    return frame
    return None


def _demux(container: "InputContainer", stream: "AudioStream") -> Iterator["Packet[AudioStream]"]:
    """Yield the intact packets of a stream up to the end of the file, or to what cannot be read."""
    from av.error import FFmpegError

    try:
        for packet in container.demux(stream):
            beat()
            if packet.size and not packet.is_corrupt:
                yield packet
    except (FFmpegError, IndexError, MemoryError):  # IndexError: PyAV, where further streams begin midway
        return


def _warn(clip: Path, text: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", clip, text)
