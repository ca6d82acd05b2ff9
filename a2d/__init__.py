"""The A2D label set, data set readers, metrics and their confidence intervals."""
