"""Stage 1 of a command by workers: they fill the cache of detections, which the command then finds full."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from common.errors import UserError
from common.progress import Progress, no_progress
from common.trusted_files import CacheFolder
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from pipeline.detection_cache import DetectionCache
from pipeline.supervision.messages import DETECT, Setup, Tagged, Task
from pipeline.supervision.workforce import Workforce

StartWorkers = Callable[[Setup], Workforce]


@dataclass
class DetectionAhead(AbstractContextManager["DetectionAhead"]):
    """Has workers detect in clips before this process works on them; a context manager.

    Attributes:
        start: Starts the workers of a setup; None if this process is to detect, when it comes to a clip.
        progress: Shows the progress over the clips.
        restarts: How often a worker of this machine was lost.
        given_up: Clips in which nothing could be detected, and why.
    """

    start: StartWorkers | None = None
    progress: Progress = no_progress
    restarts: int = 0
    given_up: dict[Path, str] = field(default_factory=dict)
    _folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._folder:
            self._folder.cleanup()

    def prepare(self, config: TaggerConfig, detector: CachedDetector, clips: Iterable[Path]) -> CachedDetector:
        """Have workers detect in those clips of which something is not cached.

        Args:
            config: What the detector was made from.
            detector: Stage 1.
            clips: Video files or folders of frames.

        Returns:
            The detector to work on the clips with. Without a cache, it has one that lasts as long as this. It does not
            try the clips again that could not be read, or that ended their worker.

        Raises:
            UserError: If the workers cannot go on through no fault of a clip, or detect otherwise than this process.
        """
        if not self.start:
            return detector
        if detector.cache.folder is None:
            detector = replace(detector, cache=DetectionCache(self.temporary_folder()))
        missing = [clip for clip in dict.fromkeys(clips) if clip not in self.given_up and detector.lacks(clip)]
        if missing:
            with self.start(Setup(config, job=DETECT)) as workers:
                self._detect(workers, detector, missing)
                self.restarts += workers.restarts
        return replace(detector, given_up=self.given_up)

    def temporary_folder(self) -> Path:
        """Return a folder for a cache that lasts as long as this."""
        if not self._folder:
            self._folder = TemporaryDirectory(prefix="actor-action-")
        return Path(self._folder.name)

    def _detect(self, workers: Workforce, detector: CachedDetector, clips: list[Path]) -> None:
        cache, received = CacheFolder(detector.cache.folder, "detections"), set[str]()
        events = workers.run(Task(index, clip) for index, clip in enumerate(clips))
        for clip, event in zip(self.progress(clips, "detecting", "clip"), events, strict=True):
            assert isinstance(event, Tagged)  # no copies are asked for
            if not cache.is_shared:
                _keep(event.files, cache)
            received |= event.files.keys()
            result = event.result
            if result.sha256 is None:
                self.given_up[clip] = result.error or "unreadable"
            elif detector.file_of(result.sha256) not in received:
                raise UserError(
                    f"{clip}: a worker detects otherwise than this machine, whose networks run on "
                    f"{detector.runtime.name}: name the same --device and --backend for all, and the same version of "
                    "the project"
                )


def _keep(files: Mapping[str, bytes], cache: CacheFolder) -> None:
    for name, content in files.items():
        if cache.read(name, len(content)) != content:  # the folder may be the worker's own
            cache.write(name, content)
