"""Large blocks go back to the system: the heap, where small things stay, is not for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
import numpy as np
from common.system import return_large_blocks
if sys.argv[1] == "yes":
    return_large_blocks()
for _ in range(3):  # glibc takes the first from the system, and the next, once it was given back, from the heap
    image = np.ones(1_000_000, np.uint8)
    del image
image = np.ones(900_000, np.uint8)
(heap,) = [line for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]")]
first, last = (int(end, 16) for end in heap.split()[0].split("-"))
print(first <= image.ctypes.data < last)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's way")
def test_images_are_not_taken_from_the_heap():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    root = Path(__file__).resolve().parents[2]
    said = [
        subprocess.run(
            [sys.executable, "-c", CODE, choice], cwd=root, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        for choice in ("no", "yes")
    ]
    assert said == ["True", "False"]
