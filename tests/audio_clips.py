"""Tiny clips with sound: black pictures with white flashes, and a click that begins with each flash.

What a copy keeps can thus be measured: `measure` finds flashes and clicks by decoding a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from fake_clips import Encoder, Orientation

CLICK_SECONDS, CLICK_HERTZ = 0.02, 1000
MILLISECOND = Fraction(1, 1000)
H264 = Encoder()


@dataclass(frozen=True)
class Sound:
    """An audio track.

    Attributes:
        codec: FFmpeg's name of its encoder.
        rate: Samples per second.
        layout: FFmpeg's name of its channels.
        start_seconds: When it begins, on the file's clock.
        seconds: How long it is.
        clicks: When it clicks, on the file's clock; None stands for the flashes.
        gap_seconds: Where the file has no samples: the first and the last tenth of a second.
    """

    codec: str = "aac"
    rate: int = 48_000
    layout: str = "stereo"
    start_seconds: float = 0.0
    seconds: float = 2.0
    clicks: Sequence[float] | None = None
    gap_seconds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Measured:
    """What a file shows and plays, on its own clock.

    Attributes:
        frame_seconds: When each frame is shown.
        flashes: When flashes begin.
        clicks: When clicks begin; empty without sound.
        codec: Of the sound; empty if there is none.
        container_seconds: Duration that the file states.
    """

    frame_seconds: list[float]
    flashes: list[float]
    clicks: list[float]
    codec: str
    container_seconds: float

    @property
    def delays(self) -> list[float]:
        """How much later each click is heard than its flash is seen, in seconds."""
        return [click - flash for click, flash in zip(self.clicks, self.flashes, strict=False)]


def make_audio_clip(
    path: Path,
    sounds: Sequence[Sound] = (Sound(),),
    *,
    encoder: Encoder = H264,
    times_ms: Sequence[int] = range(0, 2000, 100),
    flashes_ms: Sequence[int] = (600, 1400),
    orientation: Orientation | None = None,
) -> Path:
    """Write a clip whose frames have some times, in milliseconds, those at some of which are white; return its path."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(encoder.codec, rate=10, options=dict(encoder.options))
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if path.suffix != ".avi":  # which has a constant frame rate
            video.codec_context.time_base = MILLISECOND
        if orientation:
            video.set_display_rotation(orientation.rotation, hflip=orientation.mirrored)
        tracks = [container.add_stream(sound.codec, rate=sound.rate, layout=sound.layout) for sound in sounds]
        container.start_encoding()
        packets = []
        for number, milliseconds in enumerate(times_ms):
            grey = 255 if milliseconds in flashes_ms else 16
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), format="bgr24")
            picture.pts, picture.time_base = milliseconds, MILLISECOND
            if path.suffix == ".avi":
                picture.pts, picture.time_base = number, Fraction(1, 10)
            packets += video.encode(picture)
        packets += video.encode(None)
        for sound, track in zip(sounds, tracks, strict=True):
            packets += _encode(sound, track, [milliseconds / 1000 for milliseconds in flashes_ms])
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def _encode(sound: Sound, track: av.AudioStream, flashes: Sequence[float]) -> list[av.Packet]:
    """Encode the samples of a track."""
    times = np.arange(round(sound.seconds * sound.rate)) / sound.rate + sound.start_seconds
    samples = 0.002 * np.sin(2 * np.pi * 100 * times)
    for click in flashes if sound.clicks is None else sound.clicks:
        is_on = (times >= click) & (times < click + CLICK_SECONDS)
        samples[is_on] = 0.9 * np.sin(2 * np.pi * CLICK_HERTZ * (times[is_on] - click))
    packets, first = [], round(sound.start_seconds * sound.rate)
    channels = av.AudioLayout(sound.layout).nb_channels
    for begin in range(0, len(samples), sound.rate // 10):
        if sound.gap_seconds[0] <= times[begin] < sound.gap_seconds[1]:
            continue
        part = samples[begin : begin + sound.rate // 10].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.tile(part, (channels, 1)), format="fltp", layout=sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, first + begin, Fraction(1, sound.rate)
        packets += track.encode(frame)
    return packets + track.encode(None)


def with_noise(clip: Path, target: Path) -> Path:
    """Copy a clip, with random bytes in place of its first audio track, and return the copy's path."""
    random = np.random.default_rng(0)
    with av.open(str(clip)) as reading, av.open(str(target), "w") as writing:
        copies = [writing.add_stream_from_template(stream) for stream in reading.streams]
        for packet in reading.demux():
            if packet.dts is None:
                continue
            packet.stream, original = copies[packet.stream.index], packet
            if packet.stream.type == "audio":
                packet = av.Packet(random.bytes(original.size))
                packet.stream, packet.time_base = original.stream, original.time_base
                packet.pts, packet.dts, packet.duration = original.pts, original.dts, original.duration
            writing.mux(packet)
    return target


def measure(path: Path) -> Measured:
    """Find the flashes and the clicks of a file by decoding it with PyAV alone."""
    with av.open(str(path)) as container:
        pictures = [(float(frame.pts * frame.time_base), frame) for frame in container.decode(video=0)]
        bright = [frame.to_ndarray(format="gray")[:40].mean() > 128 for _, frame in pictures]
        seconds = container.duration / 1e6
    frame_seconds = [time for time, _ in pictures]
    flashes = [time for time, now, before in zip(frame_seconds, bright, [False, *bright], strict=False) if now > before]
    times, samples, codec = _samples(path)
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    starts = loud[np.diff(loud, prepend=-(10**9)) > 4000] if len(loud) else loud
    return Measured(frame_seconds, flashes, [float(times[start]) for start in starts], codec, seconds)


def _samples(path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Decode the first audio track: when each sample is heard, in seconds, and its value, both of shape (S,)."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0), np.zeros(0), ""
        times, values = [np.zeros(0)], [np.zeros(0)]
        resampler = av.AudioResampler(format="fltp")
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                values.append(part.to_ndarray()[0])
                times.append(float(part.pts * part.time_base) + np.arange(part.samples) / part.sample_rate)
        return np.concatenate(times), np.concatenate(values), container.streams.audio[0].codec_context.codec.name
