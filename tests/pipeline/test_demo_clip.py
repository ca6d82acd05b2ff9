"""The demo clip, and the command that writes, tags and annotates it."""

import json

import cv2
import numpy as np
import pytest

from benchmarks.clip_meter import ClipMeter
from common.errors import ClipError
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.visualization import demo_clip as module
from pipeline.visualization.demo_clip import (
    HEIGHT,
    SCENE_FRAMES,
    SCENES,
    WIDTH,
    CameraView,
    Scene,
    crop_view,
    write_demo,
)
from video.clips import read_frames


def test_the_clip_has_the_documented_size_and_duration(demo_clip):
    meter = ClipMeter()
    for batch in read_frames(demo_clip):
        meter.add(batch)
    info = meter.info()
    assert (info.frames, info.width, info.height) == (SCENE_FRAMES * len(SCENES), WIDTH, HEIGHT)
    assert info.fps == pytest.approx(25)
    assert 5 < info.duration_seconds < 7


def test_write_demo_is_deterministic(demo_clip, tmp_path):
    write_demo(tmp_path / "again.mp4")
    assert (tmp_path / "again.mp4").read_bytes() == demo_clip.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.mp4"]


def test_scenes_differ_and_the_camera_moves(demo_clip):
    images = np.concatenate([batch.images for batch in read_frames(demo_clip)]).astype(int)
    steps = np.abs(np.diff(images, axis=0)).mean(axis=(1, 2, 3))
    cuts = [SCENE_FRAMES * number - 1 for number in range(1, len(SCENES))]
    assert sorted(np.argsort(steps)[-len(cuts) :]) == cuts
    for number in range(len(SCENES)):
        first, last = images[SCENE_FRAMES * number], images[SCENE_FRAMES * (number + 1) - 1]
        assert np.abs(first - last).mean() > 5


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.file)
def test_the_camera_stays_inside_the_photograph_or_shows_all_of_it(scene):
    photograph = module._read(scene)
    for view in (scene.begin, scene.end):
        half = view.width / 2, view.width * HEIGHT / WIDTH / 2
        inside = [
            h <= c <= side - h for h, c, side in zip(half, (view.x, view.y), photograph.shape[1::-1], strict=True)
        ]
        whole = [
            c - h <= 0 and side <= c + h
            for h, c, side in zip(half, (view.x, view.y), photograph.shape[1::-1], strict=True)
        ]
        assert all(inside) or all(whole)


def test_crop_view_centres_and_scales_the_view():
    photograph = np.zeros((400, 800, 3), np.uint8)
    cv2.circle(photograph, (500, 150), 40, (0, 0, 255), cv2.FILLED)
    frame = crop_view(photograph, CameraView(500, 150, 288))
    rows, columns = np.nonzero(frame[..., 2] > 127)
    assert (rows.mean(), columns.mean()) == pytest.approx((HEIGHT / 2, WIDTH / 2), abs=1.5)
    assert np.ptp(columns) == pytest.approx(2 * 2 * 40, abs=3)


@pytest.mark.parametrize(
    ("package", "file", "message"),
    [
        ("no_such_package", "a.jpg", "a photograph of no_such_package, which is not installed"),
        ("skimage", "data/no.png", "no.png: not a readable photograph"),
        ("skimage", "__init__.py", "__init__.py: not a readable photograph"),
    ],
)
def test_a_missing_photograph_is_one_clear_line(tmp_path, monkeypatch, package, file, message):
    view = CameraView(1, 1, 1)
    monkeypatch.setattr(module, "SCENES", (Scene(package, file, view, view),))
    with pytest.raises(ClipError, match=message):
        write_demo(tmp_path / "demo.mp4")
    assert not list(tmp_path.iterdir())


def test_the_demo_finds_the_cat_and_the_people_with_the_shipped_models(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["tag", "--demo", "--out", str(out), "--no-cache", "--json"]) == console.DONE
    printed, err = capsys.readouterr()
    check_demo(json.loads(printed))
    files = sorted(path.name for path in out.iterdir())
    assert files == ["demo.annotated.mp4", "demo.mp4"]
    assert all(str(out / name) in err for name in files)


def test_the_demo_finds_the_cat_and_the_people_with_a_pt_detector(yolo, yolo_gates_file, heads, tmp_path, capsys):
    command = ["--out", str(tmp_path / "demo"), "--no-cache", "--json", "--look-every", "1", "--device", "cpu"]
    stages = ["--detector", str(yolo), "--thresholds", str(yolo_gates_file), "--heads", str(heads)]
    assert main(["tag", "--demo", *command, *stages]) == console.DONE
    check_demo(json.loads(capsys.readouterr().out))


def check_demo(row):
    assert {name for name, actor in row["actors"].items() if actor["present"]} == {"person", "cat"}
    assert row["actors"]["cat"]["presence"] == pytest.approx(1 / len(SCENES), abs=0.08)
