"""Packets of a video stream: reading and decoding them, and the faults that both find."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING

from common.heartbeat import beat
from video.clock import stream_time_base
from video.pictures import is_convertible

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Their packets are marked as corrupt wherever the count of their parts has a gap, as at the joint of two streams.
JOINABLE_FORMATS = ("mpegts", "mpegtsraw")
JOINT_PACKETS = 3  # FFmpeg's parser may mark the packet before the last one in front of the joint


@dataclass
class PacketLog:
    """Statistics of a pass over a clip's packets.

    Attributes:
        packets: Number of packets.
        end_seconds: Latest end of a packet, in the stream's time.
        fault: The first fault that was found; empty if there is none.
        decoding_failed: Whether the decoder found one.
    """

    packets: int = 0
    end_seconds: float = 0.0
    fault: str = ""
    decoding_failed: bool = False

    def record_fault(self, reason: object, decoding_failed: bool = False) -> None:
        """Record a fault; the first one is reported."""
        self.fault = self.fault or str(reason)
        self.decoding_failed = self.decoding_failed or decoding_failed


def read_packets(container: "InputContainer", stream: "VideoStream", log: PacketLog) -> Iterator["Packet[VideoStream]"]:
    """Yield the packets of a stream that can be decoded, in file order.

    Args:
        container: The open file.
        stream: One of its streams.
        log: Updated with every packet, and with the first fault.
    """
    is_joinable = container.format.name in JOINABLE_FORMATS
    time_base = stream_time_base(stream)
    since_gap = JOINT_PACKETS  # packets since the one that is marked as corrupt
    for packet in _demux(container, stream, log):
        if is_joinable:
            since_gap = 0 if packet.is_corrupt else since_gap + 1
            # Where the video starts afresh with a keyframe, two streams were joined, and nothing is missing.
            if since_gap < JOINT_PACKETS and packet.is_keyframe:
                since_gap = JOINT_PACKETS
            elif since_gap == JOINT_PACKETS - 1:
                log.record_fault("a part of a frame is missing")
        elif packet.is_corrupt:
            log.record_fault("the file contains only a part of a frame")
            continue
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is not None:
            end = (begin + (packet.duration or 0)) * time_base.numerator / time_base.denominator
            log.end_seconds = max(log.end_seconds, end)
        log.packets += packet.size > 0 or begin is not None
        if packet.size:  # the decoder takes an empty packet for the end of the stream
            yield packet
    if since_gap < JOINT_PACKETS:
        log.record_fault("a part of a frame is missing")


def _demux(container: "InputContainer", stream: "VideoStream", log: PacketLog) -> Iterator["Packet[VideoStream]"]:
    from av.error import FFmpegError

    try:
        yield from container.demux(stream)
    except IndexError:
        pass  # raised by PyAV at the end of a file in which further streams begin midway
    except (FFmpegError, MemoryError) as reason:
        log.record_fault(getattr(reason, "strerror", None) or "it does not fit in memory")


def loses_frames(stream: "VideoStream") -> bool:
    """Return whether the decoder, with several threads, leaves out frames without reporting a fault."""
    return stream.codec_context.name == "h264" and stream.codec_context.thread_count > 1


@dataclass
class ExpectedFrames:
    """Finds frames that a decoder leaves out, by the timestamps of the packets that it was given.

    Attributes:
        log: Where they are recorded as a fault.
    """

    log: PacketLog
    _given: list[int] = field(default_factory=list)  # a heap

    def note(self, packets: Iterable["Packet[VideoStream]"]) -> Iterator["Packet[VideoStream]"]:
        """Pass packets on, and note their timestamps."""
        for packet in packets:
            if packet.pts is not None and not packet.is_discard:
                heappush(self._given, packet.pts)
            yield packet

    def check(self, pts: int | None) -> None:
        """Check that no frame is missing before the next one in display order."""
        if pts is None or not self._given:
            return
        if self._given[0] < pts:
            self.log.record_fault("a frame is missing", decoding_failed=True)
        elif self._given[0] == pts:
            heappop(self._given)

    def check_end(self) -> None:
        """Check that no frame is missing at the end."""
        if self._given:
            self.log.record_fault("a frame is missing", decoding_failed=True)


def decode_packets(
    packets: Iterable["Packet[VideoStream]"], stream: "VideoStream", log: PacketLog
) -> Iterator["VideoFrame"]:
    """Decode packets and flush the decoder; packets that cannot be decoded are skipped.

    Args:
        packets: Packets of the stream.
        stream: The stream, with its decoder.
        log: Updated with the first fault.

    Yields:
        Pictures in display order.
    """
    from av.error import FFmpegError

    for packet in chain(packets, [None]):
        beat()
        try:
            pictures = stream.codec_context.decode(packet)
        except (FFmpegError, MemoryError) as reason:
            log.record_fault(getattr(reason, "strerror", None) or "it does not fit in memory", decoding_failed=True)
            continue
        for picture in pictures:
            if picture.is_corrupt:
                log.record_fault("a frame is damaged", decoding_failed=True)
            if is_convertible(picture.format.name):
                yield picture
            else:
                log.record_fault(f"pixels in the format {picture.format.name}", decoding_failed=True)
