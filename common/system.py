"""The machine that a process runs on: its cores, and how its C library manages memory."""

import ctypes
import math
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from threading import Lock
from time import monotonic

from common.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # as in glibc's malloc.h
MAX_ARENAS = 2
PR_SET_PDEATHSIG = 1  # as in Linux's prctl.h
LARGE_BYTES = 1 << 18  # images are larger; what stays in memory for each frame is smaller
HEAP_BYTES = 32 << 20  # of the largest block that glibc can serve from the heap
KEPT_BYTES = 1 << 30  # free at the heap's end, from which it is returned while a network computes
TRIM_SECONDS = 1.0  # between two times that all heaps are searched for what is free
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
THREADS_VARIABLE = "ACTOR_ACTION_THREADS"
MAX_THREADS = 1024
LIBRARY_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Environment variables that libraries read when they are loaded, each for the size of its pool of threads."""


def available_cores() -> int:
    """Return the number of cores to use: as set by `use_threads`, or as many as this process may use.

    A container's CPU quota counts as so many cores, rounded up: with more threads, all would be paused whenever the
    quota of a period is used up.

    Raises:
        UserError: If the environment variable `ACTOR_ACTION_THREADS` is not a whole number in [1, 1024].
    """
    wanted = os.environ.get(THREADS_VARIABLE)
    if wanted:
        if not re.fullmatch("[0-9]{1,4}", wanted) or not 1 <= int(wanted) <= MAX_THREADS:
            raise UserError(f"{THREADS_VARIABLE}={wanted!r} was given, 1 to {MAX_THREADS} is allowed")
        return int(wanted)
    cores = _cores_of_affinity()
    try:
        quota = cpu_quota(CGROUPS, MEMBERSHIP.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not Linux
        quota = None
    return cores if quota is None else min(cores, max(1, math.ceil(quota)))


def use_threads(count: int | None) -> None:
    """Set how many threads compute in this process and in those that it starts.

    OpenVINO and the video decoder follow `available_cores`. PyTorch, NumPy and OpenCV follow environment variables if
    they are not loaded yet, as in the commands; otherwise, PyTorch and OpenCV are told.

    Args:
        count: Number of threads, in [1, 1024]. None leaves all settings as they are, except that a container's CPU
            quota limits the libraries' pools, of which most only know the number of cores.
    """
    if count is not None:
        os.environ[THREADS_VARIABLE] = str(count)
        os.environ.update(dict.fromkeys(LIBRARY_VARIABLES, str(count)))
    elif (limit := available_cores()) < _cores_of_affinity():
        for name in LIBRARY_VARIABLES:
            os.environ.setdefault(name, str(limit))
    else:
        return
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(available_cores())
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(available_cores())


@dataclass(frozen=True)
class Share:
    """What a process may use of the machine.

    Attributes:
        threads: That compute, at least 1.
        cores: On which all of its threads run; empty for any.
    """

    threads: int
    cores: tuple[int, ...] = ()


def share_cores(processes: int) -> list[Share]:
    """Divide the cores among processes, see `available_cores`; each gets one at least, several the same if need be.

    Under a CPU quota, and where the number of threads is set, no process is kept to some cores: nobody knows which of
    them others use.
    """
    cores = available_cores()
    threads = [max(1, cores // processes + (number < cores % processes)) for number in range(processes)]
    if not hasattr(os, "sched_getaffinity") or cores != len(os.sched_getaffinity(0)):
        return [Share(count) for count in threads]
    numbers = sorted(os.sched_getaffinity(0)) * processes
    ends = list(accumulate(threads))
    return [Share(count, tuple(numbers[end - count : end])) for count, end in zip(threads, ends, strict=True)]


def keep_to_share(share: Share) -> None:
    """Keep this process, and those that it starts, to a share; call it before libraries with threads are loaded."""
    if share.cores:
        os.sched_setaffinity(0, share.cores)
    use_threads(share.threads)


def cpu_quota(cgroups: Path, membership: str) -> float | None:
    """Return the CPU quota of a process: the lowest of its control groups, including those around them.

    Args:
        cgroups: Where the control groups are mounted, version 1, 2, or both.
        membership: The contents of the process's `/proc/<pid>/cgroup`.

    Returns:
        The number of cores whose time it may use, or None if there is no quota. What is not readable is no quota.
    """
    quotas = []
    for line in membership.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        # In a container, the path may be that of the host, which does not exist inside: the mounted root is the group.
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        groups = [PurePosixPath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
        if not controllers:  # version 2
            mounts, read = [cgroups, cgroups / "unified"], _quota_of_version_2
        elif "cpu" in controllers.split(","):
            mounts, read = [cgroups / controllers, cgroups / "cpu"], _quota_of_version_1
        else:
            continue
        quotas += [quota for mount in mounts for group in groups if (quota := read(mount / group)) is not None]
    return min(quotas, default=None)


def _quota_of_version_1(group: Path) -> float | None:
    """Read `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`."""
    (quota, *_), (period, *_) = _fields(group / "cpu.cfs_quota_us"), _fields(group / "cpu.cfs_period_us")
    return _cores(quota, period)


def _quota_of_version_2(group: Path) -> float | None:
    """Read `cpu.max`, which contains the quota (`max`: none) and the period."""
    quota, period, *_ = [*_fields(group / "cpu.max"), ""]
    return _cores(quota, period or "100000")


def _fields(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split() or [""]
    except (OSError, ValueError):
        return [""]


def _cores(quota: str, period: str) -> float | None:
    """Divide a quota by its period, both in microseconds."""
    if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return None


def _cores_of_affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def return_large_allocations() -> None:
    """Make the C library return large blocks to the system as soon as they are freed.

    By default, glibc starts to serve images from the heap once it has seen a few. What stays in memory for each frame
    is then allocated between them, and the heap grows by some ten megabytes for each minute of video. Does nothing on
    other C libraries, or where the environment sets `MALLOC_MMAP_THRESHOLD_`.

    Besides, limits the number of heaps: with one for each thread, all keep what only one of them needs at a time.
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    try:
        library = _c_library()
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        if "MALLOC_ARENA_MAX" not in os.environ:
            library.mallopt(M_ARENA_MAX, MAX_ARENAS)
    except (AttributeError, OSError):  # another C library
        return
    _Allocations.are_returned = True


@contextmanager
def reuse_large_allocations() -> Iterator[None]:
    """Let the C library keep large blocks and serve them again, while PyTorch computes on the CPU.

    PyTorch allocates the output of every layer anew. If each were returned to the system when it is freed, the system
    would have to clear all of its pages again the next time, which takes longer than most layers. What is free at the
    end stays with the process, see `return_free_memory`. Does nothing unless `return_large_allocations` was called, to
    whose settings it returns. Threads may be in it at the same time.
    """
    if not _Allocations.are_returned:
        yield
        return
    _Allocations.enter()
    try:
        yield
    finally:
        _Allocations.leave()


class _Allocations:
    """How the C library serves large blocks, and how many are at work that want it to keep them."""

    are_returned = False
    users = 0
    lock = Lock()

    @classmethod
    def enter(cls) -> None:
        with cls.lock:
            cls.users += 1
            if cls.users == 1:
                _c_library().mallopt(M_MMAP_THRESHOLD, HEAP_BYTES)
                _c_library().mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)

    @classmethod
    def leave(cls) -> None:
        with cls.lock:
            cls.users -= 1
            if not cls.users:
                _c_library().mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


class _Trimming:
    """When the heaps are returned to the system next."""

    next_at = 0.0


def return_free_memory() -> None:
    """Return to the system what is free between the blocks of the C library's heaps.

    Pictures of small videos are not large allocations. Without this, the heaps grow from clip to clip by what lies
    between the few blocks that stay. It takes some milliseconds, hence within a second of the last time it does
    nothing; nor on other C libraries than glibc.
    """
    if sys.platform != "linux" or monotonic() < _Trimming.next_at:
        return
    _Trimming.next_at = monotonic() + TRIM_SECONDS
    try:
        _c_library().malloc_trim(0)
    except (AttributeError, OSError):  # another C library
        return


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def end_with_parent() -> None:
    """Have this process killed as soon as the one that started it ends, however it ends; only Linux can do that."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            _c_library().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
