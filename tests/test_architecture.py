"""The house stays a house: imports go down only, heavy libraries have one door each, and importing is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("a2d", "actor_detector", "thresholds", "action_heads", "pipeline")
SCRIPTS = (
    "run_pipeline",
    "tune_thresholds",
    "retrain_head",
    "add_actor",
    "score_split",
    "retrain_detector",
    "download_weights",
    "distil_trunk",
)
BELOW = {
    "a2d": set(),
    "actor_detector": {"a2d"},
    "thresholds": {"a2d"},
    "action_heads": {"a2d"},
    "pipeline": {"a2d", "actor_detector", "thresholds", "action_heads"},
}
ONE_DOOR = {
    "ultralytics": "actor_detector/yolo.py",
    "pyswarms": "thresholds/swarm.py",
    "sklearn": "action_heads/training/linear_probe.py",
    "timm": "action_heads/backbones.py",
    "openvino": "inference/openvino_engine.py",
    "nncf": "inference/openvino_engine.py",
}
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
)
# These are the rooms behind the doors: whoever imports them wants the heavy library itself.
HEAVY_MODULES = {
    "inference.openvino_engine",
    "inference.torch_engine",
    "action_heads.backbones",
    "action_heads.training.temperature",
    "action_heads.distillation.grid_pooling",
    "action_heads.training.linear_probe",
    "action_heads.distillation.trainer",
    "action_heads.training.features",
    "action_heads.model",
    "action_heads.distillation.random_crops",
    "action_heads.training.finetuning",
    "actor_detector.training.frozen_features",
    "actor_detector.training.initial_weights",
    "actor_detector.training.pseudo_labels",
    "actor_detector.training.trainer",
    "actor_detector.training.augmentation",
    "pipeline.training.detector_training",
    "pipeline.training.head_features",
    "pipeline.training.head_training",
    "pipeline.training.work_folder",
    "pipeline.training.trunk_distillation",
}
FILES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))
MODULES = [".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for path in FILES]


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(str(node.module).split(".")[0])
    return names


def modules_after(code: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has loaded after running some code in the project."""
    report = f"import sys; {code}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_package_is_looked_at():
    assert len(FILES) > 20
    assert {path.relative_to(PROJECT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_imports_go_down_only(path: Path):
    package = path.relative_to(PROJECT).parts[0]
    above = (imported(path) & {*PACKAGES, *SCRIPTS}) - {package} - BELOW[package]
    assert not above, f"{path} must not import {above}"


@pytest.mark.parametrize(("library", "door"), ONE_DOOR.items())
def test_some_libraries_have_one_door(library: str, door: str):
    files = [*FILES, *(PROJECT / f"{script}.py" for script in SCRIPTS)]
    users = [path.relative_to(PROJECT).as_posix() for path in files if library in imported(path)]
    assert users == [door]


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_file_holds_a_docstring_and_nothing_else(package: str):
    body = ast.parse((PROJECT / package / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_importing_is_cheap():
    light = [module for module in MODULES if module not in HEAVY_MODULES]
    assert len(light) > 15
    assert modules_after(f"import {', '.join(light)}") == set()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_loads_nothing_heavy(script: str):
    code = f"import {script}; {script}.build_parser().format_help()"
    assert modules_after(code) == set()


def test_files_stay_readable_in_one_sitting():
    long = {str(path): n for path in FILES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long
