"""Auxiliary frames: what a head is trained on, with a lower weight, besides the clips that show its actor.

There are two kinds: clips of actors that move like this one, whose actions are taken for this actor's own, and stills,
labelled images that show what an actor looks like while it acts, but not how the action goes on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.taxonomy import Actor, Taxonomy
from action_heads.training.samples import SampledFrame, auxiliary_targets, still_targets
from pipeline.training.training_frames import FrameSampler


@dataclass(frozen=True)
class AuxiliaryFrames:
    """Sampled frames of one actor that is not, or not in a clip, the one whose head is trained.

    Attributes:
        actor: Whom they show.
        frames: The frames.
        weight: Of each clip or still; the trained actor's own clips have weight 1.
        are_stills: Whether each is an image.
    """

    actor: Actor
    frames: Sequence[SampledFrame]
    weight: float
    are_stills: bool = False

    def targets_for(self, trained: Actor) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the targets of a head for each frame, and a mask of the known ones, both (frames, outputs).

        Args:
            trained: The actor whose head is trained.
        """
        samples = [frame.sample for frame in self.frames]
        if self.actor == trained:
            return still_targets(trained, samples)
        return auxiliary_targets(trained, self.actor, samples)

    @property
    def samples(self) -> int:
        """Number of clips or stills."""
        return len({id(frame.sample) for frame in self.frames})


@dataclass(frozen=True)
class AuxiliaryWeights:
    """How much auxiliary training data counts, in [0, 1]; the trained actor's own clips count 1.

    Attributes:
        borrowed: Of a clip of an auxiliary actor.
        stills: Of a still of the trained actor; one of an auxiliary actor has the product of both.
    """

    borrowed: float
    stills: float


def sample_auxiliary_frames(
    actor: Actor,
    taxonomy: Taxonomy,
    clips: Sequence[Sample],
    stills: Sequence[Sample],
    weights: AuxiliaryWeights,
    sampler: FrameSampler,
) -> list[AuxiliaryFrames]:
    """Sample the auxiliary frames of one actor's head.

    Args:
        actor: The actor whose head is trained.
        taxonomy: Defines its auxiliary actors.
        clips: The labelled clips that are trained on.
        stills: The labelled images.
        weights: Those with weight 0 are not sampled.
        sampler: Samples the frames.

    Returns:
        Clips of each auxiliary actor, then stills of the actor and of each auxiliary actor; only what there is.

    Raises:
        DatasetError: If a sample cannot be used and the sampler is strict.
    """
    others = [taxonomy.actor(name) for name in actor.auxiliary_actors] if weights.borrowed else []
    parts = [
        AuxiliaryFrames(other, frames, weights.borrowed) for other, frames in sampler.sample_each(others, clips).items()
    ]
    if weights.stills:
        for shown, frames in sampler.sample_each([actor, *others], stills).items():
            weight = weights.stills * (1 if shown == actor else weights.borrowed)
            parts.append(AuxiliaryFrames(shown, frames, weight, are_stills=True))
    return parts


def describe(parts: Iterable[AuxiliaryFrames]) -> dict[str, dict[str, Any]]:
    """Describe auxiliary frames for a manifest.

    Returns:
        `borrowed` and `stills`, those that there are: whom they show, their number, and the highest weight among them.
    """
    by_kind: dict[str, list[AuxiliaryFrames]] = {}
    for part in parts:
        by_kind.setdefault("stills" if part.are_stills else "borrowed", []).append(part)
    return {
        kind: {
            "from": [part.actor.name for part in of_kind],
            "samples": sum(part.samples for part in of_kind),
            "weight": max(part.weight for part in of_kind),
        }
        for kind, of_kind in by_kind.items()
    }
