"""Training a small actor detector from the pseudo-labels of larger ones."""
