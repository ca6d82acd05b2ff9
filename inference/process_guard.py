"""A refusal of forked processes: the threads of the libraries that run networks do not exist in them.

There, OpenVINO, and PyTorch's OpenMP, wait for ever for threads of the parent process.
"""

import os

from common.errors import UserError

_process_id: int | None = None


def check_process() -> None:
    """Refuse to run networks in a process that was forked from one that has run some.

    To be called before anything else, locks included, since another thread of the parent may have held them.

    Raises:
        UserError: If this is such a process.
    """
    global _process_id
    if _process_id is None:
        _process_id = os.getpid()
    elif _process_id != os.getpid():
        raise UserError(
            "networks cannot run in a process that was forked after they ran in its parent: start processes with "
            "multiprocessing.get_context('spawn'), and create a tagger in each"
        )
