"""Looking until sure: stage 1 looks at few frames of a clip, and at more only while a gate's decision is in doubt.

In a first round, the first frame of every interval is looked at of which the heads are given a frame: if it shows the
actor, it is the very frame that the heads and the confirmation layers are given when every frame is looked at. (A frame
drawn at random shows the actor as often, but a box in it may be confirmed where that one is not: with as many looks, a
third more decisions differed.) Then the presence of each actor is estimated with an interval, see
`actor_detector.looks.certainty`; while an interval reaches across its actor's gate, more frames are looked at where the
doubt is. Last, where no look of an interval shows a present actor, though another frame probably would, that one is
looked at for the actor's head. The confirmation layers judge boxes on the way: those of actors that would be absent
whatever they say are not judged, and count.

How wide an interval must be for a chosen error was measured on clips of which every frame is known, and lies in a file
per detector, see `experiments.until_sure`: conformal risk control (Angelopoulos et al., 2022) bounds the expected share
of decisions that differ for further clips like those.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections, FrameBoxes
from actor_detector.looks.certainty import Certainty, Looks, first_looks, represented_frames
from actor_detector.looks.chance import FEATURES, PresenceChance
from actor_detector.looks.stretches import LookPlan
from common.errors import UserError
from common.files import read_yaml
from common.paths import MODELS
from pipeline.box_confirmation import BoxJudgements
from pipeline.clip_windows import ClipWindows
from pipeline.config import TaggerConfig
from pipeline.frame_sampling import interval_indices
from pipeline.streaming_heads import StreamingHeads
from thresholds.gates import DetectorIdentity
from video.frames import Frame

CALIBRATION_FILE = MODELS / "until_sure.yaml"
FORMAT = 2  # increase it when other frames are looked at
MAX_LOOK_SECONDS = 0.5  # between two looks of the first round, also where the heads are given frames less often


@dataclass(frozen=True)
class Deviations:
    """How many standard deviations are enough.

    Attributes:
        stop: Around an estimate for its decision to count as sure.
        interval: Around it for the interval that a result states.
    """

    stop: float
    interval: float


CERTAIN_ONLY = Deviations(math.inf, math.inf)


@dataclass(frozen=True)
class LookCalibration:
    """What was measured for one detector.

    Attributes:
        detector: Its name.
        sha256: Of its file.
        chance: The probability that a frame that was not looked at shows an actor, whichever it is.
        actor_bias: What is added to its bias for each actor that was measured, by name.
        deviations: By share of decisions that may differ, in (0, 1).
    """

    detector: str
    sha256: str
    chance: PresenceChance
    actor_bias: Mapping[str, float]
    deviations: Mapping[float, Deviations]

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse an entry of the file."""
        weights = np.array([float(entry["weights"][name]) for name in FEATURES])
        deviations = {
            float(row["error"]): Deviations(float(row["stop"]), float(row["interval"])) for row in entry["deviations"]
        }
        chance = PresenceChance(weights, float(entry["bias"]))
        actor_bias = {str(name): float(bias) for name, bias in entry["actor_bias"].items()}
        return cls(str(entry["detector"]), str(entry["sha256"]), chance, actor_bias, deviations)

    def chance_of(self, actor_names: Sequence[str]) -> PresenceChance:
        """Return the probability for some actors, in their order."""
        bias = [self.chance.bias + self.actor_bias.get(name, 0.0) for name in actor_names]
        return replace(self.chance, bias=np.array(bias, np.float64))

    def deviations_for(self, error: float) -> Deviations:
        """Return what is enough for an error: that of the largest measured one that is not larger.

        Below all of them, nothing counts as sure but what is certain.
        """
        smaller = [known for known in self.deviations if known <= error + 1e-12]
        return self.deviations[max(smaller)] if smaller else CERTAIN_ONLY


def load_calibration(detector_sha256: str, path: Path = CALIBRATION_FILE) -> LookCalibration:
    """Load what was measured for a detector; for one that is not listed, what was measured for the first.

    Raises:
        UserError: If the file is missing or wrong.
    """
    try:
        entries = [LookCalibration.from_dict(entry) for entry in read_yaml(path, UserError)["detectors"]]
        return next((entry for entry in entries if entry.sha256 == detector_sha256), entries[0])
    except (KeyError, TypeError, ValueError, IndexError) as reason:
        raise UserError(f"{path}: not a calibration of looks ({reason!r})") from None


@dataclass(frozen=True)
class UntilSure:
    """What determines which frames of a clip are looked at.

    Attributes:
        error: The share of decisions that may differ from those of every frame, in (0, 1).
        seed: Of the draw of further looks.
        calibration: What was measured for the detector, or for another one.
        detector: The detector, with its confidence threshold.
        gates: Minimum presence ratio of each actor, shape (A,).
        every_seconds: Length of the intervals of which one frame each is looked at first.
        taxonomy: Whose actors.
    """

    error: float
    seed: int
    calibration: LookCalibration
    detector: DetectorIdentity
    gates: NDArray[np.float64]
    every_seconds: float
    taxonomy: Taxonomy

    @classmethod
    def from_config(
        cls, config: TaggerConfig, taxonomy: Taxonomy, detector: DetectorIdentity, gates: NDArray[np.float64]
    ) -> Self:
        """Find out what was measured for a run's detector.

        Raises:
            UserError: If other options say which frames are processed.
        """
        if config.stride != 1 or config.reuse_below > 0:
            raise UserError("--until-sure chooses the frames itself: leave --stride and --reuse-below out")
        calibration = load_calibration(detector.sha256 or "")
        error = config.until_sure or 0.0
        return cls(error, config.seed, calibration, detector, gates, config.sample_every_seconds, taxonomy)

    def describe(self) -> str:
        """Describe the looks in one line."""
        line = f"looking until sure (error {self.error:g})"
        if not self.is_calibrated:
            line += f", as measured with the {self.calibration.detector} detector: measure with experiments.until_sure"
        return line

    @property
    def is_calibrated(self) -> bool:
        """Whether the measurements are those of the detector."""
        return self.calibration.sha256 == self.detector.sha256

    @cached_property
    def chance(self) -> PresenceChance:
        """The probability that a frame that was not looked at shows each actor of the taxonomy."""
        return self.calibration.chance_of(self.taxonomy.actor_names)

    @cached_property
    def key(self) -> str:
        """What determines the looks, for cache keys."""
        chance, deviations = self.chance, self.calibration.deviations_for(self.error)
        fitted = [*chance.weights.tolist(), *np.ravel(chance.bias).tolist()]
        numbers = [*fitted, deviations.stop, *self.gates.tolist(), self.every_seconds]
        content = [FORMAT, self.seed, numbers, self.detector.confidence, self.detector.confirmation]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def plan(self, clip_sha256: str, streamed: StreamingHeads) -> LookPlan:
        """Return the plan for one clip.

        Args:
            clip_sha256: Of its contents, which determine what is drawn.
            streamed: What is given the frames that were looked at, and judges the boxes in them.
        """
        random = np.random.default_rng([self.seed, int(clip_sha256[:16], 16)])
        parts = math.ceil(self.every_seconds / MAX_LOOK_SECONDS)
        deviations = self.calibration.deviations_for(self.error)

        def next_looks(frames: Sequence[Frame], rows: NDArray[np.int64], boxes: FrameBoxes) -> NDArray[np.int64]:
            time_seconds = np.array([frame.time_seconds for frame in frames])
            if not len(rows):
                return first_looks(time_seconds, self.every_seconds / parts)
            frame_index = np.array([frame.index for frame in frames])
            represented = represented_frames(time_seconds, rows)

            def certainty() -> Certainty:
                doubtful = {
                    self.taxonomy.actor(name).index: judged.doubtful_intervals(
                        frame_index, time_seconds, self.every_seconds
                    )
                    for name, judged in streamed.judgements().items()
                }
                looks = self._looks(time_seconds, rows, boxes, represented, doubtful)
                return Certainty.of_looks(looks, self.chance)

            before = certainty()
            possible = np.flatnonzero(before.possible(self.gates, deviations.stop))
            is_changed = streamed.on_frames([frames[row] for row in rows], boxes, possible)
            after = certainty() if is_changed else before
            more = after.next_looks(self.gates, deviations.stop, random)
            if not len(more):
                more = after.looks_at_present(self.gates, interval_indices(time_seconds, self.every_seconds))
            return more

        return next_looks

    def intervals(
        self,
        detections: ClipDetections,
        judgements: Mapping[int, BoxJudgements],
        unjudged: Mapping[int, NDArray[np.int64]],
    ) -> NDArray[np.float64]:
        """Return within what each actor's presence ratio lies, in the window that shows it most.

        Args:
            detections: Of one clip, with every box that is cached.
            judgements: Of its boxes, by index of the actor; those that were not judged count, see `plan`.
            unjudged: By index of the actor, frames in whose intervals its boxes were not judged, as nothing depended on
                it; whether they count is open.

        Returns:
            Lower and upper end, shape (A, 2), in [0, 1].
        """
        windows = ClipWindows.of_clip(detections)
        frames = np.arange(detections.frames)
        known = np.append(detections.frame_index, detections.frames)
        times = np.interp(frames, known, np.append(detections.time_seconds, detections.duration_seconds))
        window_of_frame = windows.index_of(frames)
        doubtful = {
            actor: judged.doubtful_intervals(detections.frame_index, detections.time_seconds, self.every_seconds)
            for actor, judged in judgements.items()
        }
        open_or_doubtful = {
            actor: np.append(doubtful.get(actor, []), interval_indices(times[unjudged_frames], self.every_seconds))
            for actor, unjudged_frames in unjudged.items()
        }
        intervals = []
        for index in range(len(windows)):
            part = windows.window(index)
            inside = np.flatnonzero(window_of_frame == index)
            boxes = FrameBoxes(len(part.frame_index), part.frame_row, part.boxes, part.confidence, part.actor_index)
            rows = np.searchsorted(inside, part.frame_index)
            ends = []
            for ruled_out in (doubtful | open_or_doubtful, doubtful):
                looks = self._looks(times[inside], rows, boxes, part.frames_represented(), ruled_out)
                certainty = Certainty.of_looks(looks, self.chance)
                ends.append(certainty.intervals(self.calibration.deviations_for(self.error).interval))
            intervals.append(np.stack([ends[0][:, 0], ends[1][:, 1]], axis=1))
        return np.max(np.stack(intervals), axis=0)

    def _looks(
        self,
        time_seconds: NDArray[np.float64],
        rows: NDArray[np.int64],
        boxes: FrameBoxes,
        represented: NDArray[np.int64],
        doubtful: Mapping[int, NDArray[np.int64]],
    ) -> Looks:
        """Collect what was seen; the boxes of an actor count in intervals without a doubtful one."""
        actors = len(self.taxonomy.actors)
        confidence = np.zeros((actors, len(rows)), np.float32)
        np.maximum.at(confidence, (boxes.actor_index, boxes.frame_row), boxes.confidence)
        shown = confidence >= self.detector.confidence
        ruled_out = np.zeros((actors, len(time_seconds)), bool)
        intervals = interval_indices(time_seconds, self.every_seconds)
        for actor, unconfirmed in doubtful.items():
            ruled_out[actor] = np.isin(intervals, unconfirmed)
        counts = shown & ~ruled_out[:, rows]
        relative = confidence / np.float32(self.detector.confidence)
        return Looks(time_seconds, rows, relative, counts, represented, ruled_out)
