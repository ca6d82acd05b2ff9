"""What a fresh interpreter has loaded after running some code, to check that imports stay cheap."""

import json
import subprocess
import sys
from collections.abc import Iterable

from common.paths import PROJECT

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "sklearn",
    "ultralytics",
    "pyswarms",
    "openvino",
    "nncf",
    "cv2",
    "av",
    "h5py",
    "scipy",
    "matplotlib",
    "pyarrow",
)
"""Libraries that take long to import."""


def loaded_after(code: str, libraries: Iterable[str] = HEAVY) -> set[str]:
    """Return which of some libraries a fresh interpreter has loaded after running statements, even if they exit."""
    report = f"import json, sys; print(json.dumps([name for name in {[*libraries]!r} if name in sys.modules]))"
    script = f"try:\n    {code}\nexcept SystemExit:\n    pass\n{report}"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))
