"""Scoring labelled splits, and attributing the errors to stages."""
