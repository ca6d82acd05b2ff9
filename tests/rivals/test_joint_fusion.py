"""Statistical classifiers in PyTorch are scikit-learn's own, and three networks are joined by them or by layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from tiny_rivals import SIZE, read_all, save, tiny_recipe, train, write_clips

from common.errors import CheckpointError
from rivals.files import load_network, read_system_header
from rivals.fusion import KINDS, Fusion
from rivals.fusion_fitting import SMOOTHING, fit_classifiers, make_classifier
from rivals.registry import find_system
from rivals.system import PAPER, SMALL, Build
from rivals.systems.joint_fusion import LAYERS, LayerFusion
from rivals.training import TrainingPlan

PARAMETRIZE_KINDS = pytest.mark.parametrize("kind", KINDS)
ROWS, LENGTH, LABELS = 240, 11, 6
NEVER, ALWAYS, RARE = 3, 4, 5  # labels; the rest have about as many rows with them as without


@pytest.fixture(scope="module")
def data():
    """Vectors of different means and scales, one of them constant, and labels that depend on them, with noise."""
    numbers = np.random.default_rng(0)
    vectors = numbers.normal(size=(2 * ROWS, LENGTH)) @ numbers.normal(size=(LENGTH, LENGTH))
    noisy = vectors @ numbers.normal(size=(LENGTH, LABELS)) + numbers.normal(size=(2 * ROWS, LABELS))
    targets = noisy > 0
    targets[:, NEVER], targets[:, ALWAYS], targets[:, RARE] = False, True, False
    targets[7, RARE] = True
    vectors = vectors * numbers.uniform(0.1, 20, LENGTH) + numbers.uniform(-9, 9, LENGTH)
    vectors[:, 2] = 5
    return vectors.astype(np.float32), targets.astype(np.float32)


@pytest.fixture(scope="module")
def fitted_by_kind(data):
    vectors, targets = data
    return {kind: fit_classifiers(kind, vectors[:ROWS], targets[:ROWS]) for kind in KINDS}


def make_fusion(kind, fitted):
    fusion = Fusion(kind, LENGTH, LABELS, fitted.sizes)
    fusion.fill(fitted)
    return fusion.eval()


def original_of(kind):
    return QuadraticDiscriminantAnalysis(reg_param=SMOOTHING) if kind == "qda" else make_classifier(kind)


@PARAMETRIZE_KINDS
def test_a_classifier_is_the_one_of_scikit_learn(kind, data, fitted_by_kind):
    vectors, targets = data
    fitted = fitted_by_kind[kind]
    found = make_fusion(kind, fitted)(torch.from_numpy(vectors[ROWS:])).sigmoid().numpy()
    rows = (vectors - fitted.arrays["mean"]) / fitted.arrays["scale"]
    for label in (0, 1, 2, *([] if kind == "qda" else [RARE])):
        original = original_of(kind).fit(rows[:ROWS], targets[:ROWS, label])
        if kind == "svm":
            expected = 1 / (1 + np.exp(-original.decision_function(rows[ROWS:])))
        else:
            expected = original.predict_proba(rows[ROWS:])[:, 1]
        np.testing.assert_allclose(found[:, label], expected, atol=1e-4)
        np.testing.assert_array_equal(found[:, label] >= 0.5, original.predict(rows[ROWS:]) == 1)
        assert label == RARE or (expected >= 0.5).mean() == pytest.approx(0.5, abs=0.3)  # both are decided


@PARAMETRIZE_KINDS
def test_a_label_of_one_class_is_a_constant_and_a_rare_one_is_finite(kind, data, fitted_by_kind):
    far = torch.from_numpy(np.concatenate([data[0], 1000 * data[0]]))
    fitted = fitted_by_kind[kind]
    logits = make_fusion(kind, fitted)(far)
    assert logits.isfinite().all()
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in fitted.arrays.values())
    probabilities = logits.sigmoid()
    torch.testing.assert_close(probabilities[:, NEVER], torch.full((len(far),), 1 / (ROWS + 2)))
    torch.testing.assert_close(probabilities[:, ALWAYS], torch.full((len(far),), 1 - 1 / (ROWS + 2)))


@PARAMETRIZE_KINDS
def test_labels_that_no_row_has_leave_nothing_to_fit(kind, data):
    vectors, targets = data
    fusion = make_fusion(kind, fit_classifiers(kind, vectors[:2], 0 * targets[:2]))
    torch.testing.assert_close(fusion(torch.from_numpy(vectors)).sigmoid(), torch.full((2 * ROWS, LABELS), 1 / 4))


def test_one_row_is_enough_for_quadratic_discriminant_analysis(data):
    vectors, targets = data
    few = fit_classifiers("qda", vectors[:ROWS], targets[:ROWS])
    present = make_fusion("qda", few)(torch.from_numpy(vectors[[7, 8]]))[:, RARE]
    assert present[0] > 0 > present[1]  # the only row that has it, and one that has not


@pytest.fixture(scope="module")
def saved_by_recipe(taxonomy, tmp_path_factory):
    """Trains the tiny networks of a recipe for one epoch, and saves them."""
    folder = tmp_path_factory.mktemp("fusion")
    examples = read_all(write_clips(folder, taxonomy, 8), taxonomy)
    system = find_system("joint_fusion")

    def find(name):
        tiny, other = tiny_recipe(system, 1), system.recipe(name)
        settings = replace(tiny.settings, options=other.settings.options)
        phases = (replace(tiny.phases[0], loss=other.phases[0].loss),)
        plan = TrainingPlan(system, replace(tiny, name=name, settings=settings, phases=phases), taxonomy)
        trained = train(plan, examples, folder / name)
        return plan, trained, save(folder / f"{name}.safetensors", plan, trained)

    return find


@pytest.mark.parametrize("kind", [*KINDS[1:], LAYERS])  # the first is that of the recipe that all systems are tested by
def test_every_kind_is_saved_and_loaded_strictly(kind, saved_by_recipe):
    _, trained, path = saved_by_recipe(f"{SMALL}_{kind}")
    network, _ = load_network(path, read_system_header(path))
    pictures = torch.rand(2, 3, SIZE, SIZE)
    for found, expected in zip(network(pictures), trained.network(pictures), strict=True):
        assert torch.equal(found, expected)


def test_a_file_without_the_sizes_that_were_fitted_is_an_error(saved_by_recipe):
    _, _, path = saved_by_recipe(f"{SMALL}_svm")
    header = read_system_header(path)
    with pytest.raises(CheckpointError, match="'fusion.support' has shape"):
        load_network(path, replace(header, fitted={}))
    with pytest.raises(CheckpointError, match="support: 1 to 1000000 was expected, found 10000000"):
        load_network(path, replace(header, fitted={"support": 10_000_000}))
    settings = {**header.settings, "options": {"fusion": "voting"}}
    with pytest.raises(CheckpointError, match="fusion 'voting'; one of lda, "):
        load_network(path, replace(header, settings=settings))


@pytest.mark.parametrize("recipe", [PAPER, "paper_layers"])
def test_the_full_size_network_is_what_the_report_describes(recipe, taxonomy):
    system = find_system("joint_fusion")
    found = system.recipe(recipe)
    with torch.device("meta"):  # shapes without numbers: full size costs nothing
        network = system.build(Build(found.settings, taxonomy.label_names))
        outputs = network.eval()(torch.zeros(1, 3, 224, 224))
    assert [output.shape for output in outputs[:4]] == [(1, 7), (1, 9), (1, 43), (1, 43)]
    modules = dict(network.named_modules())
    assert all(list(modules[name].parameters()) for name in found.phases[-1].frozen)
    if isinstance(network, LayerFusion):
        widths = [layer.weight.shape for layer in (*network.layers, network.hidden, network.classifier)]
        assert widths == [(128, 2048)] * 3 + [(128, 384), (43, 128)]
    else:
        assert network.fusion.get_buffer("weight").shape == (43, 59)


def test_every_kind_has_a_published_and_a_small_recipe():
    recipes = find_system("joint_fusion").recipes
    kinds = ["", *(f"_{kind}" for kind in (*KINDS[1:], LAYERS))]
    assert set(recipes) == {f"{name}{kind}" for name in (PAPER, SMALL) for kind in kinds}
    for kind in kinds:
        assert recipes[f"{PAPER}{kind}"].settings.options == recipes[f"{SMALL}{kind}"].settings.options
