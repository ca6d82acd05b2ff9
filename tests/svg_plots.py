"""Reads plots back from their SVG files: texts, and coordinates of what was drawn, by the identifier of the artist."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


class SvgPlot:
    """A plot that was written as SVG."""

    def __init__(self, path: Path) -> None:
        self.root = ElementTree.parse(path).getroot()
        assert self.root.tag == f"{SVG}svg"

    @property
    def texts(self) -> list[str]:
        """All texts, in the order of the file."""
        return ["".join(element.itertext()).strip() for element in self.root.iter(f"{SVG}text")]

    def points(self, name: str) -> np.ndarray:
        """Return the corners of the first path of an artist, or the places of its markers, shape (N, 2)."""
        group = self.group(name)
        markers = [(float(use.get("x")), float(use.get("y"))) for use in group.iter(f"{SVG}use")]
        if markers:
            return np.array(markers)
        numbers = re.findall(r"-?[\d.]+", next(group.iter(f"{SVG}path")).get("d"))
        return np.array(numbers, float).reshape(-1, 2)

    def group(self, name: str) -> ElementTree.Element:
        """Return the element with an identifier."""
        return next(element for element in self.root.iter() if element.get("id") == name)


def assert_linear(drawn: np.ndarray, values: np.ndarray) -> None:
    """Assert that coordinates are those of values on a linear axis, up to what a file rounds."""
    scale, offset = np.polyfit(values, drawn, 1)
    np.testing.assert_allclose(scale * np.asarray(values) + offset, drawn, atol=0.02)
