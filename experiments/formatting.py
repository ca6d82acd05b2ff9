"""Formatting of fractions as percentages, for tables."""

from collections.abc import Sequence


def percent(value: float) -> str:
    """Format a fraction as a percentage.

    >>> percent(0.4567)
    '45.7'
    """
    return f"{100 * value:.1f}"


def interval(bounds: Sequence[float]) -> str:
    """Format an interval of fractions as percentages.

    >>> interval((0.1, 0.25))
    '10.0–25.0'
    """
    return "–".join(percent(bound) for bound in bounds)


def signed_interval(bounds: Sequence[float]) -> str:
    """Format an interval of differences of fractions in percentage points.

    >>> signed_interval((-0.1, 0.25))
    '-10.0 to +25.0'
    """
    return " to ".join(f"{100 * bound:+.1f}" for bound in bounds)
