"""The documentation site in headless Chromium: no error, no request that leaves, light and dark, wide and narrow."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import docs_site
import pytest
from page_checks import check_accessible

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return docs_site.build_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def page(browser: "Browser", address: str) -> "Iterator[Page]":
    """A page on which any error, and any request that leaves the site, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else problems.append(sent.url))
    page.on("response", lambda got: None if got.ok or got.status == 304 else problems.append(f"{got.status} {got.url}"))
    yield page
    assert problems == []
    context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_every_page_fits_and_shows_its_pictures(page: "Page", address: str, site: Path, scheme: str, width: int):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for file in sorted(site.glob("*.html")):
        page.goto(f"{address}{file.name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file.name
        assert page.evaluate("[...document.images].filter(e => e.complete && !e.naturalWidth).length") == 0, file.name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["index", "your_a2d_copy", "python_api"])
def test_page_is_accessible(page: "Page", address: str, name: str, scheme: str, width: int):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}{name}.html")
    check_accessible(page, scheme, width)


def test_search_finds_a_page(page: "Page", address: str):
    page.goto(address)
    # Key by key: the search listens to keys, and may miss what is filled in at once.
    page.get_by_role("textbox", name="Search").press_sequentially("particle swarm")
    page.locator(".md-search-result__item a[href*='how_it_works.html']").first.wait_for()


def test_colours_can_be_chosen(page: "Page", address: str):
    page.emulate_media(color_scheme="light")
    page.goto(address)
    body = page.locator("body")
    assert body.get_attribute("data-md-color-scheme") == "default"
    page.locator("label[title='Switch to light']").click()
    page.locator("label[title='Switch to dark']").click()
    assert body.get_attribute("data-md-color-scheme") == "slate"
