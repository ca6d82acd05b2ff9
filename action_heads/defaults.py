"""Defaults of the action heads that commands show in their help; importing them loads no library."""

LABEL_THRESHOLD = 0.3  # of one head, or of a moment; by grouped cross-validation over train clips, one for all of them
AUXILIARY_WEIGHT = 0.3  # by grouped cross-validation over train clips; F1 varies by half a point from 0.1 to 1
STILLS_WEIGHT = 0.1
