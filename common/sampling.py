"""Choosing a few of many."""


def evenly_spaced_indices(count: int, wanted: int) -> list[int]:
    """Choose evenly spaced places, each in the middle of its share.

    Args:
        count: How many there are to choose from.
        wanted: How many to choose; all, where there are fewer.

    Returns:
        Places from 0, rising, none twice.

    >>> evenly_spaced_indices(100, 4), evenly_spaced_indices(2, 4), evenly_spaced_indices(0, 4)
    ([12, 37, 62, 87], [0, 1], [])
    """
    chosen = min(count, wanted)
    return [int((place + 0.5) * count / chosen) for place in range(chosen)]
