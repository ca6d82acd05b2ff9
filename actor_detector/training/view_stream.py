"""Training batches: from the saved features of a frozen backbone, or from fresh views, whose images a network takes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from actor_detector.training.augmentation import TrainingView
from actor_detector.training.frozen_features import Features, FeatureStore, Targets, to_inputs

Batch = tuple[Features, list[Targets]]


class BatchSource(Protocol):
    """Where the batches of a phase come from."""

    @property
    def views(self) -> int:
        """Number of views per epoch."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch, counted from 1; the same ones for the same epoch, whatever was trained on."""


@dataclass(frozen=True)
class SavedFeatures:
    """The same views in every epoch, in an order determined by the seeds and the epoch.

    Attributes:
        store: Their features.
        batch_size: Views per batch.
        seeds: Of the order.
        device: `cpu` or `cuda:N`.
    """

    store: FeatureStore
    batch_size: int
    seeds: tuple[int, ...]
    device: str

    @property
    def views(self) -> int:
        """Number of views per epoch."""
        return len(self.store)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Load the features of every view once."""
        order = np.random.default_rng([*self.seeds, epoch]).permutation(len(self.store))
        for start in range(0, len(order), self.batch_size):
            rows = np.sort(order[start : start + self.batch_size])
            yield self.store.batch(rows, self.device), [self.store.targets[row] for row in rows]


@dataclass(frozen=True)
class FreshViews:
    """Other views in every epoch, made by worker processes while the network trains.

    Attributes:
        make_view: Creates a view from its number; the same number always gives the same view.
        views: Number of views per epoch.
        batch_size: Views per batch.
        device: `cpu` or `cuda:N`.
        workers: Number of processes; 0 makes the views in this one.
    """

    make_view: Callable[[int], TrainingView]
    views: int
    batch_size: int
    device: str
    workers: int = 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Make the views of an epoch."""
        self._numbers.first = (epoch - 1) * self.views
        for images, targets in self._loader:
            yield {-1: to_inputs(images, self.device)}, targets

    @cached_property
    def _numbers(self) -> "_NumbersOfEpoch":
        return _NumbersOfEpoch(self.views)

    @cached_property
    def _loader(self) -> Any:
        """The workers are started anew: one that is forked where threads have run may wait for ever."""
        return DataLoader(
            _NumberedViews(self.make_view),
            self.batch_size,
            sampler=self._numbers,
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=_use_one_thread,
            multiprocessing_context="spawn" if self.workers else None,
            persistent_workers=self.workers > 0,
        )


class _NumberedViews(Dataset[TrainingView]):
    def __init__(self, make_view: Callable[[int], TrainingView]) -> None:
        self.make_view = make_view

    def __getitem__(self, number: int) -> TrainingView:
        return self.make_view(number)


class _NumbersOfEpoch(Sampler[int]):
    """The numbers of an epoch's views, which begin at `first`."""

    def __init__(self, views: int) -> None:
        self.views, self.first = views, 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.views))

    def __len__(self) -> int:
        return self.views


def _use_one_thread(worker: int) -> None:
    cv2.setNumThreads(1)


def _collate(views: list[TrainingView]) -> tuple[Any, list[Targets]]:
    return np.stack([view.image for view in views]), [(view.boxes, view.actor_index) for view in views]


def steps_per_epoch(source: BatchSource, batch_size: int) -> int:
    """Return the number of batches of an epoch, of which the last may be smaller."""
    return math.ceil(source.views / batch_size)
