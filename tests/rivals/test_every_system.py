"""Every registered system is built, trained, saved and loaded, and memorises a few samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_rivals import FRAMES, read_all, save, tiny_recipe, train, trains_last_layers_only, write_clips

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from common.errors import CheckpointError, UserError
from common.files import sha256_file
from pipeline.config import TaggerConfig
from pipeline.rival_tagger import RivalTagger
from rivals.data import PictureStore
from rivals.evaluation import predict_samples
from rivals.prediction import TrainedSystem, load_system
from rivals.registry import SYSTEMS, find_system
from rivals.system import PAPER, SMALL
from rivals.training import TrainingPlan

PARAMETRIZE_SYSTEMS = pytest.mark.parametrize("name", SYSTEMS)
EPOCHS = 80
EVERY_SECONDS = 10.0  # between the frames that are scored


@pytest.fixture(scope="module")
def data(tmp_path_factory, taxonomy):
    return write_clips(tmp_path_factory.mktemp("clips"), taxonomy)


@pytest.fixture(scope="module")
def trained_by_name(data, taxonomy, tmp_path_factory):
    """Trains each system once for all tests."""
    found = {}

    def find(name):
        if name not in found:
            system = find_system(name)
            plan = TrainingPlan(system, tiny_recipe(system, EPOCHS), taxonomy, seed=1)
            folder = tmp_path_factory.mktemp(name)
            examples = read_all(data, taxonomy)
            if trains_last_layers_only(plan.recipe) or system.draw:
                # What they memorise of one frame, or of what is drawn from it, need not hold for the next one.
                examples = [replace(one, moments=tuple(one.info.moments(EVERY_SECONDS))) for one in examples]
            trained = train(plan, examples, folder)
            found[name] = plan, trained, save(folder / f"{name}.safetensors", plan, trained)
        return found[name]

    return find


@PARAMETRIZE_SYSTEMS
def test_a_system_says_what_it_is(name):
    system = find_system(name)
    assert system.name == name
    assert system.title
    assert "report" in system.report
    assert system.published_f1 is None or 0 < system.published_f1 < 1
    assert {PAPER, SMALL} <= set(system.recipes)
    assert all(key == recipe.name for key, recipe in system.recipes.items())


@PARAMETRIZE_SYSTEMS
def test_a_system_memorises_a_few_samples(name, trained_by_name, data, taxonomy):
    plan, trained, _ = trained_by_name(name)
    scorer = TrainedSystem(plan.system, plan.recipe.settings, trained.network)
    samples = read_samples(data, "train", taxonomy)
    found = predict_samples(scorer, samples, taxonomy, SkippedSamples(strict=True), every_seconds=EVERY_SECONDS)
    assert np.isfinite(found.scores).all()
    assert (found.scores >= 0).all()
    assert (found.scores <= 1).all()
    if plan.system.learns:
        assert found.counts.sample_averaged.f1 > 0.95


@PARAMETRIZE_SYSTEMS
def test_a_saved_system_is_the_same_and_loads_strictly(name, trained_by_name, data, taxonomy, tmp_path):
    plan, trained, path = trained_by_name(name)
    loaded = load_system(path, taxonomy)
    examples = read_all(data, taxonomy)[:3]
    store = PictureStore(examples, taxonomy, plan.recipe.settings.inputs, plan.system.draw)
    pictures = np.stack([store.pictures(*key) for key in store.moments()])
    before = TrainedSystem(plan.system, plan.recipe.settings, trained.network).score_pictures(pictures)
    np.testing.assert_array_equal(loaded.score_pictures(pictures), before)
    with torch.no_grad():
        name_of_first = next(iter(dict(trained.network.named_parameters())))
        state = {key: tensor for key, tensor in trained.network.state_dict().items() if key != name_of_first}

    class Lacking(torch.nn.Module):
        def state_dict(self):
            return state

    lacking = type(trained)(Lacking(), trained.fitted, trained.sources)
    with pytest.raises(CheckpointError, match=f"the tensor '{name_of_first}' of {name} is missing"):
        load_system(save(tmp_path / "lacking.safetensors", plan, lacking), taxonomy)


@PARAMETRIZE_SYSTEMS
def test_a_system_tags_a_clip(name, trained_by_name, data, taxonomy):
    _, _, path = trained_by_name(name)
    tagger = RivalTagger.from_config(TaggerConfig(system=str(path), device="cpu"))
    result = tagger.tag(data.parent / "clip-03")
    assert result.status == "ok"
    assert result.frames == FRAMES
    assert list(result.scores) == list(taxonomy.label_names)
    assert {label.label for label in result.labels} == {
        label for label, score in result.scores.items() if score >= tagger.label_threshold
    }
    assert result.weights.heads == {name: sha256_file(path)}


def test_an_unknown_system_gets_the_names_of_all():
    with pytest.raises(UserError, match="unknown system 'pcd_resent'; did you mean 'pcd_resnet'.*apcd_resnet"):
        find_system("pcd_resent")
    with pytest.raises(UserError, match=r"unknown recipe 'papr'; did you mean 'paper'\?"):
        find_system("pcd_resnet").recipe("papr")
