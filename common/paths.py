"""Paths of files and folders inside the project, and of weights, caches and the development kit outside it."""

import os
from pathlib import Path

import platformdirs

from common.errors import UserError
from common.remote_files import without_secrets

PROJECT = Path(__file__).resolve().parent.parent
MODELS = PROJECT / "models"
A2D_TAXONOMY_FILE = PROJECT / "a2d" / "taxonomy.yaml"


def weights_folder() -> Path:
    """Return the folder of downloaded or copied weights: `ACTOR_ACTION_WEIGHTS`, or a folder in the user's cache."""
    return _folder("ACTOR_ACTION_WEIGHTS", platformdirs.user_cache_path("actor-action") / "weights")


def cache_folder() -> Path:
    """Return the folder of cached detections: `ACTOR_ACTION_CACHE`, or a folder in the user's cache."""
    return _folder("ACTOR_ACTION_CACHE", platformdirs.user_cache_path("actor-action") / "detections")


def ultralytics_folder() -> Path:
    """Return the folder of Ultralytics' settings: `YOLO_CONFIG_DIR`, or a folder in the user's cache."""
    return _folder("YOLO_CONFIG_DIR", platformdirs.user_cache_path("actor-action") / "ultralytics")


def kit_folder() -> Path:
    """Return the folder of the development kit: `ACTOR_ACTION_KIT`, or `shared/data` next to the checkout."""
    return _folder("ACTOR_ACTION_KIT", PROJECT.parent / "shared" / "data")


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    if value and "://" in value:
        raise UserError(f"{variable}: {without_secrets(value)} is no folder of this machine")
    return Path(value).expanduser() if value else default
