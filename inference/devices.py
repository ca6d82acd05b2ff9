"""The device that networks run on."""

import ctypes
import re
import sys

from common.errors import UserError


def find_device(name: str) -> str:
    """Resolve a device's name into one that torch knows and this machine has.

    Args:
        name: `auto` (CUDA where available, the CPU otherwise), `cpu`, `cuda` or `cuda:N`.

    Returns:
        `cpu` or `cuda:N`.

    Raises:
        UserError: If there is no such device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"device {name!r} was given, allowed: auto, cpu, cuda, cuda:N")
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return "cpu"
    if kind == "auto" and not _has_cuda_driver():  # so that torch need not be loaded to find out
        return "cpu"
    import torch

    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda:0" if devices else "cpu"
    if int(number or 0) >= devices:
        raise UserError(f"device {name!r} was given, this machine has {devices} CUDA devices")
    return f"cuda:{number or 0}"


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
