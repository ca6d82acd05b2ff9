"""A picture of what was measured of speed and memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bench_stage1 import NETWORK, OURS

OURS_COLOUR, OTHERS_COLOUR, LIMIT_COLOUR = "#1f6f8b", "#b0b0b0", "#e0c070"


def draw(reports: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Draw three panels: stage 1 by way, what shortcuts cost, memory by length of the clip.

    Args:
        reports: By name, as the benchmarks wrote them.
        out: The PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    stage1, shortcuts, memory = figure.subplots(1, 3, width_ratios=[1.2, 1.3, 0.5])
    rows = reports["stage1"]["rows"]
    names = list(rows)[::-1]
    limits = {name for name in names if name.startswith(NETWORK) or name.startswith("decoder")}
    colours = [LIMIT_COLOUR if name in limits else OURS_COLOUR if name in OURS else OTHERS_COLOUR for name in names]
    rates = [rows[name]["frames_per_second"] for name in names]
    bars = stage1.barh(names, rates, color=colours)
    stage1.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
    stage1.set_xlim(right=1.15 * max(rates))
    stage1.set_title("Stage 1: frames a second (yellow: limits)", fontsize=10)

    effects = reports["shortcuts"]["rows"]
    fastest = max(row["times_usual"] for row in effects.values())
    for number, (name, row) in enumerate(effects.items()):
        place = row["times_usual"], 100 * row["mean_move"]
        shortcuts.scatter(*place, color=OURS_COLOUR)
        on_the_left = place[0] > 0.8 * fastest
        above = not on_the_left and (number % 2 or place[1] > 3)
        shortcuts.annotate(
            name,
            place,
            xytext=(-6 if on_the_left else 6, 5 if above else -12),
            textcoords="offset points",
            ha="right" if on_the_left else "left",
            fontsize=8,
        )
    shortcuts.set_ylim(bottom=-0.4)
    shortcuts.set_xlabel("times as fast as every frame in f32", fontsize=9)
    shortcuts.set_ylabel("%", fontsize=9)
    shortcuts.set_title("What shortcuts move presence ratios by, on average", fontsize=10)

    peaks = {length: row["peak_mb"] for length, row in reports["memory"]["rows"].items()}
    bars = memory.bar(list(peaks), list(peaks.values()), color=OURS_COLOUR)
    memory.bar_label(bars, padding=3, fontsize=8)
    memory.set_ylim(0, 1.2 * max(peaks.values()))
    memory.set_title("Peak memory, MB", fontsize=10)
    for panel in (stage1, shortcuts, memory):
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    figure.savefig(out, dpi=110)
