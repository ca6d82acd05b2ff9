"""Looking at some frames of a clip only, until the presence of every actor is sure enough."""
