"""The confirmation layers at work on the boxes of clips, behind a cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.confirmation import Confirmer
from actor_detector.detections import ClipDetections
from pipeline.box_confirmation import (
    BoxJudgements,
    JudgementCache,
    JudgementEntry,
    drop_unconfirmed,
    judgement_key,
    unjudged_frames,
)
from pipeline.clip_windows import clip_presence_ratios
from pipeline.streaming_heads import StreamingHeads

Judgements = dict[int, BoxJudgements]
"""By index of the actor in the taxonomy."""


@dataclass(frozen=True)
class BoxJudge:
    """Judges the boxes of clips, behind a cache.

    Attributes:
        confirmer: The layers.
        taxonomy: Whose actors.
        confidence: Minimum confidence of a box, in [0, 1].
        every_seconds: Length of the intervals in each of which one box of an actor is judged.
        cache: Cached judgements.
        gates: Minimum presence ratio of each actor, shape (A,), if the boxes of one that is absent whatever the layers
            say need not be judged; None: all boxes are.
        loop_filter: As for `video.clips.decode_frames`.
    """

    confirmer: Confirmer
    taxonomy: Taxonomy
    confidence: float
    every_seconds: float
    cache: JudgementCache
    gates: NDArray[np.float64] | None = None
    loop_filter: bool = True

    def load(self, key: str, detections: ClipDetections) -> Judgements | None:
        """Return the cached judgements of a clip; None if there are none.

        Args:
            key: Under which its detections are cached.
            detections: Of the clip; boxes of less confidence do not count.
        """
        return self._entry(key).load(detections.at_confidence(self.confidence))

    def judge(
        self, clip: Path, key: str, detections: ClipDetections, streamed: StreamingHeads | None, part: int
    ) -> Judgements:
        """Return the judgements of a clip's boxes, and cache them; what is missing is made now.

        Args:
            clip: Its path.
            key: Under which its detections are cached.
            detections: Of the clip, without boxes of too little confidence.
            streamed: What was given its frames while it was decoded; None if it was not decoded.
            part: Which of the layers decides.

        Raises:
            ClipError: If a frame cannot be read.
        """
        judgements = self._collect(streamed) if streamed else {}
        if streamed is None or self.gates is not None:
            missing = self._missing(detections, judgements, part)
            if missing:
                streamed = streamed or StreamingHeads(
                    None, self.taxonomy, self.confidence, self.every_seconds, self.confirmer
                )
                streamed.submit_again(clip, detections, missing, loop_filter=self.loop_filter)
                judgements = self._collect(streamed)
        self._entry(key).save(judgements)
        return judgements

    def unjudged(
        self, detections: ClipDetections, judgements: Mapping[int, BoxJudgements]
    ) -> dict[int, NDArray[np.int64]]:
        """Return the frames in which boxes were not judged, by index of the actor, see `unjudged_frames`."""
        frames = {
            actor: unjudged_frames(detections, actor, judgements.get(actor), self.every_seconds)
            for actor in (self.taxonomy.actor(name).index for name in self.confirmer.actors)
        }
        return {actor: some for actor, some in frames.items() if len(some)}

    def drop_unconfirmed(
        self, detections: ClipDetections, judgements: Mapping[int, BoxJudgements], part: int
    ) -> ClipDetections:
        """Drop the boxes that were judged and not confirmed, see `pipeline.box_confirmation.drop_unconfirmed`."""
        return drop_unconfirmed(detections, judgements, part, self.every_seconds)

    def _missing(self, detections: ClipDetections, judgements: Judgements, part: int) -> dict[str, list[int]]:
        """Return the frames to judge boxes in, by actor."""
        unjudged = self.unjudged(detections, judgements)
        if unjudged and self.gates is not None:
            ratios = clip_presence_ratios(
                self.drop_unconfirmed(detections, judgements, part), len(self.taxonomy.actors)
            )
            unjudged = {actor: frames for actor, frames in unjudged.items() if ratios[actor] >= self.gates[actor]}
        return {self.taxonomy.actor_names[actor]: frames.tolist() for actor, frames in unjudged.items()}

    def _collect(self, streamed: StreamingHeads) -> Judgements:
        return {self.taxonomy.actor(name).index: judged for name, judged in streamed.judgements().items()}

    def _entry(self, key: str) -> JudgementEntry:
        key = judgement_key(key, self.confirmer.sha256, self.confidence, self.every_seconds)
        return JudgementEntry(self.cache, key, len(self.confirmer.layers.weight))
