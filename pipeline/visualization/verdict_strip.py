"""The strip below annotated frames: what is said of a moment, and each actor's share of the frames against its gate."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from pipeline.clip_windows import ClipWindows
from pipeline.results import ActorEvidence, ClipResult
from pipeline.visualization.drawing import FONT_SCALE, Color, chip, chip_width, rectangle, text, text_width
from pipeline.visualization.layout import FAINT, GREY, PAPER, PLAIN, TRACK, Layout, color_of, even

NOTHING = "no known actor is in enough of the frames"
LEGEND = "bars: share of the frames so far, ticks: gates"
SMALL = 0.42  # OpenCV font scale of the text beside the bars, at unit 1


@dataclass(frozen=True)
class VerdictStrip:
    """Draws the strip of one clip.

    Attributes:
        result: Of the clip.
        detections: Of the clip.
        taxonomy: Actors and labels.
        layout: Of the annotated frames.
    """

    result: ClipResult
    detections: ClipDetections
    taxonomy: Taxonomy
    layout: Layout

    @cached_property
    def final(self) -> NDArray[np.uint8]:
        """The strip with all labels lit and the final shares, shape (height, width, 3)."""
        shares = np.array([self.result.actors[actor.name].presence for actor in self.taxonomy.actors])
        return self._fill_bars(self._draw_strip(frozenset(range(len(self.result.labels)))), shares)

    def at(self, row: int) -> NDArray[np.uint8]:
        """Return the strip below a frame: predicted labels, then each actor against its gate.

        Args:
            row: The frame's row in the detections, from 0.

        Returns:
            Shape (height, width, 3), uint8: of the size of `final`.
        """
        seconds = float(self.detections.time_seconds[row])
        lit = frozenset(
            number
            for number, label in enumerate(self.result.labels)
            if not label.segments or any(start <= seconds < end for start, end in label.segments)
        )
        if lit not in self._strips:
            self._strips[lit] = self._draw_strip(lit)
        return self._fill_bars(self._strips[lit], self._shares_so_far[row])

    @cached_property
    def _strips(self) -> dict[frozenset[int], NDArray[np.uint8]]:
        """Strips with empty bars, by the labels that are lit."""
        return {}

    @cached_property
    def _shares_so_far(self) -> NDArray[np.float64]:
        """Share of the frames of its window, up to each frame, that show each actor, shape (F, actors)."""
        found = self.detections
        is_shown = np.zeros((len(found.frame_index), len(self.taxonomy.actors)))
        is_shown[found.frame_row, found.actor_index] = 1
        ends = np.append(ClipWindows.of_clip(found).first_row[1:], len(is_shown))
        shares, start = np.zeros_like(is_shown), 0
        for end in ends.tolist():
            shares[start:end] = is_shown[start:end].cumsum(axis=0) / np.arange(1, end - start + 1)[:, None]
            start = end
        return shares

    def _draw_strip(self, lit: frozenset[int]) -> NDArray[np.uint8]:
        """Draw a strip with empty bars, on which some labels are lit."""
        import cv2

        unit, width = 2 * self.layout.unit, 2 * self.layout.width  # drawn at twice the size, for smooth edges
        strip = np.full((2 * even((58 + 22 * self._columns[1]) * unit / 2), width, 3), PAPER, dtype=np.uint8)
        self._draw_verdict(strip, unit, lit)
        for actor in self.taxonomy.actors:
            left, right, middle = (2 * value for value in self._cell(actor.index))
            evidence = self.result.actors[actor.name]
            ink = PLAIN if evidence.present else FAINT
            share = f"{100 * evidence.presence:.1f} %"
            text(strip, actor.name, left, middle, ink, SMALL * unit)
            text(strip, share, right - text_width(share, SMALL * unit), middle, ink, SMALL * unit)
            begin, end = (2 * value for value in self._bar(actor.index))
            rectangle(strip, (begin, middle - 4 * unit, end, middle + 4 * unit), TRACK, 4 * unit)
        size = self.layout.width, len(strip) // 2
        return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _fill_bars(self, strip: NDArray[np.uint8], shares: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Copy a strip and fill its bars with the actors' shares (actors,), in [0, 1]; ticks mark the gates."""
        import cv2

        filled, unit = strip.copy(), self.layout.unit
        for actor in self.taxonomy.actors:
            evidence, middle = self.result.actors[actor.name], self._cell(actor.index)[2]
            begin, end = self._bar(actor.index)
            # Only the bar is drawn at twice the size, for smooth edges.
            top, bottom, left, right = (
                *(round(middle - 8 * unit), round(middle + 8 * unit)),
                *(max(round(begin - 2 * unit), 0), round(end + 2 * unit)),
            )
            part = cv2.resize(filled[top:bottom, left:right], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
            ends = 2 * (begin - left), 2 * (end - left)
            _draw_bar(
                np.asarray(part, np.uint8), evidence, float(shares[actor.index]), color_of(actor.index), ends, 2 * unit
            )
            filled[top:bottom, left:right] = cv2.resize(
                part, (right - left, bottom - top), interpolation=cv2.INTER_AREA
            )
        return filled

    @cached_property
    def _columns(self) -> tuple[int, int]:
        """Number of columns of the actors' bars, and of rows."""
        columns = 3 if self.layout.width >= 780 * self.layout.unit else 2
        return columns, -(-len(self.taxonomy.actors) // columns)

    def _cell(self, actor_index: int) -> tuple[float, float, float]:
        """Return the left and right end of an actor's part of the strip, and its middle line, in pixels."""
        unit, (columns, rows) = self.layout.unit, self._columns
        column, line = divmod(actor_index, rows)
        margin, gap = 12 * unit, 22 * unit
        width = (self.layout.width - 2 * margin - (columns - 1) * gap) / columns
        left = margin + column * (width + gap)
        return left, left + width, (60 + 22 * line) * unit

    def _bar(self, actor_index: int) -> tuple[float, float]:
        """Return the left and right end of an actor's bar, in pixels."""
        unit, (left, right, _) = self.layout.unit, self._cell(actor_index)
        names = max(text_width(name, 2 * SMALL * unit) for name in self.taxonomy.actor_names) / 2
        return left + names + 12 * unit, right - text_width("100.0 %", 2 * SMALL * unit) / 2 - 8 * unit

    def _draw_verdict(self, strip: NDArray[np.uint8], unit: float, lit: frozenset[int]) -> None:
        """Draw the predicted labels, those that are not lit in grey, and the legend, as far as there is room."""
        left, right, middle = 12 * unit, strip.shape[1] - 12 * unit, 24 * unit
        labels = self.result.labels
        if not labels:
            text(strip, NOTHING, left, middle, FAINT, 0.5 * unit)
            left += text_width(NOTHING, 0.5 * unit)
        for number, label in enumerate(labels):
            words, rest = f"{label.label} {label.score:.2f}", f"+{len(labels) - number}"
            others = text_width(rest, 0.5 * unit) + 8 * unit if number < len(labels) - 1 else 0
            if chip_width(words, unit) + others > right - left:
                text(strip, rest, left, middle, FAINT, 0.5 * unit)
                return
            color = color_of(self.taxonomy.actor(self.taxonomy.label(label.label).actor).index)
            if number in lit:
                left += chip(strip, words, left, middle, color, unit) + 8 * unit
            else:
                left += _dark_chip(strip, words, left, middle, unit) + 8 * unit
        legend = text_width(LEGEND, SMALL * unit)
        if left + 16 * unit + legend <= right:
            text(strip, LEGEND, right - legend, middle, FAINT, SMALL * unit)


def _draw_bar(
    part: NDArray[np.uint8],
    evidence: ActorEvidence,
    share: float,
    color: Color,
    ends: tuple[float, float],
    unit: float,
) -> None:
    """Draw an actor's share of the frames as a bar in the middle of an image, and its gate as a tick."""
    begin, end = ends
    half, middle = 4 * unit, part.shape[0] / 2
    if share > 0:
        reached = begin + max(share * (end - begin), 2 * half)
        rectangle(part, (begin, middle - half, reached, middle + half), color if evidence.present else FAINT, half)
    gate = begin + evidence.gate * (end - begin)
    rectangle(part, (gate - unit, middle - 7 * unit, gate + unit, middle + 7 * unit), PLAIN, unit)


def _dark_chip(image: NDArray[np.uint8], words: str, left: float, middle: float, unit: float) -> float:
    """Draw a chip that is not lit, and return its width in pixels."""
    width, half = chip_width(words, unit), 12 * unit
    rectangle(image, (left, middle - half, left + width, middle + half), TRACK, half)
    text(image, words, left + 9 * unit, middle, GREY, FONT_SCALE * unit)
    return width
