"""Which labels are said of a clip, from the scores of its actors."""

import argparse

import numpy as np
import pytest

from a2d.taxonomy import Taxonomy
from pipeline.commands.argument_types import fraction_or_auto
from pipeline.label_choice import choose_labels, clip_threshold


def scores_of(taxonomy: Taxonomy, **best: float) -> dict[str, float]:
    """Scores of all labels of some actors: one is given, the others are 0.05."""
    actors = {taxonomy.label(name.replace("_", "-")).actor for name in best}
    low = {name: 0.05 for actor in actors for name in taxonomy.actor(actor).label_names}
    return low | {name.replace("_", "-"): score for name, score in best.items()}


def test_second_action_is_said_if_little_else_is_sure(taxonomy):
    doubtful = scores_of(taxonomy, cat_walking=0.4, cat_none=0.28)
    sure = scores_of(taxonomy, cat_walking=0.97, cat_none=0.28)
    assert taxonomy.decode(choose_labels(doubtful, taxonomy)) == ("cat-walking", "cat-none")
    assert taxonomy.decode(choose_labels(sure, taxonomy)) == ("cat-walking",)
    for scores in (doubtful, sure):
        said = choose_labels(scores, taxonomy, clip_threshold(scores, taxonomy))
        np.testing.assert_array_equal(said, choose_labels(scores, taxonomy))


def test_every_present_actor_gets_a_label_and_no_other(taxonomy):
    said = taxonomy.decode(choose_labels(scores_of(taxonomy, dog_running=0.95, ball_none=0.06), taxonomy))
    assert said == ("ball-none", "dog-running")
    assert not choose_labels({}, taxonomy).any()


def test_actor_of_which_scores_are_missing_has_no_say(taxonomy):
    scores = scores_of(taxonomy, cat_walking=0.97, cat_none=0.28)
    threshold = clip_threshold(scores, taxonomy)
    assert clip_threshold({**scores, "dog-running": 0.9}, taxonomy) == threshold


def test_a_threshold_of_all_clips_is_used_as_it_is(taxonomy):
    scores = scores_of(taxonomy, cat_walking=0.4, cat_none=0.28)
    assert clip_threshold(scores, taxonomy, 0.5) == 0.5
    assert taxonomy.decode(choose_labels(scores, taxonomy, 0.5)) == ("cat-walking",)
    assert taxonomy.decode(choose_labels(scores, taxonomy, 0.0)) == taxonomy.actor("cat").label_names


@pytest.mark.parametrize(("text", "value"), [("auto", None), ("0.25", 0.25), ("1", 1.0)])
def test_option_is_a_number_or_auto(text, value):
    assert fraction_or_auto(text) == value


@pytest.mark.parametrize("text", ["1.5", "-0.1", "nan", "Auto", ""])
def test_other_values_of_the_option_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="was given, 0 to 1 or auto is allowed"):
        fraction_or_auto(text)
