"""Stage 2: one action head per actor, its training, its checkpoints and its predictions."""
