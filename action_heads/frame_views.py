"""The views of one frame on their way through networks: a view that several of them share is processed once."""

import numpy as np
from numpy.typing import NDArray

from action_heads.input_kinds import WHOLE_FRAME
from action_heads.preprocessing import crop_and_resize
from inference.interfaces import Engine, PendingOutput


class FrameViews:
    """One frame, and what was submitted of it.

    Args:
        image: The whole frame (H, W, 3), uint8, BGR.
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image
        self._outputs: dict[tuple[int, bytes], PendingOutput] = {}

    def submit(self, engine: Engine, view: str, box: NDArray[np.float32], size: int) -> PendingOutput:
        """Start a network on a view, unless that was done before.

        Args:
            engine: Runs the network.
            view: `frame` or `crop`.
            box: The actor's corners in pixels, shape (4,); NaN if there is none, and then `crop` is the whole frame.
            size: Side of the network's input in pixels.

        Returns:
            The output of a batch of one.
        """
        is_whole = view == WHOLE_FRAME or bool(np.isnan(box).any())
        key = (id(engine), b"" if is_whole else box.tobytes())
        if key not in self._outputs:
            self._outputs[key] = engine.submit(crop_and_resize(self.image, box, view, size)[None])
        return self._outputs[key]
