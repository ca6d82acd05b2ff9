"""The whole pipeline on clips with people and a cat, through its Python interface."""

import json
from dataclasses import replace

import numpy as np
import photo_clips
import pytest
from fake_a2d import write_pngs
from head_probe import predict_images

from action_heads.checkpoint import head_path
from action_heads.label_decision import to_probabilities
from action_heads.prediction import ActionHeads
from actor_detector.motion.features import motion_features
from common.errors import CheckpointError, ClipError, DetectorError, GatesError
from experiments.logits import to_logits
from pipeline import streaming_heads
from pipeline.results import ClipResult
from pipeline.tagger import ActorActionTagger
from pipeline.visualization.demo_clip import WIDTH
from pipeline.visualization.text_report import format_result
from thresholds.gates import PAPER_GATES_FILE, load_gates, save_gates
from video.clips import read_frames

DOG = "dog-walking__ground-a-video-dog-walking.mp4"  # a clip of the kit: a man walks a dog, both in all 8 frames


@pytest.fixture
def tagger(config):
    return ActorActionTagger.from_config(config)


@pytest.fixture
def images(people_and_cat_clip):
    return np.concatenate([batch.images for batch in read_frames(people_and_cat_clip)])


@pytest.mark.parametrize(
    ("clip", "present"),
    [("people_clip", {"person"}), ("cat_clip", {"cat"}), ("people_and_cat_clip", {"person", "cat"})],
)
def test_embedded_detector_finds_the_actors_in_nearly_every_frame(tagger, taxonomy, request, clip, present):
    detections = tagger.detector.detect(request.getfixturevalue(clip)).detections
    assert (detections.frames, detections.duration_seconds) == (photo_clips.FRAMES, 2.0)
    ratios = dict(zip(taxonomy.actor_names, detections.presence_ratios(len(taxonomy.actors)), strict=True))
    assert {name for name, ratio in ratios.items() if ratio} == set(present)
    assert all(ratios[name] > 0.8 for name in present)


def test_tag_returns_the_labels_with_their_evidence(tagger, people_and_cat_clip, taxonomy):
    check_result(tagger.tag(people_and_cat_clip), taxonomy, {"person", "cat"})


def test_tag_with_a_pt_detector(config, yolo, yolo_gates_file, kit, taxonomy):
    tagger = ActorActionTagger.from_config(replace(config, detector=str(yolo), thresholds=yolo_gates_file))
    check_result(tagger.tag(kit / "clips" / DOG), taxonomy, {"person", "dog"})


def check_result(result, taxonomy, present):
    """Check the result of a clip of 8 frames and 2 intervals that shows some actors in all of its frames."""
    assert (result.status, result.error, result.frames) == ("ok", None, 8)
    assert list(result.actors) == list(taxonomy.actor_names)
    assert {name for name, actor in result.actors.items() if actor.present} == present
    for name in present:
        evidence = result.actors[name]
        assert (evidence.presence, evidence.gate, evidence.margin) == (1.0, 0.1, 0.9)
        assert len(evidence.frames) == 2
    assert set(result.scores) == {label for name in present for label in taxonomy.actor(name).label_names}
    predicted = [label.label for label in result.labels]
    assert {taxonomy.label(name).actor for name in predicted} == present
    assert all(label.id == taxonomy.label(label.label).id for label in result.labels)
    assert all(label.score == result.scores[label.label] for label in result.labels)
    assert len(result.weights.detector) == len(result.weights.thresholds) == 64
    assert set(result.weights.heads) == set(taxonomy.actor_names)


def test_a_score_is_the_mean_over_the_sampled_frames(tagger, people_and_cat_clip, images, taxonomy):
    result = tagger.tag(people_and_cat_clip)
    sampled = list(result.actors["cat"].frames)
    boxes = tagger.detector.detect(people_and_cat_clip).detections.best_boxes(taxonomy.actor("cat").index, sampled)
    expected, whole = (
        to_probabilities(to_logits(predict_images(tagger.heads, "cat", images[sampled], given)).mean(axis=0))
        for given in (boxes, None)
    )
    assert np.abs(whole - expected).max() > 1e-3, "this head is given crops"
    found = [result.scores[name] for name in taxonomy.actor("cat").label_names]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_second_run_uses_the_cache_and_gives_the_same_result(tagger, config, people_and_cat_clip):
    first = tagger.tag(people_and_cat_clip).to_dict()
    again = ActorActionTagger.from_config(config)
    second = again.tag(people_and_cat_clip).to_dict()
    assert second.pop("timing")["detections_from_cache"] is True
    first.pop("timing")
    assert first == second
    assert "model" not in vars(again.detector), "the detector was loaded although everything was cached"


def test_an_actor_below_its_gate_is_the_nearest_miss(config, images, tmp_path, taxonomy):
    values = np.array([0.1, 0.1, 0.1, 0.1, 1.0, 0.1])
    save_gates(replace(load_gates(config.thresholds), values=values), tmp_path / "strict.yaml")
    images[-1, :, WIDTH // 2 :] = 0
    clip = photo_clips.write_frames(tmp_path / "clip.mp4", images)
    result = ActorActionTagger.from_config(replace(config, thresholds=tmp_path / "strict.yaml")).tag(clip)
    assert not result.actors["cat"].present
    assert result.nearest_miss == "cat"
    assert result.actors["cat"].presence == 0.875
    assert result.actors["cat"].margin == -0.125
    assert not any(label.startswith("cat-") for label in result.scores)
    assert "nearest miss: cat, in 87.5" in format_result(result, taxonomy, 0.5)


def test_an_actor_is_present_when_its_ratio_equals_its_gate(config, cat_clip, tmp_path):
    path = tmp_path / "equal.yaml"
    presence = ActorActionTagger.from_config(config).tag(cat_clip).actors["cat"].presence
    save_gates(replace(load_gates(config.thresholds), values=np.full(6, presence)), path)
    result = ActorActionTagger.from_config(replace(config, thresholds=path)).tag(cat_clip)
    assert result.actors["cat"].present


def test_a_folder_of_frames_is_a_clip(tagger, tmp_path, images):
    result = tagger.tag(write_pngs(tmp_path, images))
    assert (result.status, result.frames) == ("ok", 8)
    assert result.actors["cat"].present


def test_a_truncated_clip_is_tagged_as_far_as_it_can_be_decoded(tagger, tmp_path, images):
    write_pngs(tmp_path, images)
    (tmp_path / "00008.png").write_bytes(b"damaged")
    result = tagger.tag(tmp_path)
    assert (result.status, result.frames) == ("truncated", 7)
    assert "00008.png cannot be read" in str(result.error)
    assert str(tmp_path) not in str(result.error), "detections are cached by contents, whatever the clip's path"
    assert result.labels


@pytest.mark.parametrize("repeats", [1, 3], ids=["one batch", "several batches"])
def test_a_clip_is_decoded_once(config, monkeypatch, images, tmp_path, repeats):
    clip = photo_clips.write_frames(tmp_path / "clip.mp4", np.tile(images, (repeats, 1, 1, 1)))
    decoded_again = []
    read = streaming_heads.read_frames_at

    def read_again(clip, frames, *rest):
        decoded_again.extend(frames)
        return read(clip, frames, *rest)

    monkeypatch.setattr(streaming_heads, "read_frames_at", read_again)
    tagger = ActorActionTagger.from_config(replace(config, cache=None))
    result = tagger.tag(clip)
    assert result.scores
    assert not decoded_again
    detected = tagger.detector.detect(clip)
    frames = tagger.sample_frames(detected.detections, tagger.decide_presence(detected.detections))
    again = tagger.predict_actions(detected, frames)
    assert tagger.score_labels(again) == pytest.approx(result.scores, abs=1e-4)
    assert decoded_again


def test_detect_gives_the_heads_their_frames_unless_the_detections_are_cached(config, people_and_cat_clip, tmp_path):
    config = replace(config, cache=tmp_path)
    ((detected, streamed),) = ActorActionTagger.from_config(config).detect([people_and_cat_clip])
    assert not detected.from_cache
    assert set(streamed.predictions()) == {"person", "cat"}
    ((detected, streamed),) = ActorActionTagger.from_config(config).detect([people_and_cat_clip])
    assert detected.from_cache
    assert streamed.predictions() == {}


def test_heads_receive_the_motion_of_their_actor(tagger, people_and_cat_clip, taxonomy, monkeypatch):
    given = {}

    def add_motion(self, actor_name, logits, motion):
        given[actor_name] = motion
        return logits + np.float32(0.5)

    usual = tagger.tag(people_and_cat_clip)
    assert not any(tagger.heads.uses_motion(name) for name in tagger.heads.paths)
    monkeypatch.setattr(ActionHeads, "uses_motion", lambda self, actor_name: True)
    monkeypatch.setattr(ActionHeads, "add_motion", add_motion)
    moved = tagger.tag(people_and_cat_clip)
    assert set(given) == {"person", "cat"}
    detections = tagger.detector.detect(people_and_cat_clip).detections
    for name, motion in given.items():
        actor = taxonomy.actor(name)
        np.testing.assert_array_equal(motion, motion_features(detections, actor.index))
        before, after = (np.array([result.scores[label] for label in actor.label_names]) for result in (usual, moved))
        np.testing.assert_allclose(after, to_probabilities(to_logits(before) + 0.5), atol=5e-4)


def test_labels_have_a_timeline_and_segments(tagger, people_and_cat_clip):
    result = tagger.tag(people_and_cat_clip)
    assert {tagger.taxonomy.label(label.label).actor for label in result.labels} == {"person", "cat"}
    for label in result.labels:
        actor = tagger.taxonomy.label(label.label).actor
        timeline = result.timeline[actor]
        assert len(timeline.seconds) == len(timeline.scores[label.label]) == len(result.actors[actor].frames)
        pooled = to_probabilities(to_logits(np.array(timeline.scores[label.label])).mean())
        assert pooled == pytest.approx(label.score, abs=5e-3)
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
def test_an_unreadable_clip_has_a_result_with_the_reason(tagger, tmp_path, name, content, reason):
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


@pytest.mark.parametrize("change", [{"image_size": 224}, {"confidence": 0.5}], ids=str)
def test_gates_of_other_settings_are_refused(config, change):
    with pytest.raises(GatesError, match="at image size 320, confidence 0.4"):
        ActorActionTagger.from_config(replace(config, **change))


def test_settings_contain_everything_else_that_determines_a_result(config, tmp_path):
    taxonomy = tmp_path / "taxonomy.yaml"
    taxonomy.write_text(config.taxonomy.read_text() + "# a comment\n")
    config = replace(config, force=True, backend="openvino")
    changes = {
        "image_size": 224,
        "confidence": 0.3,
        "sample_every_seconds": 0.25,
        "label_threshold": 0.1,
        "stride": 2,
        "reuse_below": 1.0,
        "loop_filter": False,
        "backend": "torch",
        "taxonomy": taxonomy,
    }
    usual = ActorActionTagger.from_config(config).settings
    assert usual["label_threshold"] == "auto"
    assert ActorActionTagger.from_config(replace(config, batch_size=3)).settings == usual
    for name, value in changes.items():
        assert ActorActionTagger.from_config(replace(config, **{name: value})).settings != usual, name


def test_missing_files_are_named(config, tmp_path):
    with pytest.raises(CheckpointError, match="no head for person, ball, bird, car, cat, dog; train each with"):
        ActorActionTagger.from_config(replace(config, heads=tmp_path))
    with pytest.raises(DetectorError, match=r"detector 'no.pt': no such file .known names: embedded, yolo26n"):
        ActorActionTagger.from_config(replace(config, detector="no.pt"))
    with pytest.raises(GatesError, match="no such file"):
        ActorActionTagger.from_config(replace(config, thresholds=tmp_path / "no.yaml"))


def test_a_head_of_another_actor_is_refused(config, heads, tmp_path):
    for path in heads.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    head_path(tmp_path, "cat").unlink()
    head_path(tmp_path, "cat").symlink_to(head_path(heads, "dog"))
    with pytest.raises(CheckpointError, match="cat.safetensors: the file's actor is 'dog', this run requires 'cat'"):
        ActorActionTagger.from_config(replace(config, heads=tmp_path))
