"""Experiments on accuracy: ablation, cross-validation, detector comparison and the model card's tables."""
