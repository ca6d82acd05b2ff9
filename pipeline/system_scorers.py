"""What tags and scores by the name or the file that a user gives: a trained system, an ensemble, or the two stages."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from inference.devices import find_device
from pipeline.cached_detector import DetectedClip, UnreadableClip
from pipeline.config import TaggerConfig
from pipeline.known_systems import find_system_file
from pipeline.tagger import ActorActionTagger
from rivals.ensemble import load_scorer
from rivals.frames import ClipInfo
from rivals.prediction import LabelScorer

TWO_STAGE = "two_stage"


@dataclass(frozen=True)
class TwoStageScorer:
    """The two stages as `rivals.prediction.LabelScorer`: a member of an ensemble.

    The gates decide which actors are in the clip, from all of its frames; the labels of others have the probability 0.

    Attributes:
        tagger: Both stages.
    """

    tagger: ActorActionTagger

    @property
    def name(self) -> str:
        """Name of the system."""
        return TWO_STAGE

    @cached_property
    def sha256(self) -> str:
        """Of the SHA-256 of all files that determine a result."""
        return hashlib.sha256(json.dumps(asdict(self.tagger.weights), sort_keys=True).encode()).hexdigest()

    @property
    def threshold(self) -> float:
        """Probability from which a label is said, in [0, 1]."""
        return self.tagger.config.moment_threshold

    def describe(self) -> str:
        """Describe in one line what is used."""
        return self.tagger.describe_weights()

    def score(self, info: ClipInfo, moments: Sequence[int]) -> NDArray[np.float32]:
        """Return the probability of every label at some frames of a clip, see `LabelScorer`."""
        detected, taxonomy = self._detect(info.clip), self.tagger.taxonomy
        present = self.tagger.decide_presence(detected.detections).present
        frames = {actor.name: tuple(moments) for actor in taxonomy.actors if present[actor.index]}
        found = np.zeros((len(moments), len(taxonomy.labels)), dtype=np.float32)
        for name, predictions in self.tagger.predict_actions(detected, frames).items():
            found[:, taxonomy.actor(name).label_indices] = predictions.probabilities
        return found

    def _detect(self, clip: Path) -> DetectedClip:
        """Run stage 1 on a clip, unless its detections are cached."""
        (detected,) = self.tagger.detector.detect_all([clip])
        if isinstance(detected, UnreadableClip):
            raise detected.error
        return detected


def open_two_stages(config: TaggerConfig) -> TwoStageScorer:
    """Load both stages with the settings of a configuration.

    Raises:
        UserError: If something that it names is missing or wrong.
    """
    return TwoStageScorer(ActorActionTagger.from_config(replace(config, system=None)))


def open_scorer(name_or_file: str, taxonomy: Taxonomy, config: TaggerConfig) -> LabelScorer:
    """Load what a user names.

    Args:
        name_or_file: `two_stage`, another system's name, or a file.
        taxonomy: Whose labels it must have.
        config: The device, and the settings of the two stages.

    Raises:
        UserError: If its file is missing or wrong, or has other labels than the taxonomy.
    """

    def others(member: str) -> LabelScorer | None:
        return open_two_stages(config) if member == TWO_STAGE else None

    if scorer := others(name_or_file):
        return scorer
    return load_scorer(find_system_file(name_or_file), taxonomy, find_device(config.device), others)
