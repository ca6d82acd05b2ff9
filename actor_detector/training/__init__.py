"""Training of a small actor detector on the pseudo-labels of larger ones."""
