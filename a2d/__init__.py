"""The label set, data set formats, metrics and their confidence intervals."""
