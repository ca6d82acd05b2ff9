"""Cores that processes of one machine claim for themselves, so that no two of them are kept to the same ones."""

import os
import tempfile
from pathlib import Path

from common.system import Share, available_cores

_claims: list[int] = []  # files, open as long as this process lives


def claim_cores(count: int) -> Share:
    """Claim as many cores for this process and those that it starts.

    A claim is a lock on a file that all processes of the user share; it ends with the process.

    Returns:
        What this process may use: without cores if so many are not free, if others may be limited to them as well (see
        `common.system.share_cores`), or if the system has neither such locks nor such limits.
    """
    if not hasattr(os, "sched_getaffinity") or available_cores() != len(os.sched_getaffinity(0)):
        return Share(count)
    import fcntl

    folder = Path(tempfile.gettempdir()) / f"actor-action-cores-{os.getuid()}"
    claimed: dict[int, int] = {}
    for core in sorted(os.sched_getaffinity(0)):
        if len(claimed) == count:
            break
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            file = os.open(folder / str(core), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it
            os.close(file)
        else:
            claimed[core] = file
    if len(claimed) < count:
        for file in claimed.values():
            os.close(file)
        return Share(count)
    _claims.extend(claimed.values())
    return Share(count, tuple(claimed))
