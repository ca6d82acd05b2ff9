"""How the tasks of a run are handed out to many workers: in blocks, which become smaller towards the end."""

SMALL = 64
"""Tasks of a block of a small run: enough that handing it out costs nothing beside the work, and few enough that losing
one costs little."""
LARGEST_PART = 2_000
"""Of a large run, a block is no more than one part of so many: what is known of each block takes memory."""
SHARES = 2
"""A block of the last ones is this part of a worker's share of what is left, so that all end at about the same time."""


def block_sizes(tasks: int, workers: int) -> list[int]:
    """Return how many tasks each block of a run contains.

    Args:
        tasks: How many there are.
        workers: How many will work on them, each on one block at a time; at least 1.

    >>> block_sizes(20, workers=2)
    [5, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1]
    """
    most, sizes, left = max(SMALL, tasks // LARGEST_PART), [], tasks
    while left:
        sizes.append(min(most, max(1, left // (SHARES * workers))))
        left -= sizes[-1]
    return sizes
