"""Stage 1 alone, as a tagger: what a worker loads that detects for a process elsewhere."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from a2d.taxonomy import Taxonomy, load_taxonomy
from common.remote_folders import RemoteFolder
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.config import TaggerConfig
from pipeline.results import ClipResult, Weights
from pipeline.tagger import ActorActionTagger, TaggedClip


def open_detector(config: TaggerConfig) -> CachedDetector:
    """Find the detector of a configuration; one that looks until it is sure needs the gates, too.

    Raises:
        UserError: If something that it names is missing or wrong.
    """
    if config.until_sure is not None:
        return ActorActionTagger.from_config(config).detector
    return CachedDetector.from_config(config, load_taxonomy(config.taxonomy))


@dataclass(frozen=True)
class DetectionTagger:
    """Detects, and says of each clip no more than whether it can be read; the files of the cache say the rest.

    Attributes:
        detector: Stage 1, with its cache.
        files: Of the cache, read or written since the last clip; if it is in a store, where all find them, no more
            than their names.
    """

    detector: CachedDetector
    files: deque[tuple[str, bytes]] = field(default_factory=deque)

    @classmethod
    def from_config(cls, config: TaggerConfig) -> Self:
        """Find the detector of a configuration, see `open_detector`."""
        detector, files = open_detector(config), deque[tuple[str, bytes]]()
        is_shared = isinstance(detector.cache.folder, RemoteFolder)

        def keep(name: str, content: bytes) -> None:
            files.append((name, b"" if is_shared else content))

        cache = replace(detector.cache, on_file=keep)
        return cls(replace(detector, cache=cache), files)

    @property
    def taxonomy(self) -> Taxonomy:
        """Whose actors it detects."""
        return self.detector.taxonomy

    @property
    def weights(self) -> Weights:
        """SHA-256 of the detector and of the layers that confirm its boxes; there are no heads."""
        confirmer = self.detector.confirmer
        return Weights(self.detector.sha256, confirmer.sha256 if confirmer else "", {})

    @property
    def settings(self) -> dict[str, Any]:
        """What else is the same for all workers of a run."""
        return {"runtime": self.detector.runtime.name}

    def describe_weights(self) -> str:
        """Describe in one line what is used."""
        return f"using detector {self.detector.path} ({self.detector.sha256[:8]})"

    def tag_all(self, clips: Iterable[Path]) -> Iterator[TaggedClip]:
        """Detect in clips; a result has no more than a status, the reason for it, and the clip's digest.

        The files of a clip come with it, or with one before it.
        """
        for found in self.detector.detect_all(clips):
            clip = str(found.clip)
            if isinstance(found, UnreadableClip):
                result = ClipResult(clip, None, "error", str(found.error), self.weights)
            else:
                truncated = found.detections.truncated
                result = ClipResult(
                    clip, found.sha256, "truncated" if truncated else "ok", truncated or None, self.weights
                )
            yield TaggedClip(result, None, self._take_files())

    def _take_files(self) -> dict[str, bytes]:
        taken = {}
        while self.files:
            name, content = self.files.popleft()
            taken[name] = content
        return taken
