"""The documentation site: it builds without a warning, has every page, and loads nothing from elsewhere."""

import re
from pathlib import Path

import docs_site
import pytest
import yaml

from common.paths import PROJECT

MAX_PICTURE_BYTES = 150_000
LOADED = re.compile(
    r"""<(?:script|img|iframe|link(?![^>]*rel="canonical"))[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"' >]+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return docs_site.build_site(tmp_path_factory.mktemp("site"))


def test_every_page_is_built(site: Path):
    sources = {path.stem for path in (PROJECT / "docs").glob("*.md")}
    elsewhere = {"manual", "changelog", "contributing", "security", "benchmarks", "model_card"}
    assert {path.stem for path in site.glob("*.html")} == sources | elsewhere | {"404"}
    assert not list(site.rglob("*.py"))


def test_nothing_is_loaded_from_elsewhere(site: Path):
    for page in site.rglob("*.html"):
        assert LOADED.findall(page.read_text(encoding="utf-8")) == []
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == []
    assert LOADED.findall('<script src="https://example.org/a.js">') == ["https://example.org/a.js"]


def test_links_between_the_repository_and_the_site_are_rewritten(site: Path):
    assert 'href="accuracy.html"' in (site / "manual.html").read_text(encoding="utf-8")
    assert 'href="manual.html#tune-the-gates"' in (site / "tune_the_gates.html").read_text(encoding="utf-8")
    assert 'src="pictures/speed.png"' in (site / "benchmarks.html").read_text(encoding="utf-8")


def test_public_names_are_documented(site: Path):
    page = (site / "python_api.html").read_text(encoding="utf-8")
    for name in ("pipeline.tagger.ActorActionTagger.tag", "pipeline.config.TaggerConfig", "common.errors.UserError"):
        assert f'id="{name}"' in page
    assert "Minimum probability of a predicted action" in page


def test_pictures_are_small_and_shown():
    pages = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md"))
    for picture in (PROJECT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size < MAX_PICTURE_BYTES
        assert f"(pictures/{picture.name})" in pages


def test_the_build_is_strict():
    """`mkdocs build` fails on a warning, whoever runs it."""
    text = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = yaml.load(text, yaml.BaseLoader)
    assert settings["strict"] == "true"
    assert settings["theme"]["font"] == "false"
