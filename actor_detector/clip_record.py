"""What is known about one clip while it is decoded and detected, until its detections are complete."""

from dataclasses import dataclass, field

import numpy as np

from actor_detector.detections import ClipDetections, FrameBoxes
from actor_detector.motion.camera import CameraMotion
from actor_detector.speed_options import MAX_REUSED_FRAMES
from video.clips import end_seconds
from video.frames import Frame


@dataclass(eq=False)
class ClipRecord:
    """The frames and boxes of one clip so far. The decoding thread adds frames, the detecting thread adds boxes.

    Attributes:
        decoded_seconds: Time of every decoded frame, seconds.
        last_duration_seconds: How long the last decoded frame is shown.
        truncated: Why decoding stopped early, or an empty string.
        processed: Index in the clip and time in seconds of every processed frame.
        source_frame: For every processed frame, which of the detected frames provides its boxes, from 0, ascending.
        detected: Number of frames passed to the network.
        camera: Shift of the image content at every processed frame, see `ClipDetections.camera`.
        camera_motion: Estimates it.
        batches: Boxes in the detected frames, batch by batch.
    """

    decoded_seconds: list[float] = field(default_factory=list)
    last_duration_seconds: float = 0.0
    truncated: str = ""
    processed: list[tuple[int, float]] = field(default_factory=list)
    source_frame: list[int] = field(default_factory=list)
    detected: int = 0
    camera: list[tuple[float, float]] = field(default_factory=list)
    camera_motion: CameraMotion = field(default_factory=CameraMotion)
    batches: list[FrameBoxes] = field(default_factory=list)

    @property
    def may_reuse(self) -> bool:
        """Whether the boxes of the last detected frame may be reused once more."""
        if len(self.source_frame) < MAX_REUSED_FRAMES:
            return True
        return self.source_frame[-MAX_REUSED_FRAMES] != self.detected - 1

    def add_decoded(self, frame: Frame) -> None:
        """Record a frame that was decoded, whether it is processed or not."""
        self.decoded_seconds.append(frame.time_seconds)
        self.last_duration_seconds = frame.duration_seconds

    def add_processed(self, frame: Frame, camera: tuple[float, float], *, is_detected: bool) -> None:
        """Record a frame that is passed to the network, or reuses the boxes of the last one that was."""
        self.processed.append((frame.index, frame.time_seconds))
        self.camera.append(camera)
        self.detected += is_detected
        self.source_frame.append(self.detected - 1)

    def detections(self, stride: int) -> ClipDetections:
        """Assemble the detections of a clip of which every Nth frame was processed, N being the stride."""
        boxes = FrameBoxes.concatenate(self.batches)
        if len(self.source_frame) != boxes.frames:
            boxes = boxes.take(np.array(self.source_frame, dtype=np.int64))
        return ClipDetections(
            frame_index=np.array([index for index, _ in self.processed], dtype=np.int64),
            time_seconds=np.array([seconds for _, seconds in self.processed], dtype=np.float64),
            frame_row=boxes.frame_row,
            boxes=boxes.boxes,
            confidence=boxes.confidence,
            actor_index=boxes.actor_index,
            duration_seconds=end_seconds(np.array(self.decoded_seconds), self.last_duration_seconds),
            truncated=self.truncated,
            stride=stride,
            decoded=len(self.decoded_seconds),
            camera=np.array(self.camera, dtype=np.float32).reshape(-1, 2),
        )
