"""Reading the results of a folder run, during the run or after it, without writing anything there."""

from pathlib import Path

from common.errors import UserError
from pipeline.results import ClipResult
from pipeline.results_rows import StoredResult, decode_head, looks_torn


def read_results(folder: Path) -> list[ClipResult]:
    """Read the results in a folder that `tag --out` has written.

    Args:
        folder: Contains `results.jsonl`.

    Returns:
        One result per clip, its newest, in the order of the file. An incomplete last row, of a run that was killed or
        is still going on, is left out.

    Raises:
        UserError: If there is no such file, or a line of it is not a row of results.
    """
    path = folder / "results.jsonl"
    if not path.is_file():
        raise UserError(f"{folder}: no results.jsonl there; name a folder that `tag --out` has written")
    results: dict[str, ClipResult] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                result = StoredResult(line, decode_head(line))
            except ValueError as reason:
                if not line.endswith(b"\n") and looks_torn(line):
                    break
                raise UserError(f"{path}:{number}: not a row of results ({reason})") from None
            result.load()
            results.pop(result.path, None)  # the newer row comes later
            results[result.path] = result
    return list(results.values())
