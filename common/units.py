"""Times and sizes as people read them."""


def format_seconds(seconds: float) -> str:
    """Format a duration.

    >>> [format_seconds(value) for value in (0.27, 9.96, 59.7, 200, 7260, 93600)]
    ['0.3 s', '10 s', '1 min', '3 min 20 s', '2 h 1 min', '1 d 2 h']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, smaller_size, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            large, rest = divmod(whole, size)
            small = rest // smaller_size
            return f"{large} {name} {small} {smaller_name}" if small else f"{large} {name}"
    return f"{whole} s"
