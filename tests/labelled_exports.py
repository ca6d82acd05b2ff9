"""Reading the data sets that other tools export, for the tests of their formats."""

from pathlib import Path

from a2d.dataset import read_samples
from a2d.formats.base import Sample
from a2d.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()


def samples_of(data: Path, split: str = "train") -> list[Sample]:
    return read_samples(data, split, TAXONOMY)


def labels_of(data: Path, split: str = "train") -> dict[str, tuple[str, ...]]:
    return {sample.clip.name: sample.labels for sample in samples_of(data, split)}
