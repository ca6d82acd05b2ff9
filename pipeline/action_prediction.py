"""Stage 2 of a clip: what the heads predict for its sampled frames, given while it was decoded or decoded again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from a2d.taxonomy import Taxonomy
from action_heads.confirmation import Confirmer
from action_heads.prediction import ActionHeads
from actor_detector.motion.features import motion_features
from pipeline.actor_predictions import ActorPredictions
from pipeline.cached_detector import DetectedClip
from pipeline.clip_windows import ClipWindows
from pipeline.streaming_heads import StreamingHeads


@dataclass(frozen=True)
class ActionPredictor:
    """Predicts the actions of a clip's actors.

    Attributes:
        heads: Stage 2.
        taxonomy: Whose actors.
        confidence: Minimum confidence of a box, in [0, 1].
        every_seconds: Interval between the sampled frames.
        loop_filter: As for `video.clips.decode_frames`.
    """

    heads: ActionHeads
    taxonomy: Taxonomy
    confidence: float
    every_seconds: float
    loop_filter: bool = True

    def predict(
        self,
        detected: DetectedClip,
        frames: Mapping[str, Sequence[int]],
        streamed: StreamingHeads | None = None,
        box_within_seconds: float = 0.0,
    ) -> dict[str, ActorPredictions]:
        """Predict the actions of some actors from some frames of a clip.

        Args:
            detected: The clip; heads that are given crops see the actor's most confident box.
            frames: Frame indices, from 0, ascending, by actor.
            streamed: Heads that were given frames of the clip while it was decoded; only others are decoded again.
            box_within_seconds: If a frame has no box of the actor, its box in a frame this near is used.

        Returns:
            The predictions by actor.

        Raises:
            ClipError: If a frame cannot be read.
        """
        available = streamed.predictions() if streamed else {}
        found = {
            name: selected
            for name, wanted in frames.items()
            if name in available and (selected := available[name].at_frames(wanted))
        }
        missing = {name: wanted for name, wanted in frames.items() if name not in found}
        if missing:
            heads = self.new_streaming_heads()
            heads.submit_again(detected.clip, detected.detections, missing, box_within_seconds, self.loop_filter)
            found |= heads.predictions()
        windows = ClipWindows.of_clip(detected.detections)
        return {name: self._add_motion(name, found[name], windows) for name in frames}

    def new_streaming_heads(self, confirmer: Confirmer | None = None) -> StreamingHeads:
        """Return heads that can be given the frames of one clip while it is decoded, and confirm boxes on the way."""
        return StreamingHeads(self.heads, self.taxonomy, self.confidence, self.every_seconds, confirmer)

    def _add_motion(self, name: str, prediction: ActorPredictions, windows: ClipWindows) -> ActorPredictions:
        """Add the contribution of the actor's motion through each window, for heads that use it."""
        window_index = windows.index_of(prediction.frame_index)
        logits = prediction.logits
        if self.heads.uses_motion(name):
            logits = logits.copy()
            for window in np.unique(window_index):
                rows = window_index == window
                motion = motion_features(windows.window(window), self.taxonomy.actor(name).index)
                logits[rows] = self.heads.add_motion(name, logits[rows], motion)
        return replace(prediction, logits=logits, window_index=window_index)
