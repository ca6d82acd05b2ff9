"""Defaults of the action heads that commands show in their help; importing them loads no library."""

LABEL_THRESHOLD = 0.3  # by grouped cross-validation over train clips; F1 varies by one point from 0.25 to 0.5
AUXILIARY_WEIGHT = 0.3  # by grouped cross-validation over train clips; F1 varies by half a point from 0.1 to 1
STILLS_WEIGHT = 0.1
