"""Where things lie that are not in the project: downloaded weights, caches, the development kit."""

import os
from pathlib import Path

import platformdirs

PROJECT = Path(__file__).resolve().parent.parent


def weights_folder() -> Path:
    """Where downloaded or hand-copied weights lie: `ACTOR_ACTION_WEIGHTS`, or a folder in the user's cache."""
    return _folder("ACTOR_ACTION_WEIGHTS", platformdirs.user_cache_path("actor-action") / "weights")


def cache_folder() -> Path:
    """Where detections are kept: `ACTOR_ACTION_CACHE`, or a folder in the user's cache."""
    return _folder("ACTOR_ACTION_CACHE", platformdirs.user_cache_path("actor-action") / "detections")


def ultralytics_folder() -> Path:
    """Where Ultralytics keeps its settings: `YOLO_CONFIG_DIR`, or a folder in the user's cache."""
    return _folder("YOLO_CONFIG_DIR", platformdirs.user_cache_path("actor-action") / "ultralytics")


def kit_folder() -> Path:
    """Where the development kit lies: `ACTOR_ACTION_KIT`, or `shared/data` beside the checkout."""
    return _folder("ACTOR_ACTION_KIT", PROJECT.parent / "shared" / "data")


def _folder(variable: str, default: Path) -> Path:
    named = os.environ.get(variable)
    return Path(named).expanduser() if named else default
