"""What every page must hold to in a browser."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

SERIOUS = ("serious", "critical")

# A page that was just resized may still be moving and fading: colours halfway have a contrast that nobody reads. What
# moves for ever is left alone.
AT_REST = """Promise.allSettled(document.getAnimations()
  .filter(e => e.effect.getComputedTiming().endTime < Infinity).map(e => e.finished))"""


def check_accessible(page: "Page", scheme: str, width: int) -> None:
    """Check that a page fits into a width in pixels, and that axe-core finds nothing serious in a colour scheme."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate(AT_REST)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in SERIOUS] == []
