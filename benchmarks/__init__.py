"""Benchmarks of speed and memory; each is one command."""
