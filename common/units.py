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


def format_size(size_bytes: int) -> str:
    """Format the size of a file.

    >>> [format_size(value) for value in (0, 512, 46_200, 999_600, 5_060_488, 21_457_288)]
    ['0 bytes', '512 bytes', '46 kB', '1.0 MB', '5.1 MB', '21.5 MB']
    """
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    return f"{size_bytes / 1e3:.0f} kB" if size_bytes < 999_500 else f"{size_bytes / 1e6:.1f} MB"
