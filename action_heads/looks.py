"""Looks at one actor: which frame of which sample, where the actor is in it, and what it does there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import Sample
from a2d.labels import Actor

NO_MOTION = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Look:
    """One look at an actor of a sample.

    Attributes:
        sample: Whose labels hold.
        clip_sha256: Of the clip's contents.
        frame_index: The frame looked at, from 0.
        box: The actor's box in it, corners in pixels, shape (4,), float32; NaN where there is none.
        motion: How the actor moves through the clip, shape (M,), float32; empty where no head is told.
    """

    sample: Sample
    clip_sha256: str
    frame_index: int
    box: NDArray[np.float32]
    motion: NDArray[np.float32] = field(default_factory=lambda: NO_MOTION)


def samples_of(actor: Actor, samples: Iterable[Sample]) -> list[Sample]:
    """Keep the samples in which an actor does something."""
    own = set(actor.label_names)
    return [sample for sample in samples if own.intersection(sample.labels)]


def targets_of(actor: Actor, samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Say which of an actor's labels hold for each sample, shape (samples, outputs)."""
    rows = [[name in sample.labels for name in actor.label_names] for sample in samples]
    return np.array(rows, dtype=bool).reshape(len(samples), len(actor.labels))


def lent_targets(
    borrower: Actor, lender: Actor, samples: Sequence[Sample]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say what looks at one actor tell of another's labels: an action is the same, whoever does it.

    Args:
        borrower: Whose labels.
        lender: At whom the looks are.
        samples: What each look is of.

    Returns:
        Which of the borrower's labels would hold for each sample, shape (samples, outputs); and for which of them that
        is known, same shape: those whose action both have, unless several of the borrower's kinds have it.
    """
    actions = [label.action for label in borrower.labels]
    done = [{label.action for label in lender.labels if label.name in sample.labels} for sample in samples]
    can = {label.action for label in lender.labels}
    targets = [[action in actions_done for action in actions] for actions_done in done]
    known = [action in can and actions.count(action) == 1 for action in actions]
    shape = (len(samples), len(actions))
    return np.array(targets, dtype=bool).reshape(shape), np.broadcast_to(np.array(known), shape)
