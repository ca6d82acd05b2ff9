"""A result as a notebook shows it, when it is the last value of a cell."""

from typing import TYPE_CHECKING

from pipeline.pages.clip_cards import explain
from pipeline.pages.page import render

if TYPE_CHECKING:
    from pipeline.results import ClipResult


def result_html(result: "ClipResult") -> str:
    """Return a result as HTML for a part of a page: what the clip shows and when, and why each actor is there."""
    actors = [(name, evidence, explain(name, evidence)) for name, evidence in result.actors.items()]
    return render("notebook", {"result": result, "actors": actors})
