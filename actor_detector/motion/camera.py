"""How far the picture has moved since a clip began: the camera's share of what moves in it.

Phase correlation (OpenCV's) of each frame with the one before, right to a fifth of the shift or so. It knows shifts
alone: between two frames there is little zoom or turn.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actor_detector.letterbox import Letterbox

DOWNSCALE = 2  # the grey images that are compared are so much smaller than what the detector sees
MIN_RESPONSE = 0.2  # of a correlation, in [0, 1]; below it, two frames have too little in common, as at a cut


@dataclass(eq=False)
class CameraMotion:
    """Follows the picture from frame to frame."""

    _position: tuple[float, float] = (0.0, 0.0)
    _before: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    _window: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def follow(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> tuple[float, float]:
        """See the next frame.

        Args:
            inputs: As the detector is fed, shape (H, W, 3), uint8.
            letterbox: How the frame lies in it.

        Returns:
            How far to the right and down, in pixels of the frame, what stands still in the world has moved since the
            first frame; where two frames have too little in common, or differ in size, not at all between them.
        """
        import cv2

        (left, top), (width, height) = letterbox.corner, letterbox.inner
        grey = cv2.cvtColor(inputs[top : top + height, left : left + width], cv2.COLOR_BGR2GRAY)
        size = (max(round(width / DOWNSCALE), 2), max(round(height / DOWNSCALE), 2))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, dtype=np.float32)
        if image.shape == self._before.shape:
            (right, down), response = cv2.phaseCorrelate(self._before, image, self._window)
            if response >= MIN_RESPONSE:
                frame_width, frame_height = letterbox.frame
                across, along = frame_width / image.shape[1], frame_height / image.shape[0]
                self._position = (self._position[0] + right * across, self._position[1] + down * along)
        else:
            self._window = np.asarray(cv2.createHanningWindow(image.shape[::-1], cv2.CV_32F), dtype=np.float32)
        self._before = image
        return self._position
