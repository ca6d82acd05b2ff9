"""Samples of a data set that cannot be used, and why: they are skipped and counted, or the first one ends the run."""

from dataclasses import dataclass, field

from common.errors import DatasetError


@dataclass
class SkippedSamples:
    """Collects the samples that cannot be used because a file is missing or broken.

    Attributes:
        strict: Whether to raise an error for the first one instead.
    """

    strict: bool = False
    _lines: dict[str, None] = field(default_factory=dict)

    def add(self, where: str, reason: object) -> None:
        """Skip a sample.

        Args:
            where: The line of the data set's list, `<file>:<line>`; empty if unknown.
            reason: What is wrong, with or without that line in front.

        Raises:
            DatasetError: If `strict` is set.
        """
        text = " ".join(str(reason).split("\n"))
        line = text if not where or text.startswith(f"{where}:") else f"{where}: {text}"
        if self.strict:
            raise DatasetError(line)
        self._lines[line] = None

    @property
    def reasons(self) -> list[str]:
        """One line for each: `<list>:<line>: <reason>`, as far as the line is known."""
        return list(self._lines)

    def __len__(self) -> int:
        """Return how many were skipped; a clip that is skipped for each of its frames counts once."""
        return len(self._lines)
