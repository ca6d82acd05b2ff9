"""Writing a clip's audio into an MP4 file: its packets as they are where every browser plays them, otherwise as AAC."""

import io
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, cast

from video.audio import ClipAudio

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.filter import Graph
    from av.packet import Packet

COPIED_CODECS = frozenset({"aac", "flac", "mp3", "opus"})
"""Those that browsers play in MP4 files."""
MAX_ROUNDING_SECONDS = 0.002  # of timestamps, such as Matroska's milliseconds

AAC_RATES = frozenset({96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000})
DEFAULT_RATE = 48_000
BITS_PER_CHANNEL = 96_000  # per second
MAX_FILLED_SECONDS = 30.0  # of a gap with silence, which is made in one piece


class _Track(Protocol):
    """An audio stream of the file that is written."""

    def add(self, packet: "Packet[AudioStream]", offset_seconds: float) -> None:
        """Add a packet of the clip's audio, by how much later it is heard in the file than in the clip."""

    def end(self) -> None:
        """Write what is still held back."""


class AudioWriter:
    """Writes the audio of a clip, as far as its frames are written.

    What is wrong with it never prevents that the video is written: the audio then ends there, which is logged.

    Args:
        output: The MP4 file, before its header is written.
        audio: Of the clip.
    """

    def __init__(self, output: "OutputContainer", audio: ClipAudio) -> None:
        self._audio = audio
        self._track: _Track = (
            _CopiedTrack(output, audio.stream) if _is_copied(audio.stream) else _EncodedTrack(output, audio.first)
        )
        self._packets = audio.packets()
        self._next = next(self._packets, None)
        self._written_seconds = 0.0

    def write_until(self, seconds: float) -> None:
        """Write what is heard up to a time, in the file that is written."""
        from av.error import FFmpegError

        while self._next is not None:
            packet, jumps = self._next
            if jumps >= len(self._audio.offsets):  # the frames have not come to where the clock jumps
                return
            offset = self._audio.offsets[jumps] + self._audio.lead_seconds
            begin = float((packet.pts or 0) * packet.time_base) + offset
            if begin > seconds:
                return
            try:
                self._track.add(packet, offset)
            except (FFmpegError, ValueError) as reason:
                self._stop(reason)
                return
            self._written_seconds = begin
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Write what is left, which may be heard after the last frame."""
        from av.error import FFmpegError

        self.write_until(float("inf"))
        if self._next is not None:
            self._audio.leave_out("its clock jumps there, and that of the frames does not", self._written_seconds)
        try:
            self._track.end()
        except (FFmpegError, ValueError) as reason:
            self._stop(reason)

    def _stop(self, reason: Exception) -> None:
        """End the audio where it is.

        Raises:
            OSError: If the reason is one, such as a full disk, which concerns the video as well.
        """
        if isinstance(reason, OSError):
            raise reason
        self._audio.leave_out(getattr(reason, "strerror", None) or reason, self._written_seconds)
        self._next = None


class _CopiedTrack:
    """Copies packets without decoding them.

    Args:
        output: Where to.
        template: Where from.
    """

    def __init__(self, output: "OutputContainer", template: "AudioStream") -> None:
        self._output = output
        self._stream = output.add_stream_from_template(template)
        self._rate = template.codec_context.sample_rate
        self._frame_size = template.codec_context.frame_size
        self._last_pts: int | None = None
        self._expected: int | None = None

    def add(self, packet: "Packet[AudioStream]", offset_seconds: float) -> None:
        unit = packet.time_base
        pts = round((float((packet.pts or 0) * unit) + offset_seconds) * self._rate)
        # Where the container rounds its times, packets follow each other without gaps all the same.
        tolerance = min(float(unit), MAX_ROUNDING_SECONDS) * self._rate
        if self._expected is not None and abs(pts - self._expected) <= tolerance:
            pts = self._expected
        duration = round((packet.duration or 0) * unit * self._rate)
        if self._last_pts is not None and pts <= self._last_pts:  # heard already
            return
        self._last_pts, self._expected = pts, pts + (self._frame_size or duration)
        packet.stream, packet.time_base = self._stream, Fraction(1, self._rate)
        packet.pts = packet.dts = pts
        packet.duration = duration
        self._output.mux(packet)

    def end(self) -> None:
        pass


class _EncodedTrack:
    """Decodes packets, and encodes what they contain as AAC with one or two channels.

    Args:
        output: Where to.
        first: The first samples, whose rate is kept if AAC has it.
    """

    def __init__(self, output: "OutputContainer", first: "AudioFrame") -> None:
        self._output = output
        self._rate = first.sample_rate if first.sample_rate in AAC_RATES else DEFAULT_RATE
        channels = min(first.layout.nb_channels, 2)
        self._layout = "mono" if channels == 1 else "stereo"
        bit_rate = channels * min(BITS_PER_CHANNEL, 2 * self._rate)
        self._stream = output.add_stream("aac", rate=self._rate, layout=self._layout, bit_rate=bit_rate)
        self._graph: Graph | None = None
        self._input: tuple[str, str, int] | None = None  # what the graph takes
        self._decoder: AudioStream | None = None
        self._offset_seconds = 0.0
        self._end_seconds = 0.0  # of what was heard

    def add(self, packet: "Packet[AudioStream]", offset_seconds: float) -> None:
        from av.error import FFmpegError

        self._decoder, self._offset_seconds = packet.stream, offset_seconds
        try:
            frames = packet.decode()
        except FFmpegError:  # it is silent for a moment
            return
        for frame in frames:
            self._resample(frame)

    def end(self) -> None:
        if self._decoder:
            for frame in self._decoder.codec_context.decode(None):
                self._resample(frame)
        self._flush()
        self._output.mux(self._stream.encode(None))

    def _resample(self, frame: "AudioFrame") -> None:
        """Convert samples to what the encoder takes, and encode what is complete."""
        begin = self._end_seconds
        if frame.pts is not None and frame.time_base:
            begin = float(frame.pts * frame.time_base) + self._offset_seconds
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if self._graph is None or kind != self._input or begin - self._end_seconds > MAX_FILLED_SECONDS:
            self._flush()
            self._graph, self._input = _resampling_graph(kind, self._rate, self._layout), kind
        self._end_seconds = begin + frame.samples / frame.sample_rate
        frame.pts, frame.time_base = round(begin * frame.sample_rate), Fraction(1, frame.sample_rate)
        self._graph.push(frame)
        self._encode(self._graph)

    def _flush(self) -> None:
        if self._graph:
            self._graph.push(None)
            self._encode(self._graph)
            self._graph = None

    def _encode(self, graph: "Graph") -> None:
        """Encode what comes out of the graph."""
        from av.error import BlockingIOError, EOFError

        while True:
            try:
                frame = cast("AudioFrame", graph.pull())
            except (BlockingIOError, EOFError):  # it needs more, or there is no more
                return
            self._output.mux(self._stream.encode(frame))


def _resampling_graph(kind: tuple[str, str, int], rate: int, layout: str) -> "Graph":
    """Return a graph that converts samples, fills gaps with silence, and cuts what overlaps."""
    from av.filter import Graph

    sample_format, channels, source_rate = kind
    graph = Graph()
    graph.link_nodes(
        graph.add_abuffer(sample_rate=source_rate, format=sample_format, layout=channels),
        graph.add("aresample", f"{rate}:async=1"),
        graph.add("aformat", sample_fmts="fltp", sample_rates=str(rate), channel_layouts=layout),
        graph.add("abuffersink"),
    ).configure()
    return graph


def _is_copied(stream: "AudioStream") -> bool:
    """Return whether the packets of a stream can be copied: browsers play them, and FFmpeg writes them to MP4."""
    import av
    from av.error import FFmpegError

    if stream.codec_context.codec.canonical_name not in COPIED_CODECS:
        return False
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True
