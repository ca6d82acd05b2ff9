"""The whole pipeline on real clips, with real weights, through its Python interface."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_a2d import write_pngs

from action_heads.checkpoint import head_path
from action_heads.label_decision import to_probabilities
from common.errors import CheckpointError, ClipError, DetectorError, GatesError
from experiments.logits import to_logits
from pipeline import tagger as module
from pipeline.results import ClipResult
from pipeline.tagger import ActorActionTagger
from pipeline.visualization.text_report import format_result
from thresholds.gates import PAPER_GATES_FILE, load_gates, save_gates
from video.clips import read_frames

DOG = "dog-walking__ground-a-video-dog-walking.mp4"  # a man walks a dog: both in all 8 frames


@pytest.fixture
def tagger(config):
    return ActorActionTagger.from_config(config)


def test_a_real_clip_is_tagged_with_its_reasons(tagger, kit, taxonomy):
    result = tagger.tag(kit / "clips" / DOG)
    assert (result.status, result.error, result.frames) == ("ok", None, 8)
    assert list(result.actors) == list(taxonomy.actor_names)
    assert {name for name, actor in result.actors.items() if actor.present} == {"person", "dog"}
    dog = result.actors["dog"]
    assert (dog.presence, dog.gate, dog.margin) == (1.0, 0.1, 0.9)
    assert len(dog.frames) == 2
    assert set(result.scores) == {*taxonomy.actor("person").label_names, *taxonomy.actor("dog").label_names}
    said = [label.label for label in result.labels]
    assert {taxonomy.label(name).actor for name in said} == {"person", "dog"}
    assert all(label.id == taxonomy.label(label.label).id for label in result.labels)
    assert all(label.score == result.scores[label.label] for label in result.labels)
    assert len(result.weights.detector) == len(result.weights.thresholds) == 64
    assert set(result.weights.heads) == set(taxonomy.actor_names)


def test_a_score_is_the_mean_of_what_the_head_says_of_the_frames_looked_at(tagger, kit, taxonomy):
    clip = kit / "clips" / DOG
    result = tagger.tag(clip)
    frames = np.concatenate([batch.images for batch in read_frames(clip)])
    looked_at = list(result.actors["dog"].frames)
    boxes = tagger.detector.detect(clip).detections.best_boxes(taxonomy.actor("dog").index, looked_at)
    expected = to_probabilities(to_logits(tagger.heads.predict("dog", frames[looked_at], boxes)).mean(axis=0))
    whole = to_probabilities(to_logits(tagger.heads.predict("dog", frames[looked_at])).mean(axis=0))
    assert np.abs(whole - expected).max() > 1e-3, "this head was trained on crops"
    found = [result.scores[name] for name in taxonomy.actor("dog").label_names]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_second_run_spares_the_detector_and_says_the_same(tagger, config, kit):
    first = tagger.tag(kit / "clips" / DOG).to_dict()
    again = ActorActionTagger.from_config(config)
    second = again.tag(kit / "clips" / DOG).to_dict()
    assert second.pop("timing")["detections_from_cache"] is True
    first.pop("timing")
    assert first == second
    assert "model" not in vars(again.detector), "the detector was loaded though everything was in the cache"


def test_a_gate_decides_and_the_nearest_miss_is_named(config, kit, tmp_path, taxonomy):
    gates = load_gates(config.thresholds)
    values = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 1.0])
    path = tmp_path / "strict.yaml"
    save_gates(replace(gates, values=values), path)
    clip = kit / "clips" / "dog-none__williamyang1991-dog.mp4"  # the dog is in 92 % of the frames
    result = ActorActionTagger.from_config(replace(config, thresholds=path)).tag(clip)
    assert not result.actors["dog"].present
    assert result.nearest_miss == "dog"
    assert result.actors["dog"].margin == pytest.approx(result.actors["dog"].presence - 1.0)
    assert not any(label.startswith("dog-") for label in result.scores)
    assert "nearest miss: dog, in 92" in format_result(result, taxonomy, 0.5)


def test_an_actor_is_present_when_its_ratio_equals_its_gate(config, kit, tmp_path):
    path = tmp_path / "one.yaml"
    save_gates(replace(load_gates(config.thresholds), values=np.ones(6)), path)
    result = ActorActionTagger.from_config(replace(config, thresholds=path)).tag(kit / "clips" / DOG)
    assert result.actors["dog"].present


def test_a_folder_of_frames_is_a_clip(tagger, tmp_path, kit):
    frames = np.concatenate([batch.images for batch in read_frames(kit / "clips" / DOG)])
    write_pngs(tmp_path, frames)
    result = tagger.tag(tmp_path)
    assert (result.status, result.frames) == ("ok", 8)
    assert result.actors["dog"].present


def test_a_clip_that_breaks_off_is_tagged_as_far_as_it_goes(tagger, tmp_path, kit):
    write_pngs(tmp_path, np.concatenate([batch.images for batch in read_frames(kit / "clips" / DOG)]))
    (tmp_path / "00008.png").write_bytes(b"damaged")
    result = tagger.tag(tmp_path)
    assert (result.status, result.frames) == ("truncated", 7)
    assert "00008.png cannot be read" in str(result.error)
    assert str(tmp_path) not in str(result.error), "detections are kept by contents, whatever the clip is called"
    assert result.labels


@pytest.mark.parametrize("name", [DOG, "cat-none__yrcong-puff.mp4"])
def test_a_clip_is_decoded_once(config, kit, monkeypatch, name):
    decoded_again = []
    read = module.read_frames_at
    monkeypatch.setattr(
        module, "read_frames_at", lambda clip, frames, *own: decoded_again.extend(frames) or read(clip, frames, *own)
    )
    tagger = ActorActionTagger.from_config(replace(config, cache=None))
    result = tagger.tag(kit / "clips" / name)
    assert result.scores
    assert not decoded_again
    (detected,) = tagger.detector.detect_all([kit / "clips" / name])
    again = tagger.look_at_actors(detected, tagger.choose_frames(detected.detections))
    assert tagger.score_actions(again) == pytest.approx(result.scores, abs=1e-4)
    assert decoded_again


def test_what_is_said_is_said_of_a_time(tagger, kit):
    result = tagger.tag(kit / "clips" / "cat-none__yrcong-puff.mp4")
    assert result.labels
    for label in result.labels:
        actor = tagger.taxonomy.label(label.label).actor
        line = result.timeline[actor]
        assert len(line.seconds) == len(line.scores[label.label]) == len(result.actors[actor].frames)
        together = to_probabilities(to_logits(np.array(line.scores[label.label])).mean())
        assert together == pytest.approx(label.score, abs=5e-3)
        assert label.segments
        for start, end in label.segments:
            assert 0 <= start < end <= result.duration_seconds
    assert ClipResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.mp4", None, "no such file"),
        ("text.mp4", b"not a video, sorry\n" * 50, "not a video|no video"),
        ("empty.mp4", b"", "not a video|no frame"),
    ],
)
def test_what_is_no_video_gets_a_row_with_the_reason(tagger, tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClipError, match=reason):
        tagger.tag(path)
    (result,) = (tagged.result for tagged in tagger.tag_all([path]))
    assert result.status == "error"
    assert name in str(result.error)
    assert ClipResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_gates_of_another_detector_are_refused_unless_forced(config):
    other = replace(config, thresholds=PAPER_GATES_FILE)
    with pytest.raises(GatesError, match=r"paper.yaml: .*yolov3.*--force"):
        ActorActionTagger.from_config(other)
    forced = ActorActionTagger.from_config(replace(other, force=True))
    assert forced.gates.values.tolist() == [0.1, 0.107, 0.1, 0.1, 0.161, 0.267]


@pytest.mark.parametrize("change", [{"image_size": 320}, {"confidence": 0.4}], ids=str)
def test_gates_of_other_settings_are_refused(config, change):
    with pytest.raises(GatesError, match="at image size 224, confidence 0.5"):
        ActorActionTagger.from_config(replace(config, **change))


def test_missing_parts_are_named(config, tmp_path):
    with pytest.raises(CheckpointError, match="no head for person, ball, bird, car, cat, dog; train each with"):
        ActorActionTagger.from_config(replace(config, heads=tmp_path))
    with pytest.raises(DetectorError, match=r"detector 'no.pt': no such file .known names: embedded, yolo26n"):
        ActorActionTagger.from_config(replace(config, detector="no.pt"))
    with pytest.raises(GatesError, match="no such file"):
        ActorActionTagger.from_config(replace(config, thresholds=tmp_path / "no.yaml"))


def test_a_head_in_the_wrong_place_is_refused(config, heads, tmp_path):
    for path in heads.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    head_path(tmp_path, "cat").unlink()
    head_path(tmp_path, "cat").symlink_to(head_path(heads, "dog"))
    with pytest.raises(CheckpointError, match="cat.safetensors: the file's actor is 'dog', this run requires 'cat'"):
        ActorActionTagger.from_config(replace(config, heads=tmp_path))
