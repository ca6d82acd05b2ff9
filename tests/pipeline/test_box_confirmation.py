"""Confirmation of boxes between detector and gates: what is dropped, cached, and recorded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import photo_clips
import pytest

from action_heads.backbones import find_backbone
from action_heads.confirmation import (
    DIGEST_LENGTH,
    ConfirmationLayers,
    ConfirmationManifest,
    load_confirmation,
    save_confirmation,
)
from action_heads.model import load_trunk
from actor_detector.detections import ClipDetections
from common.errors import GatesError
from common.files import sha256_file
from pipeline import ActorActionTagger, TaggerConfig
from pipeline.__main__ import main
from pipeline.box_confirmation import BoxJudgements, JudgementCache, drop_unconfirmed, unjudged_frames
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console
from pipeline.config import EMBEDDED_CONFIRMATION, NO_CONFIRMATION
from thresholds.gates import load_gates, save_gates
from video.clips import clip_sha256

CAT, DOG = 4, 5
YES, NO = 1000.0, -1000.0


def detections_of(*boxes: tuple[int, int]) -> ClipDetections:
    """Detections in ten frames, four a second, with boxes given as frame and actor."""
    row, actor = np.array(boxes, np.int64).reshape(-1, 2).T
    return ClipDetections(
        frame_index=np.arange(10),
        time_seconds=np.arange(10) / 4,
        frame_row=row,
        boxes=np.zeros((len(row), 4), np.float32),
        confidence=np.ones(len(row), np.float32),
        actor_index=actor,
        duration_seconds=2.5,
    )


def judged(*rows: tuple[int, float, float]) -> BoxJudgements:
    """Judgements of two layers, from rows of frame and logits."""
    table = np.array(rows).reshape(-1, 3)
    return BoxJudgements(table[:, 0].astype(np.int64), table[:, 1:].astype(np.float32))


def frames_by_actor(detections: ClipDetections) -> list[tuple[int, int]]:
    return list(zip(detections.frame_row.tolist(), detections.actor_index.tolist(), strict=True))


def test_the_first_judged_frame_of_an_interval_decides():
    boxes = [(frame, CAT) for frame in range(6)]
    kept = drop_unconfirmed(detections_of(*boxes), {CAT: judged((0, NO, YES), (1, YES, NO), (2, YES, NO))}, 0, 0.5)
    assert frames_by_actor(kept) == [(frame, CAT) for frame in range(2, 6)]
    kept = drop_unconfirmed(detections_of(*boxes), {CAT: judged((0, NO, YES), (1, YES, NO), (2, YES, NO))}, 1, 0.5)
    assert frames_by_actor(kept) == [(0, CAT), (1, CAT), (4, CAT), (5, CAT)]


def test_all_boxes_of_an_actor_in_a_doubtful_interval_are_dropped():
    boxes = [(0, CAT), (1, CAT), (1, DOG), (2, CAT), (3, CAT), (4, CAT), (6, DOG)]
    judgements = {CAT: judged((0, 1, -1), (2, -1, 1), (4, 0.1, 0))}
    detections = detections_of(*boxes)
    by_first = drop_unconfirmed(detections, judgements, 0, every_seconds=0.5)
    assert frames_by_actor(by_first) == [(0, CAT), (1, CAT), (1, DOG), (4, CAT), (6, DOG)]
    by_second = drop_unconfirmed(detections, judgements, 1, every_seconds=0.5)
    assert frames_by_actor(by_second) == [(1, DOG), (2, CAT), (3, CAT), (6, DOG)]
    assert by_first.frames == detections.frames, "frames still count"
    assert by_first.presence_ratios(6)[CAT] == pytest.approx(0.3)


def test_without_judgements_all_boxes_remain():
    detections = detections_of((0, CAT), (5, DOG))
    assert frames_by_actor(drop_unconfirmed(detections, {}, 0, 0.5)) == [(0, CAT), (5, DOG)]
    nothing = drop_unconfirmed(detections_of(), {CAT: judged()}, 0, 0.5)
    assert len(nothing.boxes) == 0


def test_the_first_frame_that_shows_an_actor_in_an_interval_without_judgement_is_to_be_judged():
    detections = detections_of(*((frame, CAT) for frame in (1, 2, 3, 4, 9)))  # at 0.25 to 1, and at 2.25 seconds
    assert unjudged_frames(detections, CAT, None, 1.0).tolist() == [1, 4, 9]
    assert unjudged_frames(detections, CAT, judged((2, YES, YES), (9, NO, NO)), 1.0).tolist() == [4]
    assert unjudged_frames(detections, DOG, None, 1.0).tolist() == []


def test_judgements_are_cached(tmp_path):
    cache = JudgementCache(tmp_path)
    cache.save("ab" * 32, {CAT: judged((3, 0.25, -7)), DOG: judged((0, 1, 2), (70_000, 3, 4))}, layers=2)
    found = cache.load("ab" * 32, layers=2)
    assert found is not None
    assert found[DOG].frame_index.tolist() == [0, 70_000]
    assert found[CAT].logits.tolist() == [[0.25, -7]]
    assert cache.load("ab" * 32, layers=3) is None, "of other layers"
    assert cache.load("cd" * 32, layers=2) is None
    cache.save("ef" * 32, {}, layers=2)
    assert cache.load("ef" * 32, layers=2) == {}, "nothing was there to judge, which is known"
    assert JudgementCache(None).load("ab" * 32, layers=2) is None


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"x" * 1000])
def test_damaged_judgements_count_as_absent(tmp_path, content):
    cache = JudgementCache(tmp_path)
    cache.save("ab" * 32, {CAT: judged((3, 0.25, -7))}, layers=2)
    (path,) = tmp_path.rglob("*.npy")
    path.write_bytes(content)
    assert cache.load("ab" * 32, layers=2) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_impossible_judgements_count_as_absent(tmp_path, value):
    cache = JudgementCache(tmp_path)
    cache.save("ab" * 32, {CAT: judged((3, 0.25, -7))}, layers=2)
    (path,) = tmp_path.rglob("*.npy")
    table = np.load(path)
    table[0, 1] = value
    np.save(path, table)
    assert cache.load("ab" * 32, layers=2) is None


@pytest.fixture
def write_layers(tmp_path, taxonomy):
    """Write layers that give each actor a constant logit, 0 for those that are not named; returns the file."""
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))

    def write(*logits_by_layer: dict[str, float], part_of_clip: dict[str, int] | None = None, noise=0.0) -> Path:
        names = taxonomy.actor_names
        bias = np.float32([[logits.get(name, 0) for name in names] for logits in logits_by_layer])
        weight = np.random.default_rng(0).normal(size=(*bias.shape, 1280)).astype(np.float32) * np.float32(noise)
        parts = {digest[:DIGEST_LENGTH]: part for digest, part in (part_of_clip or {}).items()}
        manifest = ConfirmationManifest(
            names, "efficientnet_lite0", trunk.sha256, trunk.preprocessing.to_dict(), parts, {}, {}, {}
        )
        path = tmp_path / f"layers{len(list(tmp_path.iterdir()))}.safetensors"
        save_confirmation(path, ConfirmationLayers(weight, bias), manifest)
        return path

    return write


def detector_with(taxonomy, confirmation: Path | str, cache: Path | None = None, every=0.5) -> CachedDetector:
    config = TaggerConfig(confirmation=str(confirmation), cache=cache, device="cpu", sample_every_seconds=every)
    return CachedDetector.from_config(config, taxonomy)


def test_presence_counts_confirmed_boxes_only(taxonomy, people_and_cat_clip, write_layers, cache):
    def ratios(confirmation):
        detections = detector_with(taxonomy, confirmation, cache).detect(people_and_cat_clip).detections
        return dict(zip(taxonomy.actor_names, detections.presence_ratios(6).tolist(), strict=True))

    all_boxes = ratios(NO_CONFIRMATION)
    assert all_boxes["person"] > 0.5
    assert all_boxes["cat"] > 0.5
    everything = dict.fromkeys(taxonomy.actor_names, YES)
    assert ratios(write_layers(everything)) == all_boxes
    assert ratios(write_layers({**everything, "person": NO})) == {**all_boxes, "person": 0}


def test_boxes_are_confirmed_alike_while_a_clip_is_decoded_and_afterwards(
    taxonomy, people_and_cat_clip, write_layers, tmp_path
):
    layers = write_layers({name: 0.0 for name in taxonomy.actor_names}, noise=1.0)
    cache = tmp_path / "cache"
    decoded = detector_with(taxonomy, layers, cache, every=0.25).detect(people_and_cat_clip)
    judgements = sorted(cache.rglob("*.judged.npy"))
    assert len(judgements) == 1
    before = judgements[0].read_bytes()
    cached = detector_with(taxonomy, layers, cache, every=0.25).detect(people_and_cat_clip)
    judgements[0].unlink()
    judged_again = detector_with(taxonomy, layers, cache, every=0.25).detect(people_and_cat_clip)
    assert judgements[0].read_bytes() == before
    assert (decoded.from_cache, cached.from_cache, judged_again.from_cache) == (False, True, True)
    for other in (cached, judged_again):
        assert other.detections.boxes.tolist() == decoded.detections.boxes.tolist()
    every_box = detector_with(taxonomy, NO_CONFIRMATION, cache).detect(people_and_cat_clip).detections
    assert 0 < len(decoded.detections.boxes) < len(every_box.boxes), "some were confirmed, others were not"


def test_judgements_of_frames_that_the_clip_does_not_have_are_made_again(
    taxonomy, people_and_cat_clip, write_layers, tmp_path
):
    layers = write_layers(dict.fromkeys(taxonomy.actor_names, NO))
    cache = tmp_path / "cache"
    detector_with(taxonomy, layers, cache).detect(people_and_cat_clip)
    (path,) = cache.rglob("*.judged.npy")
    table = np.load(path)
    table[:, 1] += 1000
    np.save(path, table)
    assert len(detector_with(taxonomy, layers, cache).detect(people_and_cat_clip).detections.boxes) == 0


def test_a_clip_of_the_training_data_is_judged_by_the_layers_without_it(
    taxonomy, people_and_cat_clip, cat_clip, write_layers, cache
):
    nothing, everything = (dict.fromkeys(taxonomy.actor_names, logit) for logit in (NO, YES))
    layers = write_layers(nothing, everything, part_of_clip={clip_sha256(cat_clip): 1})
    detector = detector_with(taxonomy, layers, cache)
    assert len(detector.detect(cat_clip).detections.boxes) > 0
    assert len(detector.detect(people_and_cat_clip).detections.boxes) == 0


def test_a_tagger_judges_a_clip_of_the_training_data_like_its_copies(
    taxonomy, gates_file, heads, cat_clip, write_layers, cache
):
    nothing, everything = (dict.fromkeys(taxonomy.actor_names, logit) for logit in (NO, YES))
    layers = write_layers(nothing, everything, part_of_clip={clip_sha256(cat_clip): 1})
    config = TaggerConfig(
        heads=heads, thresholds=gates_file, device="cpu", cache=cache, confirmation=str(layers), force=True
    )
    evidence = ActorActionTagger.from_config(config).tag(cat_clip).actors["cat"]
    assert evidence.presence == 0
    assert evidence.detected is not None
    assert evidence.detected > 0.5


def test_gates_belong_to_the_layers_that_they_were_tuned_with(
    taxonomy, gates_file, heads, people_and_cat_clip, write_layers, cache, tmp_path
):
    nothing = write_layers(dict.fromkeys(taxonomy.actor_names, NO))
    config = TaggerConfig(heads=heads, thresholds=gates_file, device="cpu", cache=cache)
    with pytest.raises(GatesError, match="boxes confirmed by"):
        ActorActionTagger.from_config(replace(config, confirmation=str(nothing)))
    forced = ActorActionTagger.from_config(replace(config, confirmation=str(nothing), force=True))
    assert not any(actor.present for actor in forced.tag(people_and_cat_clip).actors.values())
    assert forced.settings["confirmation"] == sha256_file(nothing)
    plain = ActorActionTagger.from_config(config)
    assert plain.detector.confirmer is None, "the gates were tuned without"
    assert plain.settings["confirmation"] is None
    gates = load_gates(gates_file)
    identity = replace(gates.detector, confirmation=sha256_file(EMBEDDED_CONFIRMATION))
    confirmed = tmp_path / "gates.yaml"
    save_gates(replace(gates, detector=identity), confirmed)
    assert load_gates(confirmed).detector == identity
    assert ActorActionTagger.from_config(replace(config, thresholds=confirmed)).detector.confirmer is not None
    with pytest.raises(GatesError, match="tune gates for it"):
        ActorActionTagger.from_config(replace(config, thresholds=confirmed, confirmation=NO_CONFIRMATION))


def test_default_gates_were_tuned_with_the_embedded_layers():
    assert TaggerConfig().confirmation_file == EMBEDDED_CONFIRMATION
    assert TaggerConfig(detector="some.pt").confirmation_file == EMBEDDED_CONFIRMATION
    assert TaggerConfig(confirmation=NO_CONFIRMATION).confirmation_file is None


def test_command_fits_layers_to_labelled_clips(tmp_path, cache, capsys, taxonomy):
    """Cat boxes in clips that are labelled with a cat or not; people are in no clip."""
    rows = ["file,labels,split,source"]
    for number in range(8):
        clip = photo_clips.write_frames(tmp_path / f"{number}.mp4", photo_clips.pan(photo_clips.CAT, 4 + number))
        rows.append(f"{clip.name},{'cat-none' if number % 2 else 'adult-none'},train,{number}")
    (tmp_path / "bad.mp4").write_text("no video")
    rows.append("bad.mp4,cat-none,train,9")
    data, out = tmp_path / "clips.csv", tmp_path / "layers.safetensors"
    data.write_text("\n".join(rows) + "\n")
    command = ["retrain-confirmation", "--data", str(data), "--out", str(out), "--cache", str(cache)]
    code = main([*command, "--device", "cpu"])
    printed = capsys.readouterr()
    assert code == console.SOME_FAILED
    assert "bad.mp4" in printed.err
    layers, manifest = load_confirmation(out)
    assert manifest.actors == ("cat",)
    assert manifest.scores["cat"]["clips_with"] == manifest.scores["cat"]["clips_without"] == 4
    assert len(manifest.part_of_clip) == 8
    assert len(layers.weight) == 6
    assert "cat" in printed.out
    assert main([*command, "--device", "cpu", "--strict"]) == console.WRONG_USAGE
