"""Large allocations are returned to the system instead of growing the heap."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
import numpy as np
from common.system import return_large_allocations
if sys.argv[1] == "yes":
    return_large_allocations()
for _ in range(3):  # glibc takes the first from the system and, once it was freed, the next from the heap
    image = np.ones(1_000_000, np.uint8)
    del image
image = np.ones(900_000, np.uint8)
(heap,) = [line for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]")]
first, last = (int(end, 16) for end in heap.split()[0].split("-"))
print(first <= image.ctypes.data < last)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="specific to glibc")
def test_return_large_allocations_keeps_images_off_the_heap():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    root = Path(__file__).resolve().parents[2]
    on_heap = [
        subprocess.run(
            [sys.executable, "-c", CODE, choice], cwd=root, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        for choice in ("no", "yes")
    ]
    assert on_heap == ["True", "False"]
