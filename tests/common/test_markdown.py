"""Generated tables in Markdown pages."""

import pytest

from common.errors import UserError
from common.markdown import fill_markers, github_table


def test_fill_markers_replaces_only_the_text_between_markers():
    page = "# Title\n<!-- begin a -->\nold\n<!-- end a -->\nprose\n<!-- begin b --><!-- end b -->\n"
    filled = fill_markers(page, {"a": "A", "b": "B"})
    assert filled == "# Title\n<!-- begin a -->\nA\n<!-- end a -->\nprose\n<!-- begin b -->\nB\n<!-- end b -->\n"
    assert fill_markers(filled, {"a": "A", "b": "B"}) == filled


@pytest.mark.parametrize("page", ["", "<!-- begin a -->", "<!-- end a --> <!-- begin a -->"])
def test_fill_markers_rejects_missing_markers(page):
    with pytest.raises(UserError, match="the page lacks the markers '<!-- begin a --> … <!-- end a -->'"):
        fill_markers(page, {"a": "A"})


def test_github_table_shows_numbers_as_given():
    lines = github_table([["dog", "1,234", "0.50"], ["cat", "", "12"]], ["", "frames", "F1"]).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")] == ["", "dog", "1,234", "0.50", ""]
    assert lines[2].startswith("| dog ")
    assert lines[3].endswith("   12 |")
