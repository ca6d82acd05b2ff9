"""Where trained systems of the challenge are looked for by name."""

from pathlib import Path

from common.errors import CheckpointError
from common.files import nearest
from rivals.registry import ENSEMBLE, NAMES

SYSTEMS_FOLDER = Path("out") / "rivals"


def system_file(name: str) -> Path:
    """Return where `train-rival` writes a system, unless it is told otherwise."""
    return SYSTEMS_FOLDER / f"{name}{'.json' if name == ENSEMBLE else '.safetensors'}"


def find_system_file(name_or_file: str) -> Path:
    """Return the file of a trained system.

    Args:
        name_or_file: A name from `rivals.registry.NAMES`, or a file.

    Raises:
        CheckpointError: If it is neither, or the system was not trained yet.
    """
    if name_or_file in NAMES:
        path = system_file(name_or_file)
        if not path.is_file():
            raise CheckpointError(
                f"--system {name_or_file}: {path} is not there: train it with actor-action train-rival "
                f"--system {name_or_file}, or name its file"
            )
        return path
    path = Path(name_or_file)
    if not path.is_file():
        raise CheckpointError(f"--system {name_or_file}: no such file, nor a system; {nearest(name_or_file, NAMES)}")
    return path
