"""Fixtures that all tests share, and the option that makes the kit of real clips mandatory.

Tests that need real clips or third-party weights request the fixture `kit` or `yolo`, and are skipped without the kit.
Everything else runs on the embedded models and on clips that are made on the spot, see `photo_clips`.
"""

import os
import random
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import photo_clips
import pytest

from a2d.metrics import Scores
from a2d.taxonomy import Taxonomy, load_taxonomy
from actor_detector.detector_settings import DetectorSettings
from common.files import sha256_file
from common.paths import PROJECT, kit_folder
from inference.devices import find_device
from pipeline.config import TaggerConfig
from pipeline.known_detectors import EMBEDDED_FILE, EMBEDDED_SETTINGS
from pipeline.visualization.demo_clip import write_demo
from thresholds.gates import DetectorIdentity, Gates, save_gates

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# In an environment of their own, which takes a while to set up, see CONTRIBUTING.md.
collect_ignore = [] if "ACTOR_ACTION_TOOLS" in os.environ else ["pipeline/test_other_tools.py"]
if find_device("auto") == "cpu":
    collect_ignore.append("inference/test_cuda_engine.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--require-kit`."""
    parser.addoption("--require-kit", action="store_true", help="fail if the kit is missing or any test is skipped")


def pytest_configure(config: pytest.Config) -> None:
    """Time no test; with `--require-kit`, refuse to start without the kit."""
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    if config.getoption("--require-kit") and (reason := _missing_kit()):
        raise pytest.UsageError(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With `--require-kit`, turn a skipped test into a failed one."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--require-kit"):
        report.outcome, report.longrepr = "failed", _skipped(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With `--require-kit`, turn a skipped module into a failed one."""
    report = yield
    if report.skipped and collector.config.getoption("--require-kit"):
        report.outcome, report.longrepr = "failed", _skipped(report.longrepr)
    return report


def _skipped(reason: object) -> str:
    return f"skipped, although --require-kit was given: {reason}"


def _missing_kit() -> str:
    """Return why the tests of real clips cannot run; empty if they can."""
    folder = kit_folder()
    if (folder / "clips.csv").is_file():
        return ""
    return f"the kit of real clips is not in {folder}: set ACTOR_ACTION_KIT to its folder"


@pytest.fixture(scope="session", autouse=True)
def clean_project() -> Iterator[None]:
    """No test leaves anything in the project's own folder, where it would soon be committed."""
    before = _visible_names()
    yield
    assert not (left := _visible_names() - before), f"tests left {', '.join(sorted(left))} in {PROJECT}"


def _visible_names() -> set[str]:
    ignored = {line.strip("/") for line in (PROJECT / ".gitignore").read_text().splitlines()}
    return {path.name for path in PROJECT.iterdir() if not path.name.startswith((".", "__"))} - ignored


@pytest.fixture(scope="session")
def kit() -> Path:
    """The folder of real clips and weights, which is not part of the repository; `ACTOR_ACTION_KIT` names it."""
    if reason := _missing_kit():
        pytest.skip(reason)
    return kit_folder()


@pytest.fixture(autouse=True)
def _restore_random_state() -> Iterator[None]:
    """Restore the global generators, so that a test that seeds one, as pyswarms requires, does not affect others."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Headless Chromium, driven by Playwright; a test that requests it is skipped without them."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("needs Chromium (on Debian: apt install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """The taxonomy of A2D."""
    return load_taxonomy()


@pytest.fixture(scope="session")
def yolo(kit: Path) -> Path:
    """Weights of a COCO-trained YOLO26n, a `.pt` file."""
    return kit / "weights" / "yolo26n.pt"


@pytest.fixture
def named_clips(tmp_path: Path) -> Path:
    """A folder of files named like clips, for readers of labels, which do not open them."""
    for name in ("a b.mp4", "b.mp4", "demo.mp4"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.fixture(scope="session")
def people_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 2 seconds and 8 frames; the embedded detector finds people, and nothing else, in all of them."""
    return photo_clips.write_people(tmp_path_factory.mktemp("clips") / "people.mp4")


@pytest.fixture(scope="session")
def cat_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 2 seconds and 8 frames; the embedded detector finds a cat, and nothing else, in all of them."""
    return photo_clips.write_cat(tmp_path_factory.mktemp("clips") / "cat.mp4")


@pytest.fixture(scope="session")
def people_and_cat_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 2 seconds and 8 frames; the embedded detector finds a person and a cat in all of them."""
    return photo_clips.write_people_and_cat(tmp_path_factory.mktemp("clips") / "people-and-cat.mp4")


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip of `tag --demo`: people in three of its four scenes, a cat in one."""
    path = tmp_path_factory.mktemp("clips") / "demo.mp4"
    write_demo(path)
    return path


@pytest.fixture(scope="session")
def gates_file(taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gates of 0.1 for the embedded detector with its default settings."""
    return write_gates(tmp_path_factory.mktemp("gates") / "gates.yaml", taxonomy, EMBEDDED_FILE, EMBEDDED_SETTINGS)


@pytest.fixture(scope="session")
def yolo_gates_file(yolo: Path, taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gates of 0.1 for the YOLO26n with the published settings."""
    return write_gates(tmp_path_factory.mktemp("gates") / "yolo.yaml", taxonomy, yolo, DetectorSettings())


def write_gates(path: Path, taxonomy: Taxonomy, detector: Path, settings: DetectorSettings) -> Path:
    """Write a file with a gate of 0.1 for every actor, and return its path."""
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
        detector=DetectorIdentity(sha256_file(detector), settings.image_size, settings.confidence, detector.stem),
    )
    save_gates(gates, path)
    return path


@pytest.fixture(scope="session")
def heads(taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six head files on the embedded trunk with random classifiers; those of cats and dogs are given crops."""
    return write_heads(tmp_path_factory.mktemp("heads"), taxonomy)


def write_heads(folder: Path, taxonomy: Taxonomy, name: str = "efficientnet_lite0", tuned: str = "classifier") -> Path:
    """Write six heads of a backbone on its embedded trunk, as training in a tuning mode would."""
    import torch

    from action_heads.backbones import find_backbone
    from action_heads.checkpoint import HeadManifest, head_path, save_head
    from action_heads.model import initialize_from_trunk, load_trunk

    backbone = find_backbone(name)
    trunk = load_trunk("embedded", backbone)
    for actor in taxonomy.actors:
        with torch.random.fork_rng():
            torch.manual_seed(actor.index)
            network = backbone.build(len(actor.labels))
        initialize_from_trunk(network, trunk)
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
    """The detection cache that the tests share, so that each clip is processed once."""
    return tmp_path_factory.mktemp("detections")


@pytest.fixture
def config(gates_file: Path, heads: Path, cache: Path) -> TaggerConfig:
    """A complete pipeline with the embedded detector and untrained heads; a head is given a frame every second."""
    return TaggerConfig(heads=heads, thresholds=gates_file, device="cpu", sample_every_seconds=1.0, cache=cache)


@pytest.fixture
def stages(gates_file: Path, heads: Path, cache: Path) -> list[str]:
    """Arguments of `tag` and `score-split` for the same pipeline."""
    return [
        *("--thresholds", str(gates_file), "--heads", str(heads), "--cache", str(cache)),
        *("--device", "cpu", "--look-every", "1"),
    ]
