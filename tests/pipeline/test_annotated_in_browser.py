"""Annotated copies play in headless Chromium, frames and audio, from begin to end.

Without Chromium or Playwright, or with a Chromium that lacks H.264 and AAC, the tests are skipped.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from audio_clips import H264, Sound, make_audio_clip, measure
from fake_clips import Encoder
from test_annotated_audio import annotate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

H264_AND_AAC = 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'
PLAY = """async () => {
    const video = document.querySelector("video");
    video.muted = true;
    const ended = new Promise((resolve, reject) => {
        video.onended = resolve;
        video.onerror = () => reject(new Error(video.error.message));
    });
    video.currentTime = 0;
    await video.play();
    await ended;
    return [video.readyState, video.duration, video.webkitAudioDecodedByteCount];
}"""


@pytest.mark.parametrize(
    ("name", "sound", "encoder"),
    [
        ("a.mp4", Sound(), H264),
        ("a.webm", Sound("libopus"), Encoder("libvpx")),
        ("a.avi", Sound("libmp3lame"), Encoder("mpeg4")),
        ("a.mov", Sound("pcm_s16le"), H264),
        ("a.ts", Sound("ac3", start_seconds=0.5), H264),
        ("a.mkv", None, H264),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_copy_plays_to_its_end(browser: "Browser", taxonomy, tmp_path: Path, name, sound, encoder):
    clip = make_audio_clip(tmp_path / name, [sound] if sound else [], encoder=encoder)
    page = browser.new_page()
    page.goto(annotate(clip, taxonomy).as_uri())
    if not page.evaluate("type => document.createElement('video').canPlayType(type)", H264_AND_AAC):
        pytest.skip("needs a Chromium with H.264 and AAC")
    ready_state, seconds, audio_bytes = page.evaluate(PLAY)
    page.close()
    source = measure(clip)
    assert ready_state == 4
    assert seconds == pytest.approx(source.container_seconds, rel=0.02)
    assert (audio_bytes > 1000) == bool(sound)
