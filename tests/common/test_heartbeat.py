"""Signs of life: the slow parts of a run give them, so that it is not taken for one that hangs."""

import pytest
from fake_clips import make_clip, make_folder

from common import heartbeat
from common.heartbeat import beat, listen, preparation
from inference.interfaces import Network
from inference.runtime import Runtime
from video.clips import decode_frames, read_frames_at


class Recorder:
    """Counts beats, and records preparations."""

    def __init__(self):
        self.beats = 0
        self.preparations = []

    def beat(self):
        self.beats += 1

    def prepare(self, begins):
        self.preparations.append(begins)


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(heartbeat, "_listeners", [])
    recorder = Recorder()
    listen(recorder)
    return recorder


def test_nothing_happens_where_nobody_listens():
    beat()
    with preparation():
        pass


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_every_frame_that_is_decoded_is_a_beat(recorder, tmp_path, kind):
    clip = make_clip(tmp_path / "a.mp4", 20) if kind == "video" else make_folder(tmp_path / "a", range(1, 21))
    assert len(list(decode_frames(clip))) == 20
    assert recorder.beats >= 20
    recorder.beats = 0
    read_frames_at(clip, [19])
    assert recorder.beats >= 1


def test_an_engine_is_prepared(recorder):
    torch = pytest.importorskip("torch")
    Runtime().engine(Network("0" * 64, torch.nn.Identity), (32, 32), 1)
    assert recorder.preparations == [True, False]
    Runtime().facts("0" * 64, dict)
    assert recorder.preparations == [True, False] * 2


def test_the_end_of_a_preparation_that_fails_is_not_reported(recorder):
    with pytest.raises(ZeroDivisionError), preparation():
        raise ZeroDivisionError
    assert recorder.preparations == [True]
