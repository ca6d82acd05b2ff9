"""Word vectors: read from a file in GloVe's text format, or small ones trained on the labels' own captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import CheckpointError

LARGEST_COUNT, POWER = 100.0, 0.75
EPOCHS, RATE, SEED = 200, 0.05, 0


def read_vectors(path: Path, words: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """Read the vectors of some words: lines of a word and its numbers, separated by spaces.

    Returns:
        Shape (words, dimensions).

    Raises:
        CheckpointError: If the file cannot be read, lacks a word, or has vectors of another length.
    """
    found: dict[str, NDArray[np.float32]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                word, *numbers = line.split()
                if word in words:
                    found[word] = np.array(numbers, np.float32)
    except (OSError, ValueError) as reason:
        raise CheckpointError(f"{path}: not word vectors in GloVe's text format ({reason})") from None
    for word in words:
        if word not in found or found[word].shape != (dimensions,):
            size = len(found[word]) if word in found else "none"
            raise CheckpointError(f"{path}: {word!r}: {dimensions} numbers were expected, found {size}")
    return np.stack([found[word] for word in words])


def train_vectors(captions: Sequence[Sequence[str]], words: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """Train vectors of words on which other words they share captions with; the same captions give the same vectors.

    The loss and its weights are those of Pennington et al., "GloVe: Global Vectors for Word Representation", EMNLP
    2014, minimised by AdaGrad; a word's vector is the sum of its own and its context's.

    Returns:
        Shape (words, dimensions).
    """
    index = {word: number for number, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for caption in captions:
        for word in caption:
            for other in caption:
                if word != other:
                    counts[index[word], index[other]] += 1
    weights = np.minimum(1, counts / LARGEST_COUNT) ** POWER
    logarithms = np.log(np.maximum(counts, 1))
    numbers = np.random.default_rng(SEED)
    width = dimensions + 2  # the biases are columns beside a constant one
    own, context = ((numbers.random((len(words), width)) - 0.5) / dimensions for _ in range(2))
    own[:, -1] = context[:, -2] = 1
    squares = [np.ones_like(own), np.ones_like(context)]
    for _ in range(EPOCHS):
        error = weights * (own @ context.T - logarithms)
        gradients = [error @ context, error.T @ own]
        gradients[0][:, -1] = gradients[1][:, -2] = 0
        for vectors, gradient, square in zip((own, context), gradients, squares, strict=True):
            vectors -= RATE * gradient / np.sqrt(square)
            square += gradient**2
    return (own + context)[:, :dimensions].astype(np.float32)
