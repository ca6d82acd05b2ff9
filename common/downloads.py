"""Third-party weights that are known by name: their path, and the only code that downloads them.

The SHA-256 digests are those by which many projects pin these files; torchvision puts the first eight digits of a
file's digest into its name, which are all that is known here of some.
"""

import hashlib
import os
import queue
import re
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from common.errors import DownloadError
from common.files import sha256_file
from common.paths import weights_folder
from common.trusted_files import why_untrusted
from common.units import format_size

SOCKET_TIMEOUT_SECONDS = 5.0  # for each network operation: connecting, or reading a chunk
RESPONSE_TIMEOUT_SECONDS = 10.0  # until the response begins, name resolution and redirects included
CHUNK_BYTES = 1 << 18

ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download"
ULTRALYTICS_NAMES = re.compile(
    r"yolov3(-spp|-tiny)?u|yolov5[nsmlx]6?u|yolov8[nsmlx]|yolov9[tsmce]|yolov10[nsmblx]|yolo(11|12|26)[nsmlx]"
)
"""Of the detectors that Ultralytics publishes, trained on COCO; the first family is the challenge report's."""
OR_EMBEDDED = "or leave --detector away to use the embedded one"


@dataclass(frozen=True)
class KnownWeights:
    """A third-party weights file.

    Attributes:
        url: Where it is published.
        sha256: SHA-256 of its contents, 64 hexadecimal digits, or as many of the first as are published; None if it is
            not known here.
        size: Size in bytes; 0 if it is not known here.
        alternative: What the user can do without the file; ends the error message of a failed download.
    """

    url: str
    sha256: str | None
    size: int
    alternative: str

    @property
    def file_name(self) -> str:
        """Name of the file, both where it is published and in the weights folder."""
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Path in the weights folder, whether the file exists or not."""
        return weights_folder() / self.file_name

    def is_digest(self, digest: str) -> bool:
        """Return whether a SHA-256 is that of the file, as far as it is known."""
        return self.sha256 is None or digest.startswith(self.sha256)


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

TORCHVISION = "https://download.pytorch.org/models"
OR_OTHER_WEIGHTS = "or name others with --weights: a file, embedded or random"


def _torchvision(file: str, sha256: str, size: int) -> KnownWeights:
    return KnownWeights(f"{TORCHVISION}/{file}", sha256, size, OR_OTHER_WEIGHTS)


TORCHVISION_WEIGHTS = {
    "resnet18": _torchvision(
        "resnet18-f37072fd.pth", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 46_830_571
    ),
    "resnet34": replace(KNOWN_WEIGHTS["imagenet"], alternative=OR_OTHER_WEIGHTS),
    "resnet50": _torchvision(
        "resnet50-0676ba61.pth", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102_530_333
    ),
    "resnet152": _torchvision(
        "resnet152-394f9c45.pth", "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58", 0
    ),
    "vgg16": _torchvision(
        "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881
    ),
    "alexnet": _torchvision(
        "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244_408_911
    ),
    "r2plus1d_18": _torchvision("r2plus1d_18-91a641e6.pth", "91a641e6", 0),
    "r3d_18": _torchvision("r3d_18-b3b3357e.pth", "b3b3357e", 0),
}
"""torchvision's networks: of images trained on ImageNet (IMAGENET1K_V1), of clips on Kinetics-400 (KINETICS400_V1)."""


def find_weights(name: str) -> KnownWeights | None:
    """Return the weights of a name: one of `KNOWN_WEIGHTS`, or another of Ultralytics' detectors; None for others.

    >>> find_weights("yolov3u").url
    'https://github.com/ultralytics/assets/releases/download/v8.3.0/yolov3u.pt'
    """
    if name in KNOWN_WEIGHTS:
        return KNOWN_WEIGHTS[name]
    if not ULTRALYTICS_NAMES.fullmatch(name):
        return None
    release = "v8.4.0" if name.startswith("yolo26") else "v8.3.0"
    return KnownWeights(f"{ULTRALYTICS}/{release}/{name}.pt", None, 0, OR_EMBEDDED)


def download(weights: KnownWeights) -> Path:
    """Download a file into the weights folder and verify it; an incomplete or wrong file is never left there.

    The SHA-256 of a file whose own is not known is printed instead.

    Args:
        weights: The file to download.

    Returns:
        The path of the file, `weights.path`.

    Raises:
        DownloadError: If the file cannot be downloaded (within seconds where the server does not respond), or is not
            the expected one; the message is one line that says what to do instead.
        OSError: If the folder cannot be written.
    """
    from tqdm import tqdm

    path = weights.path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    size = f" ({format_size(weights.size)})" if weights.size else ""
    tqdm.write(f"downloading {weights.url}{size} into {path.parent}", file=sys.stderr)
    try:
        with temporary.open("wb") as file:
            digest = _fetch(weights, file)
        if weights.sha256 is None:
            tqdm.write(
                f"{path.name}: sha256 {digest}; it is not known here which one it should have: compare it with "
                "another source, if you doubt it",
                file=sys.stderr,
            )
        elif not weights.is_digest(digest):
            raise DownloadError(
                f"{weights.url}: the download has sha256 {digest[:8]}…, {weights.sha256[:8]}… was expected; it was "
                f"discarded: copy the right {path.name} into {path.parent}, {weights.alternative}"
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_download(weights: KnownWeights) -> Path:
    """Verify the file in the weights folder.

    Returns:
        The path of the file.

    Raises:
        DownloadError: If its SHA-256 is not the expected one; the message names both.
    """
    digest = sha256_file(weights.path)
    if weights.sha256 and not weights.is_digest(digest):
        raise DownloadError(
            f"{weights.path}: sha256 {digest[:8]}… was found, {weights.sha256[:8]}… was expected; delete the file"
        )
    return weights.path


def check_owner(weights: KnownWeights) -> None:
    """Check that a file in the weights folder is this user's own; another's must be the published one.

    Raises:
        DownloadError: If others could have put any file there, and it is not the expected one, or none is known.
    """
    reason = why_untrusted(weights.path.parent.stat()) or why_untrusted(weights.path.stat())
    if reason and sha256_file(weights.path) != weights.sha256:
        published = f" (sha256 {weights.sha256[:8]}…)" if weights.sha256 else ", as far as is known here"
        raise DownloadError(
            f"{weights.path}: {reason}, and it is not the published file{published}; copy it into "
            "a folder of your own and set ACTOR_ACTION_WEIGHTS to that, or name the file with --detector"
        )


def _fetch(weights: KnownWeights, file: IO[bytes]) -> str:
    """Copy a file from the network and return its SHA-256."""
    from http.client import HTTPException

    from tqdm import tqdm

    digest = hashlib.sha256()
    try:
        with (
            _open_url(weights.url) as response,
            tqdm(total=weights.size or None, desc=weights.file_name, unit="B", unit_scale=True, disable=None) as bar,
        ):
            while chunk := response.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
                bar.update(len(chunk))
    except (OSError, HTTPException, ValueError) as reason:
        raise DownloadError(
            f"{weights.file_name} cannot be downloaded from {weights.url} ({_first_line(reason)}): copy the file into "
            f"{weights.path.parent}, {weights.alternative}"
        ) from None
    return digest.hexdigest()


def _open_url(url: str) -> IO[bytes]:
    """Open a URL within `RESPONSE_TIMEOUT_SECONDS`.

    The timeout of a socket limits neither name resolution nor the number of addresses tried.
    """
    from urllib.request import urlopen

    responses: queue.SimpleQueue[IO[bytes] | Exception] = queue.SimpleQueue()

    def request() -> None:
        try:
            responses.put(urlopen(url, timeout=SOCKET_TIMEOUT_SECONDS))
        except Exception as reason:
            responses.put(reason)

    threading.Thread(target=request, daemon=True).start()
    try:
        response = responses.get(timeout=RESPONSE_TIMEOUT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {RESPONSE_TIMEOUT_SECONDS:g} s") from None
    if isinstance(response, Exception):
        raise response
    return response


def _first_line(reason: Exception) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0]
