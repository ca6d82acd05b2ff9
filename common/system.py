"""The machine that a process runs on: its cores, and how its C library manages memory."""

import ctypes
import os
import sys

M_MMAP_THRESHOLD = -3  # as in glibc's malloc.h
LARGE_BYTES = 1 << 18  # images are larger; what stays in memory for each frame is smaller


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def return_large_allocations() -> None:
    """Make the C library return large blocks to the system as soon as they are freed.

    By default, glibc starts to serve images from the heap once it has seen a few. What stays in memory for each frame
    is then allocated between them, and the heap grows by some ten megabytes for each minute of video. Does nothing on
    other C libraries, or where the environment sets `MALLOC_MMAP_THRESHOLD_`.
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    except (AttributeError, OSError):  # another C library
        return
