"""The sampled frames that a head is trained and scored on, and what had to be skipped."""

from dataclasses import dataclass

from a2d.dataset import none_usable
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor
from action_heads.training.samples import SampledFrame
from common.errors import TrainingError
from inference.runtime import Runtime
from pipeline.training.training_frames import drop_undecodable


@dataclass
class HeadTrainingData:
    """The sampled frames that a head is trained and scored on.

    Attributes:
        actor: The actor whose head is trained.
        split: The split to train on.
        frames: Frames of the actor, by split.
        auxiliary_frames: Frames of the auxiliary actors in the split to train on.
        skipped: The samples that cannot be used, by split.
        runtime: Runs the trunk, as in the tagger.
    """

    actor: Actor
    split: str
    frames: dict[str, list[SampledFrame]]
    auxiliary_frames: dict[Actor, list[SampledFrame]]
    skipped: dict[str, SkippedSamples]
    runtime: Runtime

    @property
    def reasons(self) -> list[str]:
        """One line for each sample that cannot be used."""
        return [reason for skipped in self.skipped.values() for reason in skipped.reasons]

    def check(self) -> None:
        """Check that there is something to train on.

        Raises:
            TrainingError: If all samples of the split to train on were skipped.
        """
        if not self.frames[self.split]:
            raise TrainingError(none_usable(self.skipped[self.split].reasons, self.split))

    def drop_undecodable(self) -> bool:
        """Drop the clips that cannot be decoded a second time, and return whether there was any."""
        before = len(self.reasons)
        for split, frames in self.frames.items():
            self.frames[split] = drop_undecodable(frames, self.skipped[split])
        for actor, frames in self.auxiliary_frames.items():
            self.auxiliary_frames[actor] = drop_undecodable(frames, self.skipped[self.split])
        self.check()
        return len(self.reasons) > before
