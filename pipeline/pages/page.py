"""One HTML file with everything in it: templates, style sheet, script, and a policy that forbids anything else.

Whatever comes from a file name or from a file's contents is escaped by the templates. Even if it were not, the
Content-Security-Policy would not let it run: it names the page's own script and style sheet by their hashes.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from common.files import write_atomically

TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, template: str, values: Mapping[str, Any]) -> int:
    """Fill a template in and write it as one file.

    Args:
        path: Where to write it; missing folders are created.
        template: As for `page_content`.
        values: Likewise.

    Returns:
        The file's size in bytes.

    Raises:
        OSError: If it cannot be written.
    """
    content = page_content(template, values)
    write_atomically(path, content)
    return len(content)


def page_content(template: str, values: Mapping[str, Any], connect: bool = False) -> bytes:
    """Fill a template in.

    Args:
        template: Name without `.html`; `page.css`, and the style sheet and script of the template's name, if there are
            any, are included.
        values: What the template names, by name.
        connect: Whether the page may send requests to where it comes from.
    """
    style, script = (
        "".join(_read(TEMPLATES / f"{name}.{suffix}") for name in ("page", template)) for suffix in ("css", "js")
    )
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_source_of(style)}",
            f"script-src {_source_of(script)}",
            "img-src data:",
            "media-src 'self' file:",  # clips that lie beside the page
            *(["connect-src 'self'"] if connect else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    html = _environment().get_template(f"{template}.html").render(**values, style=style, script=script, policy=policy)
    return html.encode(errors="backslashreplace")  # file names that are not valid Unicode


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill in a template that is a part of somebody else's page.

    Args:
        template: Name without `.html`.
        values: What it names, by name; escaped.
    """
    return _environment().get_template(f"{template}.html").render(**values)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _source_of(text: str) -> str:
    """Return how a policy names a script or style sheet that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
