"""Word vectors, read and trained, and what `glove` makes of them."""

import numpy as np
import pytest
import torch

from common.errors import CheckpointError
from rivals.systems.glove import mean_vectors, part_loss
from rivals.word_vectors import read_vectors, train_vectors

LABELS = ("adult-walking", "adult-none", "car-none")


def test_vectors_are_read_from_a_file_of_glove_s_format(tmp_path, capsys):
    path = tmp_path / "vectors.txt"
    path.write_text("adult 1 2\nthe 9 9\ncar 3 4\nwalking 0 1\nnone 1 0\n")
    np.testing.assert_array_equal(read_vectors(path, ["car", "adult"], 2), [[3, 4], [1, 2]])
    assert mean_vectors(LABELS, 2, str(path)).tolist() == [2.0, 3.0, 0.5, 0.5]
    assert f"word vectors: {path}" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="'dog': 2 numbers were expected, found none"):
        read_vectors(path, ["dog"], 2)
    with pytest.raises(CheckpointError, match="'car': 3 numbers were expected, found 2"):
        read_vectors(path, ["car"], 3)
    with pytest.raises(CheckpointError, match="not word vectors"):
        read_vectors(tmp_path / "missing.txt", ["car"], 2)


def test_trained_vectors_depend_on_the_captions_alone(capsys):
    captions = [label.split("-") for label in LABELS]
    words = ["adult", "car", "walking", "none"]
    found = train_vectors(captions, words, 50)
    assert found.shape == (4, 50)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, train_vectors(captions, words, 50))
    assert not np.array_equal(found, train_vectors(captions * 9, words, 50))
    assert mean_vectors(LABELS, 50, "").shape == (100,)
    assert "trained on the captions of the labels" in capsys.readouterr().err


def test_an_actor_is_there_if_any_of_its_labels_is():
    actors_of, actions_of = torch.tensor([[1.0, 1, 0], [0, 0, 1]]), torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    outputs = (None, torch.tensor([[50.0, -50]]), torch.tensor([[50.0, 50]]), actors_of, actions_of)
    assert part_loss(outputs, torch.tensor([[1.0, 1, 0]])) < 1e-6
    assert part_loss(outputs, torch.tensor([[0.0, 0, 1]])) > 10
