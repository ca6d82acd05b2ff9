"""Keeping the process small over long clips."""

import ctypes
import os
import sys

M_MMAP_THRESHOLD = -3  # as glibc's malloc.h has it
LARGE_BYTES = 1 << 18  # images are larger, what is kept of a frame is smaller


def return_large_blocks() -> None:
    """Have the C library give large blocks back to the system as soon as they are freed.

    Left alone, glibc takes images from the heap too once it has seen a few; what is kept of each frame then lies
    between them, and the heap grows by some ten megabytes a minute of video. Does nothing elsewhere than on glibc, or
    where the environment has chosen (`MALLOC_MMAP_THRESHOLD_`).
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    except (AttributeError, OSError):  # another C library
        return
