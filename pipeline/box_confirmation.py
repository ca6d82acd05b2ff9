"""Between detector and gates: boxes that the confirmation layers do not confirm are dropped, as if never drawn.

Of every interval that shows an actor, the heads are given one frame, and the layers judge the actor's box in it. If it
is not confirmed, none of the actor's boxes in that interval counts: not for the presence ratio, nor anything after it.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections
from common.remote_folders import AnyFolder
from common.trusted_files import CacheFolder, OnFile, parse_array
from pipeline.frame_sampling import interval_indices, sample_frames

FORMAT = 1  # increase it when the contents of an entry, or how they are computed, change
MAX_ENTRY_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class BoxJudgements:
    """What the confirmation layers make of one actor's boxes in the sampled frames of a clip.

    Attributes:
        frame_index: From 0, ascending, shape (K,), int64.
        logits: Of all layers, shape (K, 1 + parts), see `action_heads.confirmation`.
    """

    frame_index: NDArray[np.int64]
    logits: NDArray[np.float32]

    def belongs_to(self, detections: ClipDetections) -> bool:
        """Return whether all frames are those of a clip."""
        return bool(np.isin(self.frame_index, detections.frame_index).all())

    def doubtful_intervals(
        self,
        frame_index: NDArray[np.int64],
        time_seconds: NDArray[np.float64],
        every_seconds: float,
        part: int = 0,
    ) -> NDArray[np.int64]:
        """Return the intervals in which a layer does not confirm the actor.

        Args:
            frame_index: Of frames of the clip, ascending, shape (F,).
            time_seconds: When each is shown, shape (F,).
            every_seconds: Length of an interval; the first of the frames that were judged in it decides.
            part: Which of the layers.

        Returns:
            Indices of intervals, from 0, ascending.
        """
        known = np.isin(self.frame_index, frame_index)
        seconds = time_seconds[np.searchsorted(frame_index, self.frame_index[known])]
        intervals, first = np.unique(interval_indices(seconds, every_seconds), return_index=True)
        doubtful: NDArray[np.int64] = intervals[self.logits[known, part][first] <= 0]
        return doubtful


def unjudged_frames(
    detections: ClipDetections, actor_index: int, judged: BoxJudgements | None, every_seconds: float
) -> NDArray[np.int64]:
    """Return the frames to judge an actor's box in: the first that shows it in each interval without a judgement.

    Args:
        detections: Of one clip.
        actor_index: Index of the actor in the taxonomy, from 0.
        judged: What was judged so far.
        every_seconds: Length of an interval.

    Returns:
        Frame indices, from 0, ascending.
    """
    if not (detections.actor_index == actor_index).any():
        return np.zeros(0, np.int64)
    frames = np.array(sample_frames(detections, actor_index, every_seconds), np.int64)
    if judged is None:
        return frames
    times = np.append(frames, judged.frame_index)
    seconds = detections.time_seconds[np.searchsorted(detections.frame_index, times)]
    intervals = interval_indices(seconds, every_seconds)
    return frames[~np.isin(intervals[: len(frames)], intervals[len(frames) :])]


def drop_unconfirmed(
    detections: ClipDetections, judgements: Mapping[int, BoxJudgements], part: int, every_seconds: float
) -> ClipDetections:
    """Drop the boxes of each actor in the intervals in which it was not confirmed.

    Args:
        detections: Of one clip.
        judgements: By index of the actor in the taxonomy; the boxes of other actors remain.
        part: Which of the layers decides.
        every_seconds: Length of an interval, of which one frame was judged.

    Returns:
        The detections without those boxes.
    """
    times = detections.time_seconds
    interval_of_box = interval_indices(times, every_seconds)[detections.frame_row]
    selected = np.ones(len(detections.boxes), bool)
    for actor_index, judged in judgements.items():
        doubtful = judged.doubtful_intervals(detections.frame_index, times, every_seconds, part)
        is_doubtful = np.isin(interval_of_box, doubtful)
        selected &= ~(is_doubtful & (detections.actor_index == actor_index))
    return detections.take_boxes(selected)


@dataclass(frozen=True)
class JudgementCache:
    """A folder of judgements, addressed by content.

    Attributes:
        folder: Created when the first entry is written; None caches nothing.
        on_file: Called with the file of every entry, see `CacheFolder`.
    """

    folder: AnyFolder | None
    on_file: OnFile | None = None

    def load(self, key: str, layers: int) -> dict[int, BoxJudgements] | None:
        """Load an entry, by index of the actor; one that is absent, unreadable or of other layers counts as absent."""
        content = self._files.read(_file_name(key), MAX_ENTRY_BYTES)
        try:
            table = None if content is None else parse_array(content)
        except (ValueError, TypeError, SyntaxError, EOFError):  # whatever NumPy raises for a malformed header
            return None
        if table is None or table.dtype != np.float64 or table.ndim != 2 or table.shape[1] != 2 + layers:
            return None
        if not np.isfinite(table).all() or (np.abs(table[:, :2]) > 2**53).any():
            return None
        by_actor = {}
        for actor_index in np.unique(table[:, 0]):
            rows = table[table[:, 0] == actor_index]
            judged = BoxJudgements(rows[:, 1].astype(np.int64), rows[:, 2:].astype(np.float32))
            by_actor[int(actor_index)] = judged
        return by_actor

    def save(self, key: str, judgements: Mapping[int, BoxJudgements], layers: int) -> None:
        """Write an entry; a folder that cannot be written is a warning, not an error."""
        tables = [np.zeros((0, 2 + layers))]
        for actor_index, judged in sorted(judgements.items(), key=lambda item: item[0]):
            columns = [np.full(len(judged.frame_index), actor_index), judged.frame_index]
            tables.append(np.column_stack([*columns, judged.logits]).astype(np.float64))
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate(tables), allow_pickle=False)
        self._files.write(_file_name(key), buffer.getvalue())

    @cached_property
    def _files(self) -> CacheFolder:
        return CacheFolder(self.folder, "confirmed boxes", self.on_file)


@dataclass(frozen=True)
class JudgementEntry:
    """The place of one clip's judgements in a cache.

    Attributes:
        cache: The cache.
        key: See `judgement_key`.
        layers: How many layers judge.
    """

    cache: JudgementCache
    key: str
    layers: int

    def load(self, detections: ClipDetections) -> dict[int, BoxJudgements] | None:
        """Load the judgements by index of the actor; None if there are none of a clip with these detections."""
        cached = self.cache.load(self.key, self.layers)
        fits = cached is not None and all(judged.belongs_to(detections) for judged in cached.values())
        return cached if fits else None

    def save(self, judgements: Mapping[int, BoxJudgements]) -> None:
        """Write the judgements, see `JudgementCache.save`."""
        self.cache.save(self.key, judgements, self.layers)


def judgement_key(detections_key: str, confirmation_sha256: str, confidence: float, every_seconds: float) -> str:
    """Return the cache key of a clip's judgements, 64 hexadecimal digits.

    Args:
        detections_key: That of the clip's detections.
        confirmation_sha256: Of the layers' file.
        confidence: Minimum confidence of a box, in [0, 1].
        every_seconds: Length of an interval.
    """
    content = [FORMAT, detections_key, confirmation_sha256, confidence, every_seconds]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _file_name(key: str) -> str:
    return f"{key[:2]}/{key}.judged.npy"
