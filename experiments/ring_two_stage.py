"""The ring's rows of the two stages: as shipped, with heads that were trained on the ring's clips, and as published."""

from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np

from action_heads.backbones import find_backbone
from action_heads.checkpoint import find_heads, find_trunk, read_manifest
from action_heads.input_kinds import BOTH, WHOLE_FRAME
from action_heads.model import load_trunk
from action_heads.training.recipes import DEFAULT, PAPER, adjust_recipe
from action_heads.tuning_modes import ALL, CLASSIFIER
from common.errors import TrainingError
from common.paths import cache_folder
from experiments.ring_rows import TRAIN, Ring, Row, count_numbers
from pipeline.__main__ import main as actor_action
from pipeline.cached_detector import CachedDetector
from pipeline.config import NO_CONFIRMATION, TaggerConfig
from pipeline.evaluation.split_scoring import predict_split
from pipeline.known_heads import EMBEDDED_HEADS
from pipeline.system_scorers import TWO_STAGE
from pipeline.tagger import ActorActionTagger
from pipeline.training.head_training import HeadTrainingPlan, retrain_head
from rivals.small import BACKBONE

PUBLISHED_F1 = 0.463
TITLE = "YOLO detector, gates tuned by particle swarm, six action heads"
SAME_CLIPS, PUBLISHED = f"{TWO_STAGE}, same clips", f"{TWO_STAGE}, published"
SIZE, CONFIDENCE = 224, 0.5  # published
PROBABILITY = 0.5  # of a label, by the sigmoid that the report reads its networks out with; it names no other


def shipped_row(ring: Ring) -> Row:
    """Score the two stages as they are shipped. Their detector and heads have seen more than the ring's clips."""
    config = TaggerConfig(device=ring.device)
    return _score(TWO_STAGE, config, "as shipped: more clips' frames and stills", None, ring)


def same_clips_row(ring: Ring) -> Row:
    """Train the heads on the ring's clips alone, and score them behind the shipped detector and gates."""
    config = TaggerConfig(device=ring.device, heads=ring.work / "heads")
    seconds = _train_heads(config, paper=False, ring=ring)
    return _score(SAME_CLIPS, config, "heads: last layers, frame and crop", seconds, ring)


def published_row(ring: Ring, yolo: str) -> Row:
    """Train heads and gates on the ring's clips as published, on the boxes of a YOLO, and score them.

    The heads start from the same trunk as the ring's other systems, and are shown each clip as often.

    Args:
        ring: Has the clips.
        yolo: Detector that Ultralytics loads: a name or a file.
    """
    gates = ring.work / "published_gates.yaml"
    config = TaggerConfig(
        detector=yolo,
        image_size=SIZE,
        confidence=CONFIDENCE,
        confirmation=NO_CONFIRMATION,
        device=ring.device,
        heads=ring.work / "published_heads",
        label_threshold=PROBABILITY,
    )
    command = ["tune-thresholds", "--data", str(ring.data), "--split", TRAIN, "--published", "--out", str(gates)]
    options = ["--detector", yolo, "--confirmation", NO_CONFIRMATION, "--seed", str(ring.seed)]
    if not gates.is_file() and actor_action([*command, *options, "--device", ring.device]):
        raise TrainingError(f"{gates}: the gates could not be tuned")
    seconds = _train_heads(config, paper=True, ring=ring)
    name = Path(yolo).stem
    return _score(PUBLISHED, replace(config, thresholds=gates), f"{name}; heads: all layers, frame", seconds, ring)


def _train_heads(config: TaggerConfig, *, paper: bool, ring: Ring) -> float:
    """Train all heads, and return the seconds, with reading the frames, without detecting, which is done before."""
    detector = CachedDetector.from_config(replace(config, cache=cache_folder()), ring.taxonomy)
    samples = [example.sample for example in ring.train.examples]
    for clip in ring.progress([sample.clip for sample in samples], "detecting", "clip"):
        detector.detect(clip)
    labels = np.stack([ring.taxonomy.encode(sample.labels) for sample in samples])
    shown = ring.taxonomy.actors_of(labels).sum(axis=0)
    started = monotonic()
    for actor in (actor for actor in ring.taxonomy.actors if shown[actor.index]):
        plan = HeadTrainingPlan(
            actor=actor,
            data=ring.data,
            split=TRAIN,
            held_out=None,
            out=config.heads,
            trunk=load_trunk("embedded", find_backbone(BACKBONE)),
            tuning_mode=ALL if paper else CLASSIFIER,
            input_kind=WHOLE_FRAME if paper else BOTH,
            recipe=adjust_recipe(PAPER, epochs=ring.epochs) if paper else DEFAULT,
            sample_every_seconds=config.sample_every_seconds,
            seed=ring.seed,
            device=ring.device,
            cache=None,
            strict=True,
        )
        retrain_head(plan, ring.taxonomy, detector, ring.progress)
    return monotonic() - started


def _score(name: str, config: TaggerConfig, training: str, seconds: float | None, ring: Ring) -> Row:
    tagger = ActorActionTagger.from_config(config)  # without cached detections
    return Row(
        name=name,
        title=TITLE,
        published_f1=PUBLISHED_F1,
        training=training,
        parameters=_count_parameters(tagger),
        training_seconds=seconds,
        train_f1=None,
        **ring.measure(lambda: predict_split(tagger, ring.test, progress=ring.progress, strict=True)),
    )


def _count_parameters(tagger: ActorActionTagger) -> int:
    files = set(find_heads(tagger.config.heads, tagger.taxonomy, EMBEDDED_HEADS).values())
    manifests = {head: read_manifest(head) for head in files}
    files |= {find_trunk(head, manifest) for head, manifest in manifests.items() if manifest.needs_trunk}
    if tagger.detector.confirmer:
        files.add(tagger.detector.confirmer.path)
    detector = tagger.detector.model.network.build()
    return sum(parameter.numel() for parameter in detector.parameters()) + count_numbers(sorted(files))
