"""The clips of a worker's tasks as files on this machine: those in stores are fetched, one ahead, and removed again."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from common.errors import UserError
from common.scratch_folders import ScratchFolder, remove_leftovers
from pipeline.supervision.messages import Message, Started, Task

if TYPE_CHECKING:
    from pipeline.results import ClipResult
    from video.remote_clips import RemoteClip

TaskQueue = SimpleQueue[Task | None]


@dataclass(eq=False)
class LocalTask:
    """A task whose clip is a file or a folder on this machine, as far as it is needed.

    Attributes:
        task: As it was sent.
        clip: Where its clip is.
        result: That of an earlier run or attempt, if the clip has not changed since; None if it is to be tagged.
        error: Why the clip could not be fetched; empty if it could.
        version: What its store said of its contents; None if it did not, or the clip was here.
        scratch: The folder that it was fetched into; None if it was not.
    """

    task: Task
    clip: Path
    result: "ClipResult | None" = None
    error: str = ""
    version: str | None = None
    scratch: ScratchFolder | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the clip is in a store."""
        return not isinstance(self.task.clip, Path)

    def original(self, text: str) -> str:
        """Return a text that names the clip by its address, where it names the file that it was fetched into."""
        return text.replace(str(self.clip), str(self.task.clip)) if self.scratch else text

    def own(self, result: "ClipResult") -> "ClipResult":
        """Return the result of the file as that of the clip."""
        if not self.is_remote:
            return result
        error = None if result.error is None else self.original(result.error)
        return replace(result, video=str(self.task.clip), error=error, version=self.version)

    def remove(self) -> None:
        """Remove the file, if it was fetched."""
        if self.scratch:
            self.scratch.remove()


class Fetcher:
    """Takes tasks from a queue, and fetches their clips; while one is worked on, the next one is fetched.

    Args:
        tasks: None after the last one.
        send: Called when the work on a clip in a store begins.
    """

    def __init__(self, tasks: TaskQueue, send: Callable[[Message], None]) -> None:
        self._tasks, self._send = tasks, send
        self._next: Future[LocalTask | None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._fetched: list[LocalTask] = []  # and not yet removed

    def get(self, timeout: float | None = None) -> LocalTask | None:
        """Return the next task; None after the last one.

        Raises:
            Empty: If there is none, or it is not there yet, after so many seconds.
        """
        coming = self._next or self._begin(self._tasks.get(timeout=timeout))
        try:
            task = coming.result(timeout)
        except TimeoutError:
            self._next = coming
            raise Empty from None
        self._next = None
        if task:
            with suppress(Empty):
                self._next = self._begin(self._tasks.get_nowait())
        return task

    def original(self, text: str) -> str:
        """Return a text that names clips by their addresses, where it names files that they were fetched into."""
        for task in list(self._fetched):
            text = task.original(text)
        return text

    def finish(self, task: LocalTask) -> None:
        """Remove what was fetched for a task."""
        task.remove()
        if task in self._fetched:
            self._fetched.remove(task)

    def close(self) -> None:
        """Remove everything that was fetched."""
        for task in list(self._fetched):
            self.finish(task)

    def _begin(self, task: Task | None) -> "Future[LocalTask | None]":
        if task is None or isinstance(task.clip, Path):
            done: Future[LocalTask | None] = Future()
            done.set_result(LocalTask(task, task.clip, task.result) if task and isinstance(task.clip, Path) else None)
            return done
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "fetch")
            remove_leftovers()
        return self._thread.submit(self._fetch, task, task.clip)

    def _fetch(self, task: Task, clip: "RemoteClip") -> LocalTask:
        self._send(Started(task.index))
        local = LocalTask(task, Path(str(clip)), task.result)
        try:
            self._fill(local, clip)
        except (UserError, OSError) as reason:
            local.error = f"{clip}: {reason.strerror or reason}" if isinstance(reason, OSError) else str(reason)
        except Exception as reason:  # of a store's library: it costs this clip
            local.error = f"{clip}: {type(reason).__name__} while it was fetched"
        return local

    def _fill(self, local: LocalTask, clip: "RemoteClip") -> None:
        """Find out whether a clip has changed, and fetch it if it is to be tagged or drawn.

        Raises:
            UserError: If the store does not give it.
            OSError: If it cannot be written here.
        """
        from video.clips import clip_sha256

        found, earlier = clip.examine(), local.task.earlier
        local.version = found.version
        if earlier and found.version and earlier.version == found.version:
            local.result = earlier
        if local.result and not local.task.copy:
            return
        local.scratch = ScratchFolder()
        self._fetched.append(local)
        local.clip = local.scratch.path / clip.name
        clip.fetch(found, local.scratch.path)
        if earlier and not local.result and clip_sha256(local.clip) == earlier.sha256:
            local.result = replace(earlier, version=found.version)
