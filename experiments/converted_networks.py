"""The networks that every run on a CPU needs, converted for OpenVINO: what `models/converted` contains.

    python -m experiments.converted_networks

To be repeated whenever the embedded detector or the heads' trunk changes; `tests/inference/test_shipped_networks.py`
says when. A network is found by a key that contains the sha256 of its weights, so that another one is never run by
mistake.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from a2d.taxonomy import load_taxonomy
from inference import openvino_engine
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from pipeline.manifest import MANIFEST_FILE, load_manifest

DATA = "models/actor_detector.safetensors and models/trunk_efficientnet_lite0.safetensors"
SOURCE = "AGPL-3.0 (the detector), Apache-2.0 (the trunk)"


def convert(cache: Path) -> list[Path]:
    """Convert the embedded detector and the heads' trunk, none of which may be in `models/converted`.

    Args:
        cache: An empty folder, to which they are written as to any cache.

    Returns:
        Their files: a graph and its weights each.
    """
    config = TaggerConfig(device="cpu", backend="openvino", engines=cache)
    detector = CachedDetector.from_config(config, load_taxonomy(config.taxonomy))
    assert detector.confirmer
    image = np.zeros((1, 224, 224, 3), np.uint8)
    detector.model.detect(image)
    detector.confirmer.engine.submit(image).result()
    return sorted(path for path in cache.rglob("*") if path.suffix in (".xml", ".bin"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert them, and record their files in the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    folder, manifest = openvino_engine.SHIPPED, load_manifest(MANIFEST_FILE)
    shutil.rmtree(folder, ignore_errors=True)
    others = {name: entry for name, entry in manifest.entries.items() if (manifest.root / name).parent != folder}
    manifest = replace(manifest, entries=others)
    with TemporaryDirectory() as cache:
        files = convert(Path(cache))
        folder.mkdir()
        for path in files:
            shipped = folder / f"{path.stem.rpartition('-')[0]}{path.suffix}"  # without the version of OpenVINO
            shutil.copyfile(path, shipped)
            manifest = manifest.record(
                shipped, made_by="python -m experiments.converted_networks", data=DATA, seed=0, source=SOURCE
            )
            print(shipped)
    manifest.save()


if __name__ == "__main__":
    main()
