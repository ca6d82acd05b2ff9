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


def thinning_step(count: int, capacity: int) -> int:
    """Say every how manieth of `count` things is kept, if at most `capacity` are: the smallest power of two that does.

    A power of two, so that things can be thinned out while they come, however many there will be.

    Args:
        count: How many there are.
        capacity: How many are kept at most, from 1.

    >>> [thinning_step(count, 16) for count in (1, 16, 17, 32, 33)]
    [1, 1, 2, 2, 4]
    """
    step = 1
    while -(-count // step) > capacity:
        step *= 2
    return step
