"""Tagging in a worker process that a clip may crash, and the process that watches over it."""
