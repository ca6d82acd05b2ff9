"""Training action heads: linear probe, fine-tuning, samples and cached features."""
