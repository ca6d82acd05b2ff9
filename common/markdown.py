"""Tables in Markdown pages, generated between markers."""

from collections.abc import Mapping, Sequence

from common.errors import UserError


def fill_markers(text: str, tables: Mapping[str, str]) -> str:
    """Replace the text between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Args:
        text: A Markdown page.
        tables: Replacements by name of the marker.

    Returns:
        The page with all tables replaced.

    Raises:
        UserError: If the page lacks a marker.

    >>> fill_markers("a <!-- begin x -->old<!-- end x --> b", {"x": "new"}).splitlines()
    ['a <!-- begin x -->', 'new', '<!-- end x --> b']
    """
    for name, table in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, has_begin, rest = text.partition(begin)
        _, has_end, after = rest.partition(end)
        if not has_begin or not has_end:
            raise UserError(f"the page lacks the markers '{begin} … {end}'")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def github_table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """Format a GitHub-flavoured Markdown table, the first column left-aligned and the others right-aligned.

    >>> print(github_table([["dog", "0.50"]], ["actor", "F1"]))
    | actor   |   F1 |
    |---------|------|
    | dog     | 0.50 |
    """
    from tabulate import tabulate

    alignment = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=alignment)
