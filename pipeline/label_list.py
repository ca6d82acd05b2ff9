"""A list of labelled clips that is edited clip by clip, and saved after each."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Self

from a2d.formats.tables import read_records
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError, TaxonomyError
from common.files import write_atomically
from pipeline.label_queue import SPLIT

REQUIRED = ("file", "labels", "split")


@dataclass
class LabelList:
    """A CSV with the columns `file`, `labels` and `split`, and any others, which are kept.

    Attributes:
        path: The file; clips are relative to its folder.
        taxonomy: Which labels there are.
        rows: Cells by column, in the order of the file.
    """

    path: Path
    taxonomy: Taxonomy
    rows: list[dict[str, str]]
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def read(cls, path: Path, taxonomy: Taxonomy) -> Self:
        """Read a list.

        Raises:
            DatasetError: If it is not such a table, or has a label that the taxonomy has not.
        """
        records = read_records(path, REQUIRED, REQUIRED)
        found = cls(path, taxonomy, [dict(record.cells) for record in records])
        for record, row in zip(records, found.rows, strict=True):
            try:
                found.check(split_labels(row["labels"]))
            except TaxonomyError as reason:
                raise DatasetError(f"{record.where}: {reason}") from None
        return found

    def clip(self, index: int) -> Path:
        """Return the path of a clip, by its row from 0."""
        return self.path.parent / self.rows[index]["file"]

    def labels(self, index: int) -> list[str]:
        """Return the labels of a clip, by its row from 0."""
        return split_labels(self.rows[index]["labels"])

    def is_done(self, index: int) -> bool:
        """Whether somebody has labelled a clip, by its row from 0."""
        return self.rows[index]["split"] != SPLIT

    def check(self, labels: Sequence[str]) -> None:
        """Check that labels exist.

        Raises:
            TaxonomyError: If one does not.
        """
        for label in labels:
            self.taxonomy.label(label)

    def set(self, index: int, labels: Sequence[str], split: str) -> None:
        """Change the labels and the split of a clip, and write the file.

        Args:
            index: Row, from 0.
            labels: Their names; they are written in the taxonomy's order.
            split: Name of a split.

        Raises:
            TaxonomyError: If a label does not exist.
            OSError: If the file cannot be written.
        """
        self.check(labels)
        with self._lock:
            ordered = [name for name in self.taxonomy.label_names if name in labels]
            self.rows[index] |= {"labels": " ".join(ordered), "split": split}
            self._write()

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue())


def split_labels(cell: str) -> list[str]:
    """Split a cell into labels, as the data sets' lists separate them."""
    return list(filter(None, re.split(r"[\s,;]+", cell)))
