"""Kinds of input of an action head, by name; the names appear in head files and on the command line."""

WHOLE_FRAME, CROP, BOTH, MOVING = "frame", "crop", "both", "moving"
INPUT_KINDS = (CROP, WHOLE_FRAME, BOTH, MOVING)
VIEWS_BY_INPUT = {WHOLE_FRAME: (WHOLE_FRAME,), CROP: (CROP,), BOTH: (WHOLE_FRAME, CROP), MOVING: (WHOLE_FRAME, CROP)}
"""Views of a frame that the network processes for each kind of input; the features of several views are concatenated.
Heads with input `moving` also receive features of the actor's motion through the clip."""

MOTION_LAYER = "motion"  # of heads with input `moving`: weight (outputs, M), range (2, M), no bias
MOTION_DIM = 18  # M, the number of names in `actor_detector.motion.features.MOTION_FEATURES`
