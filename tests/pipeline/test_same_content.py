"""A clip's answer does not depend on its length, frame rate or resolution, nor on a pause in it."""

import clip_variants
import pytest

from pipeline.config import TaggerConfig
from pipeline.results import ClipResult
from pipeline.tagger import ActorActionTagger

MAX_SCORE_DIFFERENCE = 0.05


@pytest.fixture(scope="module")
def shipped() -> ActorActionTagger:
    """The tagger with the models that the project ships."""
    return ActorActionTagger.from_config(TaggerConfig(device="cpu"))


def check_same_answer(found: ClipResult, original: ClipResult) -> None:
    assert found.status == "ok"
    assert {label.label for label in found.labels} == {label.label for label in original.labels}
    assert {name: evidence.present for name, evidence in found.actors.items()} == {
        name: evidence.present for name, evidence in original.actors.items()
    }
    assert found.scores == pytest.approx(original.scores, abs=MAX_SCORE_DIFFERENCE)


@pytest.mark.parametrize("variant", clip_variants.VARIANTS)
def test_variants_of_a_clip_get_the_same_answer(variant, shipped, people_and_cat_clip, tmp_path):
    original = shipped.tag(people_and_cat_clip)
    assert {label.label.split("-")[0] for label in original.labels} == {"adult", "cat"}
    changed = clip_variants.VARIANTS[variant](people_and_cat_clip, tmp_path / "changed.mp4")
    check_same_answer(shipped.tag(changed), original)
