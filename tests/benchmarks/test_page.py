"""The page of measurements and its plot."""

import cv2

from benchmarks import page
from benchmarks.plot import plot_reports
from common.markdown import fill_markers


def test_page_shows_the_measurements():
    text = page.PAGE.read_text(encoding="utf-8")
    assert fill_markers(text, page.format_tables(page.read_reports())) == text


def test_plot_is_drawn(tmp_path):
    plot_reports(page.read_reports(), tmp_path / "speed.png")
    image = cv2.imread(str(tmp_path / "speed.png"))
    assert image.shape[1] > 1000
    assert image.std() > 10
