"""Selection of a few items out of many."""


def evenly_spaced_indices(count: int, wanted: int) -> list[int]:
    """Return evenly spaced indices, each in the middle of one of `wanted` equal parts.

    Args:
        count: Number of items to choose from.
        wanted: Number of items to choose; all are chosen if there are fewer.

    Returns:
        Distinct indices from 0, in ascending order.

    >>> evenly_spaced_indices(100, 4), evenly_spaced_indices(2, 4), evenly_spaced_indices(0, 4)
    ([12, 37, 62, 87], [0, 1], [])
    """
    parts = min(count, wanted)
    return [int((part + 0.5) * count / parts) for part in range(parts)]
