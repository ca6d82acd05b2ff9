"""Annotated copies sound as their clips do, in sync with the frames, in any container, codec and clock."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from audio_clips import Sound, make_audio_clip, measure, with_noise
from fake_clips import Encoder, Orientation, cut_file, read_until_error

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from common.errors import TruncatedClipError
from pipeline.__main__ import run_command
from pipeline.results import ActorEvidence, ClipResult, Weights
from pipeline.visualization.annotation import annotate_clip
from video.clips import decode_frames

TICK_SECONDS = 1 / 90_000
IN_SYNC_SECONDS = 0.005  # Matroska rounds to milliseconds, and codecs blur a click
TIMES_MS = tuple(range(0, 2000, 100))
FLASHES_MS = (600, 1400)
VARIABLE_MS = (0, 40, 80, 200, 210, 600, 640, 1000, 1033, 1400, 1444, 1900)
ENCODERS = {".webm": Encoder("libvpx"), ".avi": Encoder("mpeg4")}


def annotate(clip: Path, taxonomy: Taxonomy) -> Path:
    """Write the annotated copy of a clip in which no actor is."""
    times = []
    try:
        for frame in decode_frames(clip):
            times.append(frame.time_seconds)
    except TruncatedClipError:
        pass
    found = ClipDetections(
        frame_index=np.arange(len(times)),
        time_seconds=np.array(times),
        frame_row=np.zeros(0, int),
        boxes=np.zeros((0, 4), np.float32),
        confidence=np.zeros(0, np.float32),
        actor_index=np.zeros(0, int),
        duration_seconds=times[-1] + 0.1,
    )
    actors = {name: ActorEvidence(0.0, 0.1, False, -0.1) for name in taxonomy.actor_names}
    result = ClipResult(str(clip), "0" * 64, "ok", None, Weights("", "", {}), actors=actors)
    copy = clip.parent / "copies" / f"{clip.name}.mp4"
    annotate_clip(clip, result, found, taxonomy, copy)
    return copy


def check_in_sync(clip: Path, copy: Path, clicks: int = 2) -> None:
    """Check that a copy shows and plays the same as its clip at the same times."""
    source, copied = measure(clip), measure(copy)
    assert len(source.flashes) == len(copied.flashes) == 2
    assert len(copied.clicks) == len(source.clicks) == clicks
    assert copied.delays == pytest.approx(source.delays, abs=IN_SYNC_SECONDS)
    relative = [np.array(times) - times[0] for times in (source.frame_seconds, copied.frame_seconds)]
    np.testing.assert_allclose(*relative, atol=TICK_SECONDS)


@pytest.mark.parametrize(
    ("name", "codec", "copied"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.mp4", "libmp3lame", "mp3float"),
        ("a.mp4", "libopus", "opus"),
        ("a.mp4", "flac", "flac"),
        ("a.mp4", "ac3", "aac"),
        ("a.mov", "pcm_s16le", "aac"),
        ("a.mov", "alac", "aac"),
        ("a.mkv", "aac", "aac"),
        ("a.mkv", "libopus", "opus"),
        ("a.mkv", "ac3", "aac"),
        ("a.webm", "libopus", "opus"),
        ("a.avi", "libmp3lame", "mp3float"),
        ("a.avi", "pcm_s16le", "aac"),
        ("a.ts", "aac", "aac"),
        ("a.ts", "mp2", "aac"),
        ("a.flv", "libmp3lame", "mp3float"),
    ],
)
def test_any_codec_in_any_container_is_in_sync(taxonomy, tmp_path, name, codec, copied):
    encoder = ENCODERS.get(Path(name).suffix, Encoder())
    clip = make_audio_clip(tmp_path / name, [Sound(codec)], encoder=encoder)
    copy = annotate(clip, taxonomy)
    check_in_sync(clip, copy)
    assert measure(copy).codec == copied
    if not name.endswith(".flv"):  # which states its end, whenever it begins
        assert measure(copy).container_seconds == pytest.approx(measure(clip).container_seconds, rel=0.02)


def test_what_browsers_play_is_copied_to_the_byte(taxonomy, tmp_path):
    clip = make_audio_clip(tmp_path / "a.mp4")
    contents = []
    for path in (clip, annotate(clip, taxonomy)):
        with av.open(str(path)) as container:
            contents.append([bytes(packet) for packet in container.demux(audio=0)])
    assert contents[0] == contents[1]
    assert len(contents[0]) > 90


@pytest.mark.parametrize(
    ("rate", "layout", "codec"),
    [
        (8_000, "mono", "pcm_mulaw"),
        (37_000, "mono", "pcm_s16le"),
        (192_000, "stereo", "pcm_s24le"),
        (48_000, "5.1", "ac3"),
        (44_100, "stereo", "aac"),
    ],
)
def test_any_rate_and_any_channels(taxonomy, tmp_path, rate, layout, codec):
    clip = make_audio_clip(tmp_path / "a.mov", [Sound(codec, rate, layout)])
    check_in_sync(clip, annotate(clip, taxonomy))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(
    ("sound", "times_ms", "clicks"),
    [
        (Sound(), VARIABLE_MS, 2),
        (Sound(start_seconds=0.5, seconds=1.5), TIMES_MS, 2),
        (Sound(), range(400, 2400, 100), 2),
        (Sound(start_seconds=0.2, seconds=2), range(400, 2400, 100), 2),
        (Sound(seconds=4, clicks=(0.6, 1.4, 3.5)), TIMES_MS, 3),
        (Sound(seconds=0.8), TIMES_MS, 1),
    ],
    ids=["variable frame rate", "audio late", "video late", "both late", "audio longer", "audio shorter"],
)
def test_whenever_the_audio_begins_and_ends(taxonomy, tmp_path, suffix, sound, times_ms, clicks):
    clip = make_audio_clip(tmp_path / f"a{suffix}", [sound], times_ms=times_ms)
    copy = annotate(clip, taxonomy)
    check_in_sync(clip, copy, clicks)
    if suffix != ".mkv":  # which states its end, whenever it begins
        assert measure(copy).container_seconds == pytest.approx(measure(clip).container_seconds, rel=0.02)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"], ids=["copied", "encoded"])
def test_what_an_edit_list_cuts_off_is_not_heard(taxonomy, tmp_path, codec):
    """The file begins 0.4 s before its presentation does, with a flash and a click of which neither is presented."""
    sound = Sound(codec, start_seconds=-0.4, seconds=2.4, clicks=(-0.2, 0.6, 1.4))
    times_ms, flashes_ms = range(-400, 2000, 100), (-200, 600, 1400)
    clip = make_audio_clip(tmp_path / "a.mov", [sound], times_ms=times_ms, flashes_ms=flashes_ms)
    copy = annotate(clip, taxonomy)
    check_in_sync(clip, copy)
    assert measure(copy).clicks == pytest.approx([0.6, 1.4], abs=IN_SYNC_SECONDS)


def test_a_gap_stays_a_gap(taxonomy, tmp_path):
    for codec in ("pcm_s16le", "aac"):
        sound = Sound(codec, gap_seconds=(0.8, 1.2))
        clip = make_audio_clip(tmp_path / f"{codec}.mkv", [sound])
        check_in_sync(clip, annotate(clip, taxonomy))


def test_a_rotated_clip_sounds_too(taxonomy, tmp_path):
    clip = make_audio_clip(tmp_path / "a.mp4", orientation=Orientation(90))
    check_in_sync(clip, annotate(clip, taxonomy))


@pytest.mark.parametrize("starts", [(0, 0), (0, 20), (20, 0)], ids=str)
def test_joined_streams_stay_in_sync(taxonomy, tmp_path, starts):
    """Where the clock jumps, the copy's goes on, for frames and audio alike."""
    joined = b""
    for number, start in enumerate(starts):
        part = make_audio_clip(
            tmp_path / f"{number}.ts",
            [Sound(start_seconds=start)],
            times_ms=[1000 * start + time for time in TIMES_MS],
            flashes_ms=[1000 * start + time for time in FLASHES_MS],
        )
        joined += part.read_bytes()
    clip = tmp_path / "joined.ts"
    clip.write_bytes(joined)
    source, copied = measure(clip), measure(annotate(clip, taxonomy))
    assert len(copied.delays) == 4
    assert copied.delays == pytest.approx(source.delays, abs=IN_SYNC_SECONDS)
    assert np.diff(copied.frame_seconds) == pytest.approx(0.1, abs=TICK_SECONDS)


def test_a_truncated_clip_is_in_sync_as_far_as_it_goes(taxonomy, tmp_path):
    clip = make_audio_clip(tmp_path / "a.mkv", [Sound(seconds=8)], times_ms=range(0, 8000, 100))
    cut_file(clip)
    frames, _ = read_until_error(clip)
    copied = measure(annotate(clip, taxonomy))
    assert len(copied.frame_seconds) == frames < 60
    assert copied.delays == pytest.approx([0, 0], abs=IN_SYNC_SECONDS)
    assert copied.container_seconds < 7


def test_of_several_tracks_the_preferred_one_is_kept(taxonomy, tmp_path, caplog):
    clip = make_audio_clip(tmp_path / "a.mp4", [Sound(clicks=(1.0,)), Sound("libmp3lame")])
    with caplog.at_level(logging.WARNING):
        copy = annotate(clip, taxonomy)
    assert caplog.messages == [f"{clip}: of its 2 audio tracks, number 1 is kept (aac)"]
    assert measure(copy).clicks == pytest.approx([1.0], abs=IN_SYNC_SECONDS)


def test_frames_and_audio_alternate_in_the_file(taxonomy, tmp_path):
    """A player that reads a file from the network needs both at once."""
    clip = make_audio_clip(tmp_path / "a.mp4", [Sound(seconds=20)], times_ms=range(0, 20_000, 200))
    with av.open(str(annotate(clip, taxonomy))) as container:
        packets = sorted((packet.pos, packet.stream.type) for packet in container.demux() if packet.size)
    kinds = [kind for _, kind in packets]
    runs = sum(before != after for before, after in itertools.pairwise(kinds))
    assert runs > 20
    assert kinds.count("video") == 100


def test_audio_that_cannot_be_decoded_is_left_out(taxonomy, tmp_path, caplog):
    clip = with_noise(make_audio_clip(tmp_path / "good.mp4", [Sound("flac")]), tmp_path / "bad.mp4")
    with caplog.at_level(logging.WARNING):
        copied = measure(annotate(clip, taxonomy))
    assert caplog.messages == [f"{clip}: its audio is left out: it cannot be decoded (flac)"]
    assert copied.codec == ""
    assert len(copied.frame_seconds) == len(TIMES_MS)


def test_audio_that_the_muxer_refuses_ends_there(taxonomy, tmp_path, caplog):
    """Random bytes that happen to be decodable are no reason to lose the frames."""
    clip = with_noise(make_audio_clip(tmp_path / "good.ts", [Sound()]), tmp_path / "bad.ts")
    with caplog.at_level(logging.WARNING):
        copied = measure(annotate(clip, taxonomy))
    assert len(copied.frame_seconds) == len(TIMES_MS)


def test_a_clip_without_audio_has_a_copy_without(taxonomy, tmp_path, caplog):
    copied = measure(annotate(make_audio_clip(tmp_path / "a.mp4", []), taxonomy))
    assert copied.codec == ""
    assert copied.container_seconds == pytest.approx(2.0)
    assert caplog.messages == []


@pytest.mark.parametrize("sounds", [[Sound()], []], ids=["with audio", "silent"])
def test_a_failure_while_audio_is_written_leaves_nothing_behind(taxonomy, tmp_path, sounds: Sequence[Sound]):
    clip = make_audio_clip(tmp_path / "a.mp4", sounds)
    (tmp_path / "copies").write_text("a file, not a folder")
    with pytest.raises(OSError, match="copies"):
        annotate(clip, taxonomy)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "copies"]


def test_a_run_goes_on_without_the_audio_and_says_so(tmp_path, caplog):
    clip = with_noise(make_audio_clip(tmp_path / "good.mp4", [Sound("flac")]), tmp_path / "bad.mp4")
    clips = [str(clip), str(tmp_path / "good.mp4")]
    options = ["--annotate", str(tmp_path / "copies"), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    assert run_command("tag", ["--video", *clips, *options]) == 0
    assert measure(tmp_path / "copies" / "bad.annotated.mp4").codec == ""
    assert measure(tmp_path / "copies" / "good.annotated.mp4").codec == "flac"
    assert caplog.text.count("bad.mp4: its audio is left out: it cannot be decoded (flac)") == 1
