"""The camera's motion, estimated from the shift of the image content since the first frame of a clip.

Consecutive frames are registered by phase correlation (OpenCV's), with an error of up to about a fifth of the shift.
Only translation is estimated: between two consecutive frames there is little zoom or rotation.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actor_detector.letterbox import Letterbox

DOWNSCALE = 2  # factor between the detector's input and the grey images that are registered
MIN_RESPONSE = 0.2  # of the correlation, in [0, 1]; below it, two frames have too little in common, as at a cut


@dataclass(eq=False)
class CameraMotion:
    """Accumulates the shift of the image content from frame to frame."""

    _shift: tuple[float, float] = (0.0, 0.0)
    _previous: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    _window: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def update(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> tuple[float, float]:
        """Add the next frame.

        Args:
            inputs: The frame as passed to the detector, shape (H, W, 3), uint8, BGR.
            letterbox: How the frame is fitted into it.

        Returns:
            How far static content has shifted to the right and down since the first frame, in pixels of the frame.
            Between two frames that have too little in common, or differ in size, the shift is taken to be zero.
        """
        import cv2

        (left, top), (width, height) = letterbox.offset, letterbox.resized_size
        grey = cv2.cvtColor(inputs[top : top + height, left : left + width], cv2.COLOR_BGR2GRAY)
        size = (max(round(width / DOWNSCALE), 2), max(round(height / DOWNSCALE), 2))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, dtype=np.float32)
        if image.shape == self._previous.shape:
            (right, down), response = cv2.phaseCorrelate(self._previous, image, self._window)
            if response >= MIN_RESPONSE:
                frame_width, frame_height = letterbox.frame_size
                scale_x, scale_y = frame_width / image.shape[1], frame_height / image.shape[0]
                self._shift = (self._shift[0] + right * scale_x, self._shift[1] + down * scale_y)
        else:
            self._window = np.asarray(cv2.createHanningWindow(image.shape[::-1], cv2.CV_32F), dtype=np.float32)
        self._previous = image
        return self._shift
