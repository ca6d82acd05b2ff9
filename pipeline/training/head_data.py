"""The sampled frames that a head is trained and scored on, and what had to be skipped."""

from dataclasses import dataclass, replace

from a2d.dataset import none_usable
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor
from action_heads.training.samples import SampledFrame
from common.errors import TrainingError
from inference.runtime import Runtime
from pipeline.training.auxiliary_frames import AuxiliaryFrames
from pipeline.training.training_frames import drop_undecodable


@dataclass
class HeadTrainingData:
    """The sampled frames that a head is trained and scored on.

    Attributes:
        actor: The actor whose head is trained.
        split: The split to train on.
        frames: Frames of the actor, by split.
        auxiliary: What the head is trained on besides.
        skipped: The samples that cannot be used, by split.
        runtime: Runs the trunk, as in the tagger.
    """

    actor: Actor
    split: str
    frames: dict[str, list[SampledFrame]]
    auxiliary: list[AuxiliaryFrames]
    skipped: dict[str, SkippedSamples]
    runtime: Runtime

    @property
    def stills(self) -> list[SampledFrame]:
        """Stills of the actor itself."""
        return [
            frame for part in self.auxiliary if part.are_stills and part.actor == self.actor for frame in part.frames
        ]

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
        skipped = self.skipped[self.split]
        self.auxiliary = [replace(part, frames=drop_undecodable(part.frames, skipped)) for part in self.auxiliary]
        self.check()
        return len(self.reasons) > before
