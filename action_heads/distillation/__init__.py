"""Distillation: training a backbone to reproduce the features of another."""
