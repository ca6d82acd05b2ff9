"""Speed of the action heads' trunks: images per second by backbone and backend.

Run from the repository root: `python -m benchmarks.bench_heads`.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from action_heads.prediction import BATCH_SIZE
from benchmarks.interleaved import Candidate, time_interleaved
from benchmarks.report import make_parser, publish
from common.paths import cache_folder
from inference.interfaces import Network, content_key
from inference.runtime import BF16, F32, OPENVINO, TORCH, make_runtime

BACKBONES = ("efficientnet_lite0", "resnet34")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=64)
    arguments = parser.parse_args(argv)
    candidates = {
        f"{backbone}, {make_runtime(backend, precision, 'cpu', None).name}": Candidate(
            _prepare_trunk,
            {"backbone": backbone, "backend": backend, "precision": precision, "images": arguments.images},
        )
        for backbone in BACKBONES
        for backend in (TORCH, OPENVINO)
        for precision in (F32, BF16)
    }
    timings = time_interleaved(candidates, arguments.repeats)
    rows = {name: {"images_per_second": round(arguments.images / timing.median, 1)} for name, timing in timings.items()}
    publish({"images": arguments.images}, rows, arguments.out)
    return 0


def _prepare_trunk(backbone: str, backend: str, precision: str, images: int) -> Callable[[], Any]:
    from action_heads.backbones import find_backbone
    from action_heads.model import feature_extractor, load_trunk
    from inference.torch_engine import Preprocessed

    trunk = load_trunk("embedded", find_backbone(backbone))
    preprocessing = trunk.preprocessing
    network = Network(
        content_key("bench", trunk.sha256, preprocessing.to_dict()),
        lambda: Preprocessed(feature_extractor(trunk).eval(), preprocessing.mean, preprocessing.std),
    )
    runtime = make_runtime(backend, precision, "cpu", cache_folder() / "engines")
    size = (preprocessing.size, preprocessing.size)
    engine = runtime.engine(network, size, BATCH_SIZE)
    inputs = np.random.default_rng(0).integers(0, 256, (images, *size, 3)).astype(np.uint8)
    return lambda: engine.submit(inputs).result()


if __name__ == "__main__":
    sys.exit(main())
