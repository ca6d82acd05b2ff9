"""Stage 1: a YOLO detector runs on the frames of a clip; the share of frames with an actor is its presence ratio."""
