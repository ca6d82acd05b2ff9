"""Stage 1: a YOLO detector over every frame, and how much of a clip each actor is in."""
