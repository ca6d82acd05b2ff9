"""Choosing a few of many."""


def spaced_places(count: int, wanted: int) -> list[int]:
    """Choose evenly spaced places, each in the middle of its share.

    Args:
        count: How many there are to choose from.
        wanted: How many to choose; all, where there are fewer.

    Returns:
        Places from 0, rising, none twice.

    >>> spaced_places(100, 4), spaced_places(2, 4), spaced_places(0, 4)
    ([12, 37, 62, 87], [0, 1], [])
    """
    chosen = min(count, wanted)
    return [int((place + 0.5) * count / chosen) for place in range(chosen)]
