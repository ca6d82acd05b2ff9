"""Which split to report on beside the one that something is trained or tuned on."""

from pathlib import Path

from a2d.dataset import split_names
from a2d.errors import DatasetError
from a2d.files import nearest

PREFERRED = ("val", "test")  # the challenge's layout has both, and withholds the labels of its test split


def find_held_out(data: Path, split: str, wanted: str | None) -> str | None:
    """Find the split to report on.

    Args:
        data: The data set.
        split: What is trained or tuned on.
        wanted: The split asked for; None takes the first of `PREFERRED` that there is.

    Returns:
        A name other than `split`, or None where there is no such split.

    Raises:
        DatasetError: If the split asked for does not exist, or is the one that is trained or tuned on.
    """
    names = split_names(data)
    others = [name for name in names if name != split]
    if wanted is None:
        return next((name for name in PREFERRED if name in others), None)
    if wanted not in others:
        raise DatasetError(f"{data}: cannot hold out split {wanted!r}; {nearest(wanted, others)}")
    return wanted
