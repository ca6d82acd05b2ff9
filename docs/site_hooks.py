"""What MkDocs does beyond its settings: pages that stand elsewhere in the repository are part of the site.

A link in any page is written as it works in the repository, `../benchmarks/README.md#peak-memory` for example, and
points to the page of the site that shows this file.
"""

import posixpath
import re
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).resolve().parent.parent
DOCS = "docs"
ELSEWHERE = {
    "README.md": "manual.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/speed.png": "pictures/speed.png",
    "benchmarks/frontier.png": "pictures/frontier.png",
    "benchmarks/scaling.png": "pictures/scaling.png",
    "models/MODEL_CARD.md": "model_card.md",
}
"""Files outside `docs`, by their path in the repository: their path in the site's sources."""
REPOSITORY_PATHS = {site: repository for repository, site in ELSEWHERE.items()}
LINK_TARGET = re.compile(r"(?<=\]\()[^()\s]+(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that stand elsewhere."""
    for repository, site in ELSEWHERE.items():
        files.append(File.generated(config, site, abs_src_path=str(PROJECT / repository)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to the pages of the site."""
    return rewrite_links(markdown, page.file.src_uri)


def rewrite_links(markdown: str, source: str) -> str:
    """Replace link targets that work in the repository by those that work in the site.

    Args:
        markdown: A page.
        source: Its path in the site's sources, for example `index.md`.

    Returns:
        The page; links to files that the site does not have are left alone, and fail a strict build.

    >>> rewrite_links("[Memory](../benchmarks/README.md#peak-memory)", "speed.md")
    '[Memory](benchmarks.md#peak-memory)'
    >>> rewrite_links("[An ablation](docs/accuracy.md), [A2D](https://example.org/)", "manual.md")
    '[An ablation](accuracy.md), [A2D](https://example.org/)'
    """
    folder = posixpath.dirname(REPOSITORY_PATHS.get(source, posixpath.join(DOCS, source)))

    def rewrite(match: re.Match[str]) -> str:
        path, fragment = urldefrag(match[0])
        if not path or urlsplit(path).scheme:
            return match[0]
        target = posixpath.normpath(posixpath.join(folder, path))
        site = ELSEWHERE.get(target) or target.removeprefix(f"{DOCS}/")
        if site == target:
            return match[0]
        relative = posixpath.relpath(site, posixpath.dirname(source) or ".")
        return f"{relative}#{fragment}" if fragment else relative

    return LINK_TARGET.sub(rewrite, markdown)
