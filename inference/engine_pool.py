"""The engines of one network for images of several sizes, within bounds of memory."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from inference.interfaces import Engine, PendingOutput
from inference.process_guard import check_process

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_READY_ENGINES = 2  # keep the memory that running batches need: clips of two sizes are often processed in turn
MAX_ENGINES = 5  # one for each shape of a detector's inputs, of some 50 MB each with OpenVINO
Size = tuple[int, int]


class EnginePool:
    """Creates an engine for every size of images, and discards the one that was not used for the longest time.

    Only the engines that were used last keep the memory that running batches need, some 60 MB each with OpenVINO. May
    be used by several threads.

    Args:
        create: Creates the engine for images of a height and width in pixels, and a size of batches.
    """

    def __init__(self, create: Callable[[Size, int], Engine]) -> None:
        self._create = create
        self._engines: dict[tuple[Size, int], Engine] = {}  # in the order of their last use
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of engines."""
        return len(self._engines)

    def submit(self, images: "NDArray[np.uint8]", batch_size: int) -> PendingOutput:
        """Start a batch on the engine for the size of its images, see `Engine.submit`.

        Args:
            images: Shape (B, H, W, 3), uint8, BGR.
            batch_size: Images in one forward pass.

        Raises:
            UserError: In a process that was forked from one that has run networks.
        """
        check_process()
        key = (images.shape[1], images.shape[2]), batch_size
        with self._lock:
            ready = list(self._engines)[-MAX_READY_ENGINES:]
            if key not in ready and len(ready) == MAX_READY_ENGINES:  # before another is created: both need not fit
                self._engines[ready[0]].release()
            if key not in self._engines:
                while len(self._engines) >= MAX_ENGINES:
                    del self._engines[next(iter(self._engines))]
                self._engines[key] = self._create(*key)
            self._engines[key] = self._engines.pop(key)
            return self._engines[key].submit(images)
