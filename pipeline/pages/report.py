"""The report of a folder run: one HTML file with every clip's verdict, its reasons, and pictures of what decided."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from a2d.taxonomy import Taxonomy
from common.progress import Progress, no_progress
from common.system import available_cores
from common.units import format_size
from pipeline.label_choice import clip_threshold
from pipeline.pages.clip_cards import ClipCard, count_labels, link_to
from pipeline.pages.filmstrip import Filmstrip, make_filmstrip
from pipeline.pages.page import write_page
from pipeline.results import ClipResult

MAX_PICTURE_BYTES = 18_000_000  # of all filmstrips, before they are encoded as text, which makes them a third larger
MAX_STRIP_BYTES = 40_000
MAX_THREADS = 4


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        path: The file.
        clips: Number of clips in it.
        size: Of the file, in bytes.
    """

    path: Path
    clips: int
    size: int

    def __str__(self) -> str:
        """Say so in a line."""
        return f"wrote {self.path} ({self.clips} clip{'s'[: self.clips != 1]}, {format_size(self.size)})"


def write_report(
    path: Path,
    results: Sequence[ClipResult],
    taxonomy: Taxonomy,
    label_threshold: float | None,
    progress: Progress = no_progress,
) -> WrittenReport:
    """Write the report of some results.

    Args:
        path: The HTML file.
        results: Of any status; the clips are looked for where they were tagged.
        taxonomy: Actors and labels.
        label_threshold: Score from which an action was said, in [0, 1]; None if each clip has its own.
        progress: Shows the progress over the clips, whose frames are read.

    Returns:
        What was written.

    Raises:
        OSError: If the file cannot be written.
    """
    folder = path.resolve().parent
    max_bytes = min(MAX_STRIP_BYTES, MAX_PICTURE_BYTES // max(len(results), 1))

    def draw(result: ClipResult) -> Filmstrip:
        return make_filmstrip(result, taxonomy, max_bytes)

    with ThreadPoolExecutor(min(available_cores(), MAX_THREADS)) as pool:
        drawn = pool.map(draw, results)
        strips = [strip for _, strip in zip(progress(results, "drawing frames", "clip"), drawn, strict=True)]
    cards = [
        ClipCard(
            result,
            taxonomy,
            link_to(result.path, folder),
            strip,
            clip_threshold(result.scores, taxonomy, label_threshold),
        )
        for result, strip in zip(results, strips, strict=True)
    ]
    size = write_page(path, "report", _values(cards, taxonomy))
    return WrittenReport(path, len(cards), size)


def _values(cards: Sequence[ClipCard], taxonomy: Taxonomy) -> dict[str, object]:
    """Collect what the template names."""
    labels = count_labels(cards)
    statuses = Counter(card.result.status for card in cards)
    actors = Counter(name for card in cards for name in card.present_actors)
    return {
        "cards": cards,
        "has_gates": any(card.actors for card in cards),  # those of another system than the two stages have none
        "labels": labels,
        "most": max((count for _, _, count in labels), default=1),
        "statuses": statuses.most_common(),
        "actors": [(name, actors[name]) for name in taxonomy.actor_names if actors[name]],
        "seconds": sum(card.result.duration_seconds for card in cards),
        "weights": next((card.result.weights for card in cards if card.result.weights.heads), None),
    }
