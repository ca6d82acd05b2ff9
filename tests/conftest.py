"""What every test may ask for, and what every test is protected from."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from a2d.metrics import Scores
from a2d.taxonomy import Taxonomy, load_taxonomy
from common.files import sha256_file
from pipeline.config import TaggerConfig
from thresholds.gates import DetectorIdentity, Gates, save_gates

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def kit() -> Path:
    """The folder of real clips and weights, which is no part of the repository; ACTOR_ACTION_KIT says where it is."""
    folder = Path(os.environ.get("ACTOR_ACTION_KIT", BESIDE_THE_CHECKOUT))
    if not (folder / "clips.csv").is_file():
        pytest.fail(f"the kit of real clips is not at {folder}: set ACTOR_ACTION_KIT to its folder")
    return folder


@pytest.fixture(autouse=True)
def _restore_random_state() -> Iterator[None]:
    """Keep a test that seeds a global generator, as pyswarms makes us do, from steering the tests after it."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """A2D's own."""
    return load_taxonomy()


@pytest.fixture(scope="session")
def yolo(kit: Path) -> Path:
    """Real weights of a COCO-trained YOLO26n."""
    return kit / "weights" / "yolo26n.pt"


@pytest.fixture(scope="session")
def gates_file(yolo: Path, taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gates of 0.1 that fit the real YOLO at the published settings."""
    gates = Gates(
        actors=taxonomy.actor_names,
        values=np.full(len(taxonomy.actors), 0.1),
        objective="prf",
        optimizer="spso2011",
        reached=Scores(0.5, 0.5, 0.5),
        seed=0,
        bounds=(0.1, 0.4),
        data="test",
        split="train",
        clips=1,
        detector=DetectorIdentity(sha256_file(yolo), 224, 0.5, "yolo26n"),
    )
    path = tmp_path_factory.mktemp("gates") / "gates.yaml"
    save_gates(gates, path)
    return path


@pytest.fixture(scope="session")
def heads(taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six real head files on the embedded trunk, whose last layers have learned nothing; cats and dogs see crops."""
    return write_heads(tmp_path_factory.mktemp("heads"), taxonomy)


def write_heads(folder: Path, taxonomy: Taxonomy, name: str = "efficientnet_lite0", tuned: str = "classifier") -> Path:
    """Write six heads of a backbone on its embedded trunk, as if so much of it had been tuned."""
    import torch

    from action_heads.backbones import find_backbone
    from action_heads.checkpoint import HeadManifest, head_path, save_head
    from action_heads.model import load_trunk, start_from

    backbone = find_backbone(name)
    trunk = load_trunk("embedded", backbone)
    for actor in taxonomy.actors:
        with torch.random.fork_rng():
            torch.manual_seed(actor.index)
            network = backbone.build(len(actor.labels))
        start_from(network, trunk)
        manifest = HeadManifest(
            actor=actor.name,
            labels=actor.label_names,
            backbone=backbone.name,
            tuned=tuned,
            input="crop" if actor.name in ("cat", "dog") else "frame",
            preprocessing=trunk.preprocessing.to_dict(),
            trunk={"source": trunk.source, "sha256": trunk.sha256},
            recipe={},
            data={},
            seed=actor.index,
            scores={},
        )
        save_head(head_path(folder, actor.name), network, manifest)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detections that the tests share, so that each clip is detected once."""
    return tmp_path_factory.mktemp("detections")


@pytest.fixture
def config(yolo: Path, gates_file: Path, heads: Path, cache: Path) -> TaggerConfig:
    """A whole pipeline of real parts."""
    return TaggerConfig(
        detector=str(yolo), heads=heads, thresholds=gates_file, device="cpu", look_every=1.0, cache=cache
    )
