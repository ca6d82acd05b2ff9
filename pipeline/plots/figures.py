"""The style of all plots, and the files that they are written to.

The only module that imports matplotlib, and only when a plot is drawn. The same numbers always give the same bytes:
neither the user's matplotlib settings, nor the time, nor random identifiers reach the files.
"""

import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Figure

# Okabe and Ito's colour-blind safe palette, the orange darkened until its text can be read on white.
BLUE, ORANGE, BLACK, GREY, LIGHT_GREY = "#0072B2", "#B34700", "#1A1A1A", "#5F5F5F", "#C4C4C4"
SKY, GREEN, YELLOW, PURPLE = "#56B4E9", "#009E73", "#E69F00", "#CC79A7"
SCORE_COLOURS = {"P": BLUE, "R": ORANGE, "F1": BLACK}

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.size": 10,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "actor-action",  # of the identifiers in the file, which are random otherwise
    "text.color": BLACK,
    "text.parse_math": False,  # a dollar sign in a name is no formula
    "xtick.color": GREY,
    "ytick.color": GREY,
}
DOTS_PER_INCH = 150
LINE_INCHES = 1 / 58  # of text of one point
MAX_NAME = 40  # characters of a name in a heading
LINE_GAP = 0.065  # between the labels of neighbouring lines, as a share of the panel's height


class PlotFolder:
    """A folder that plots are written to.

    Attributes:
        folder: The folder.
        written: The files, in the order in which they were written.
        omitted: One line for each plot that there is nothing to draw in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []
        self.omitted: list[str] = []

    @contextmanager
    def figure(self, name: str, title: str, subtitle: str, size: tuple[float, float]) -> Iterator["Figure"]:
        """Provide an empty figure with a heading to draw in, and write it at the end, as NAME.svg and NAME.png.

        A character that the font of the PNG lacks is a box there; the SVG has it as text.

        Args:
            name: Of the files; what is neither a letter, a digit nor a hyphen becomes an underscore.
            title: The subject, one line.
            subtitle: What the numbers are from, one line.
            size: Width and height, inches.

        Raises:
            OSError: If a file cannot be written.
        """
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ ", UserWarning)
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            figure = Figure(figsize=size)
            _write_heading(figure, printable(title), printable(subtitle))
            yield figure
            self._write(self._free_name(name), figure, printable(title))

    def _free_name(self, name: str) -> str:
        """Return a file name without an ending that no plot of this folder has been given."""
        safe = re.sub(r"[^\w-]", "_", name)
        names = {path.stem for path in self.written}
        return next(free for free in (safe, *(f"{safe}_{i}" for i in range(2, len(names) + 3))) if free not in names)

    def _write(self, name: str, figure: "Figure", title: str) -> None:
        metadata = {
            "svg": {"Creator": None, "Date": None, "Title": title},
            "png": {"Software": None, "Title": title.encode("latin-1", "replace").decode("latin-1")},
        }
        for ending, entries in metadata.items():
            content = BytesIO()
            figure.savefig(content, format=ending, dpi=DOTS_PER_INCH, metadata=entries)
            path = self.folder / f"{name}.{ending}"
            write_atomically(path, content.getvalue())
            self.written.append(path)


def _write_heading(figure: "Figure", title: str, subtitle: str) -> None:
    """Write title and subtitle at the top left, as many lines as they need, and leave the rest to the panels."""
    width, height = figure.get_size_inches()
    top = 0.12
    for text, size, color, weight in ((title, 12, BLACK, "bold"), (subtitle, 9, GREY, "normal")):
        characters_per_inch = (105 if weight == "bold" else 135) / size
        lines = textwrap.wrap(text, int(characters_per_inch * width))
        figure.text(0.12 / width, 1 - top / height, "\n".join(lines), size=size, color=color, weight=weight, va="top")
        top += LINE_INCHES * size * len(lines) + 0.04
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.99 - (top + 0.08) / height))


def printable(text: str) -> str:
    """Replace what neither a font nor XML has: control characters, and bytes of file names that are not text."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def shorten_name(name: str) -> str:
    """Shorten a name that somebody else has chosen, for a heading.

    >>> shorten_name("clips.csv"), len(shorten_name("x" * 200))
    ('clips.csv', 40)
    """
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def percent(fraction: float, _position: float = 0) -> str:
    """Format a fraction as a percentage, also of an axis' ticks.

    >>> percent(0.001), percent(0.25), percent(1)
    ('0.1 %', '25 %', '100 %')
    """
    return f"{100 * fraction:.4g} %"


def mark_whole_numbers(axis: "Axis") -> None:
    """Put the ticks of an axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def label_lines(panel: "Axes", labels: Sequence[tuple[float, str, str]]) -> None:
    """Write labels of lines to the right of a panel, as near to where the lines end as they do not overlap.

    Args:
        panel: With its final limits of the y axis, which is linear.
        labels: Where each line ends, in units of the y axis, its text and its colour.
    """
    low, high = panel.get_ylim()
    heights = spread([(value - low) / (high - low) for value, _, _ in labels], LINE_GAP)
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        panel.annotate(
            printable(text),
            (1.02, height),
            xycoords="axes fraction",
            color=colour,
            va="center",
            annotation_clip=False,
        )


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions apart until each is a gap from the next, and otherwise as little as possible.

    Args:
        positions: In any order; equal ones keep theirs.
        gap: Minimum distance.

    Returns:
        The new positions in the same order, with the least sum of squared moves.

    >>> [round(position, 2) for position in spread([0.5, 0.5, 0.0], 0.1)]
    [0.45, 0.55, 0.0]
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks: list[list[float]] = []  # runs of neighbours that touch: where they start on average, and how many they are
    for rank, index in enumerate(order):
        blocks.append([positions[index] - rank * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (start, count), (before, count_before) = blocks.pop(), blocks.pop()
            total = count + count_before
            blocks.append([(start * count + before * count_before) / total, total])
    starts = [start for start, count in blocks for _ in range(int(count))]
    moved = [0.0] * len(positions)
    for rank, index in enumerate(order):
        moved[index] = starts[rank] + rank * gap
    return moved
