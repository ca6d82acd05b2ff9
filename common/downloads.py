"""Weights of others that a name stands for: where they lie, and the one place that downloads them when asked to.

The sha256 are those under which the files are pinned in public by many who use them; of the ResNet-34 file, torchvision
puts the first digits into its name.
"""

import hashlib
import os
import queue
import sys
import threading
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from tqdm import tqdm

from common.errors import DownloadError
from common.files import sha256_file
from common.paths import weights_folder

ASK_SECONDS = 5.0  # for one step of the network: a connection, a part of the file
ANSWER_SECONDS = 10.0  # until the file begins, whatever names, addresses and redirections that takes
PART_BYTES = 1 << 18

ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download"
OR_EMBEDDED = "or leave --detector away to use the embedded one"


@dataclass(frozen=True)
class KnownWeights:
    """A weights file of others.

    Attributes:
        url: Where it is published.
        sha256: Of its contents, 64 hexadecimal digits.
        size: In bytes.
        instead: What else its user can do, for the message when it cannot be had.
    """

    url: str
    sha256: str
    size: int
    instead: str

    @property
    def file_name(self) -> str:
        """What the file is called, in the weights folder too."""
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Where the file lies, or would."""
        return weights_folder() / self.file_name


KNOWN_WEIGHTS = {
    "yolo26n": KnownWeights(
        f"{ULTRALYTICS}/v8.4.0/yolo26n.pt",
        "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef",
        5_544_453,
        OR_EMBEDDED,
    ),
    "yolo11n": KnownWeights(
        f"{ULTRALYTICS}/v8.3.0/yolo11n.pt",
        "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
        5_613_764,
        OR_EMBEDDED,
    ),
    "yolov8n": KnownWeights(
        f"{ULTRALYTICS}/v8.3.0/yolov8n.pt",
        "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
        6_549_796,
        OR_EMBEDDED,
    ),
    "imagenet": KnownWeights(
        "https://download.pytorch.org/models/resnet34-b627a593.pth",
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        87_319_819,
        "or use another --trunk",
    ),
}


def download(weights: KnownWeights) -> Path:
    """Fetch a file into the weights folder; it is there whole and checked, or not at all.

    Args:
        weights: What to fetch.

    Returns:
        The file, `weights.path`.

    Raises:
        DownloadError: If it cannot be had, within seconds where nobody answers, or is not the file that is known; one
            line that says what to do instead.
        OSError: If the folder cannot be written.
    """
    path = weights.path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    tqdm.write(f"downloading {weights.url} ({weights.size / 1e6:.1f} MB) into {path.parent}", file=sys.stderr)
    try:
        with temporary.open("wb") as file:
            digest = _fetch(weights, file)
        if digest != weights.sha256:
            raise DownloadError(
                f"{weights.url}: what came has sha256 {digest[:8]}…, {weights.sha256[:8]}… was expected; it is not "
                f"kept: copy the right {path.name} into {path.parent}, {weights.instead}"
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_download(weights: KnownWeights) -> Path:
    """Check that the file in the weights folder is the one that is known.

    Returns:
        The file.

    Raises:
        DownloadError: If it is another, naming both hashes.
    """
    digest = sha256_file(weights.path)
    if digest != weights.sha256:
        raise DownloadError(
            f"{weights.path}: sha256 {digest[:8]}… was found, {weights.sha256[:8]}… was expected; delete the file"
        )
    return weights.path


def _fetch(weights: KnownWeights, file: IO[bytes]) -> str:
    """Copy a file from the network, and give its sha256."""
    digest = hashlib.sha256()
    try:
        with (
            _ask(weights.url) as answer,
            tqdm(total=weights.size, desc=weights.file_name, unit="B", unit_scale=True, disable=None) as bar,
        ):
            while part := answer.read(PART_BYTES):
                digest.update(part)
                file.write(part)
                bar.update(len(part))
    except (OSError, HTTPException, ValueError) as reason:
        raise DownloadError(
            f"{weights.file_name} cannot be had from {weights.url} ({_first_line(reason)}): copy the file into "
            f"{weights.path.parent}, {weights.instead}"
        ) from None
    return digest.hexdigest()


def _ask(url: str) -> IO[bytes]:
    """Open an address within `ANSWER_SECONDS`: names are looked up without end, and each address has its own wait."""
    answers: queue.SimpleQueue[IO[bytes] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urlopen(url, timeout=ASK_SECONDS))
        except Exception as reason:
            answers.put(reason)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _first_line(reason: Exception) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0]
