"""Networks that reports name beside their best one, and parts of networks that the shared tests do not reach."""

from dataclasses import replace

import pytest
import torch
from tiny_rivals import OPTIMIZER, SIZE, read_all, save, shrink_phase, tiny_recipe, train, write_clips

from networks.timm_networks import squeeze_blocks
from rivals.prediction import load_system
from rivals.recipes import Augmentation
from rivals.registry import find_system
from rivals.system import PAPER, SMALL, Build
from rivals.systems.se_resnext import MaxSqueeze, squeeze_by_maximum
from rivals.training import TrainingPlan
from rivals.weights import load_trunk

NAMED = [
    ("pcd_r2plus1d", PAPER, "r2plus1d_18", 31.5),
    ("se_resnext", PAPER, "timm:seresnext101_32x4d", 49.0),
    ("se_resnext", "paper_resnet34", "resnet34", 21.8),
    ("se_resnext", "paper_pnasnet5", "timm:pnasnet5large", 86.1),
    ("se_resnext", "paper_efficientnet_b7", "timm:tf_efficientnet_b7.aa_in1k", 66.3),
    ("transfer_mlp", PAPER, "resnet152", 60.2),
    ("transfer_mlp", "paper_vgg16", "vgg16", 138.4),
    ("transfer_mlp", "paper_resnet50", "resnet50", 25.6),
    ("transfer_mlp", "paper_resnet34", "resnet34", 21.8),
    ("transfer_mlp", "paper_alexnet", "alexnet", 61.1),
    ("transfer_mlp", "paper_autoencoder", "resnet152", 60.2),
    ("transfer_mlp", "paper_four_layer_cnn", "", None),
]
"""Systems and recipes, with the backbone and its published number of parameters in millions, classes included."""


@pytest.mark.parametrize(
    ("name", "recipe", "backbone", "millions"), NAMED, ids=[f"{name}-{recipe}" for name, recipe, *_ in NAMED]
)
def test_a_full_size_network_is_what_the_report_names(name, recipe, backbone, millions, taxonomy):
    system = find_system(name)
    found = system.recipe(recipe)
    assert found.settings.backbone == backbone
    assert found.augmentation == system.recipe(PAPER).augmentation
    inputs = found.settings.inputs
    with torch.device("meta"):  # shapes without numbers: full size costs nothing
        network = system.build(Build(found.settings, taxonomy.label_names))
        shape = (2, *([inputs.frames] if inputs.frames > 1 else []), 3, inputs.size, inputs.size)
        probabilities = system.probabilities(network.eval()(torch.zeros(shape)))
    assert probabilities.shape == (2, 43)
    modules = dict(network.named_modules())
    for phase in found.phases:
        assert all(list(modules[frozen].parameters()) for frozen in phase.frozen)  # something is frozen
    if millions is not None:
        trunk, classes = network.trunk, 400 if name == "pcd_r2plus1d" else 1000
        count = sum(parameter.numel() for parameter in trunk.parameters()) + classes * (trunk.width + 1)
        assert round(count / 1e6, 1) == millions


def test_the_first_five_layers_are_frozen(taxonomy):
    system = find_system("transfer_mlp")
    shapes = {}
    for recipe in ("paper_vgg16", "paper_alexnet"):
        found = system.recipe(recipe)
        with torch.device("meta"):
            modules = dict(system.build(Build(found.settings, taxonomy.label_names)).named_modules())
        frozen = [layer for name in found.phases[0].frozen for layer in modules[name].modules()]
        shapes[recipe] = [layer.out_channels for layer in frozen if isinstance(layer, torch.nn.Conv2d)]
    assert shapes == {"paper_vgg16": [64, 64], "paper_alexnet": [64, 192]}


@pytest.mark.parametrize("alternative", ["paper_autoencoder", "paper_four_layer_cnn"])
def test_an_alternative_trains_and_is_saved(alternative, taxonomy, tmp_path):
    system = find_system("transfer_mlp")
    tiny, other = tiny_recipe(system, 2), system.recipe(alternative)
    backbone = other.settings.backbone and tiny.settings.backbone
    settings = replace(other.settings, backbone=backbone, inputs=tiny.settings.inputs)
    phases = tuple(shrink_phase(phase, 2, OPTIMIZER) for phase in other.phases)
    recipe = replace(other, settings=settings, weights="random", phases=phases)
    plan = TrainingPlan(system, recipe, taxonomy)
    trained = train(plan, read_all(write_clips(tmp_path, taxonomy, 4), taxonomy), tmp_path / "work")
    loaded = load_system(save(tmp_path / "it.safetensors", plan, trained), taxonomy)
    pictures = torch.rand(2, 3, SIZE, SIZE)
    expected = system.probabilities(trained.network(pictures))
    assert torch.equal(system.probabilities(loaded.network(pictures)), expected)


def test_an_autoencoder_learns_to_reconstruct_what_the_trunk_makes(taxonomy):
    system = find_system("transfer_mlp")
    settings = replace(tiny_recipe(system, 1).settings, options=system.recipe("paper_autoencoder").settings.options)
    network = system.build(Build(settings, taxonomy.label_names))
    logits, errors = network(torch.rand(4, 3, SIZE, SIZE))
    assert errors.shape == (4,)
    targets = torch.zeros(4, 43)
    loss = system.losses["autoencoder_bce"]((logits, errors), targets)
    assert loss.item() == pytest.approx(
        (torch.nn.functional.binary_cross_entropy_with_logits(logits, targets) + errors.mean()).item()
    )
    errors.mean().backward()
    assert network.decoder[0].weight.grad is not None
    assert network.series[0].weight.grad is not None
    assert network.features.weight.grad.abs().sum() > 0  # through the code, though not through what is to be met


def test_r2plus1d_trains_with_its_schedule_of_frames(taxonomy, tmp_path):
    system = find_system("pcd_r2plus1d")
    paper = system.recipe(PAPER)
    assert sum(phase.epochs for phase in paper.phases) == 95
    inputs = replace(paper.settings.inputs, size=32, frames=4)
    phases = (replace(paper.phases[0], epochs=1, batch_size=4, inputs=replace(inputs, frames=2, step=2)),)
    phases += (replace(phases[0], inputs=None),)
    settings = replace(paper.settings, inputs=inputs)
    recipe = replace(paper, settings=settings, weights="random", phases=phases, augmentation=Augmentation())
    plan = TrainingPlan(system, recipe, taxonomy)
    trained = train(plan, read_all(write_clips(tmp_path, taxonomy, 4), taxonomy), tmp_path / "work")
    clips = torch.rand(2, 4, 3, 32, 32)
    assert trained.network(clips).shape == (2, 43, 2)
    assert not torch.equal(trained.network(clips), trained.network(clips.flip(1)))  # the order of frames matters


def test_without_a_network_of_clips_a_convolution_over_time_sees_the_order_of_frames(taxonomy):
    system = find_system("pcd_r2plus1d")
    network = system.build(Build(tiny_recipe(system, 1).settings, taxonomy.label_names)).eval()
    clips = torch.rand(2, 4, 3, SIZE, SIZE)
    assert network(clips).shape == (2, 43, 2)
    assert not torch.allclose(network(clips), network(clips[:, [0, 2, 1, 3]]))


def test_squeeze_and_excitation_takes_the_maximum_of_each_channel():
    torch.manual_seed(0)
    trunk = load_trunk("timm:seresnext26d_32x4d", None)
    blocks = squeeze_blocks(trunk)
    names, before = list(trunk.state_dict()), trunk.eval()(torch.zeros(1, 3, SIZE, SIZE))
    squeeze_by_maximum(trunk)
    assert len(blocks) == 8
    assert not squeeze_blocks(trunk)
    assert list(trunk.state_dict()) == names  # so that published weights fit
    assert trunk.eval()(torch.zeros(1, 3, SIZE, SIZE)).shape == before.shape
    original = next(iter(blocks.values()))
    map_ = torch.rand(1, original.fc1.in_channels, 4, 4)
    flat = map_.amax(dim=(2, 3), keepdim=True).expand_as(map_)  # whose mean is its maximum
    torch.testing.assert_close(MaxSqueeze(original)(map_) / map_, original(flat) / flat)


def test_the_second_stage_ends_where_its_cycle_is_lowest():
    for recipe in (PAPER, SMALL):
        second = find_system("se_resnext").recipe(recipe).phases[1]
        assert second.epochs % (2 * second.schedule.epochs) == 0
        assert second.schedule.lowest < second.optimizer.learning_rate
    assert sum(phase.epochs for phase in find_system("se_resnext").recipe(PAPER).phases) == 200
