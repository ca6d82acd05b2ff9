"""Training: determined by the seed, resumed without a trace, frozen parts untouched, learning rates as scheduled."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_rivals import read_all, tiny_recipe, train, write_clips
from torch import nn

from common.errors import TrainingError
from rivals.checkpoints import CHECKPOINT_FILE, LOG_FILE, read_log
from rivals.data import TrainingData
from rivals.losses import LOSSES, balanced_bce, log_loss, two_way_log_loss, two_way_softmax
from rivals.optimizers import LearningRate, make_optimizer
from rivals.recipe_changes import Changes, adjust_recipe
from rivals.recipes import OPTIMIZERS, Augmentation, FrameInput, Optimizer, Phase, Schedule
from rivals.registry import SYSTEMS, find_system
from rivals.system import PAPER
from rivals.training import TrainingPlan


@pytest.fixture(scope="module")
def examples(tmp_path_factory, taxonomy):
    return read_all(write_clips(tmp_path_factory.mktemp("clips"), taxonomy, clips=5), taxonomy, moments=2)


@pytest.fixture
def plan(taxonomy):
    system = find_system("pos_weight")  # with dropout, frozen layers and a schedule with a memory
    recipe = tiny_recipe(system, epochs=2)
    phase = replace(recipe.phases[0], batch_size=2, schedule=Schedule("plateau", 0.25, 1))
    augmentation = Augmentation(rotation_degrees=10, flip=0.5, squares=2)
    # Each phase is given other frames.
    phases = (phase, replace(phase, inputs=replace(recipe.settings.inputs, size=32)))
    return TrainingPlan(system, replace(recipe, phases=phases, augmentation=augmentation), taxonomy, seed=3)


class StoppedError(Exception):
    """Stands for whatever stops a training."""


def weights(trained):
    return {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)


def test_the_seed_determines_the_weights(plan, examples, tmp_path):
    torch.manual_seed(8)
    first = weights(train(plan, examples, tmp_path / "a"))
    expected = torch.rand(1)
    torch.manual_seed(8)
    assert torch.equal(torch.rand(1), expected)  # the caller's random state is as it was
    assert_equal(weights(train(plan, examples, tmp_path / "b")), first)
    other = weights(train(replace(plan, seed=4), examples, tmp_path / "c"))
    assert not torch.equal(other["classifier.3.weight"], first["classifier.3.weight"])


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_training_that_was_stopped_ends_with_the_same_weights(plan, examples, tmp_path, epochs):
    from common.training_run import TrainingRun
    from rivals.training import train_system

    expected = weights(train(plan, examples, tmp_path / "whole"))
    seen = []

    def stop(report):
        seen.append(report)
        if len(seen) == epochs:
            raise StoppedError

    with pytest.raises(StoppedError):
        train_system(plan, TrainingData(examples, plan.taxonomy), TrainingRun(tmp_path / "work", on_epoch=stop))
    assert_equal(weights(train(plan, examples, tmp_path / "work")), expected)
    logs = [read_log(tmp_path / folder / LOG_FILE) for folder in ("whole", "work")]
    assert all(line.pop("seconds") > 0 for log in logs for line in log)
    assert logs[0] == logs[1]
    assert len(logs[0]) == 4


def test_the_checkpoint_of_another_training_is_refused(plan, examples, tmp_path):
    train(plan, examples, tmp_path)
    with pytest.raises(TrainingError, match="another seed: give the same one, or another work folder"):
        train(replace(plan, seed=9), examples, tmp_path)
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match="delete it to start over"):
        train(plan, examples, tmp_path)


def test_frozen_parts_keep_their_weights_and_statistics(plan, examples, tmp_path):
    before = weights(train(replace(plan, recipe=replace(plan.recipe, phases=())), examples, tmp_path / "none"))
    after = weights(train(plan, examples, tmp_path / "trained"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = plan.recipe.phases[0].frozen
    assert not [name for name in changed if name.startswith(tuple(f"{part}." for part in frozen))]
    assert {"trunk.layer4.0.conv1.weight", "trunk.layer4.0.bn1.running_mean", "classifier.0.weight"} <= changed


def test_a_part_that_does_not_exist_cannot_be_frozen(plan, examples, tmp_path):
    phase = replace(plan.recipe.phases[0], frozen=("trunk.layer9",))
    with pytest.raises(TrainingError, match="'trunk.layer9' is to be frozen, but the network has no such module"):
        train(replace(plan, recipe=replace(plan.recipe, phases=(phase,))), examples, tmp_path)


def test_a_loss_that_explodes_ends_the_training_in_one_line(plan, examples, tmp_path):
    phase = replace(plan.recipe.phases[0], optimizer=Optimizer("sgd", 1e30), frozen=(), epochs=5)
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf); try a lower learning rate"):
        train(replace(plan, recipe=replace(plan.recipe, phases=(phase,))), examples, tmp_path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_a_loss(name):
    torch.manual_seed(0)
    layer = nn.Linear(4, 2)
    inputs, targets = torch.rand(16, 4), torch.rand(16, 2).round()
    phase = Phase(1, 16, "bce", Optimizer(name, 1.0 if name == "adadelta" else 0.01, momentum=0.5))
    optimizer = make_optimizer(layer.parameters(), phase)
    losses = []
    for _ in range(30):
        loss = LOSSES["bce"](layer(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


RATES = {
    "constant": (Schedule(), [1.0, 1.0, 1.0, 1.0]),
    "cosine": (Schedule("cosine"), [1.0, 0.853553, 0.5, 0.146447]),
    "cyclic": (Schedule("cyclic", epochs=2, lowest=0.2), [0.2, 0.6, 1.0, 0.6]),
    "plateau": (Schedule("plateau", 0.25, 1), [1.0, 1.0, 1.0, 0.25]),  # the loss does not fall after the first epoch
    "step": (Schedule("step", 0.1, 2), [1.0, 1.0, 0.1, 0.1]),
}


@pytest.mark.parametrize(("schedule", "expected"), RATES.values(), ids=RATES)
def test_the_learning_rate_follows_its_schedule(schedule, expected):
    phase = Phase(4, 1, "bce", Optimizer("sgd", 1.0), schedule)
    optimizer = make_optimizer(nn.Linear(1, 1).parameters(), phase)
    rate, found = LearningRate(optimizer, phase, steps=3), []
    for _ in range(4):
        found.append(rate.now)
        for _ in range(3):
            optimizer.step()
            rate.after_step()
        rate.after_epoch(1.0)
    assert found == pytest.approx(expected, abs=1e-6)


def test_losses_are_those_of_the_reports():
    probabilities = torch.tensor([[0.9, 0.2], [0.4, 0.7]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = -(np.log([0.9, 0.8]).sum() + np.log([0.4, 0.3]).sum()) / 2  # equation 1, of two samples
    logits = torch.logit(probabilities)
    assert log_loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)
    two_way = torch.stack([torch.zeros_like(logits), logits], dim=-1)
    torch.testing.assert_close(two_way_softmax(two_way), probabilities)
    assert two_way_log_loss(two_way, targets).item() == pytest.approx(expected, rel=1e-5)
    # "1 positive sample and 3 negative samples of a particular class": the weight of the positive one is 3.
    logits, targets = torch.zeros(4, 1), torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    assert balanced_bce(logits, targets).item() == pytest.approx(6 * np.log(2) / 4, rel=1e-5)


def test_a_recipe_can_be_changed_by_number():
    recipe = find_system("pcd_resnet").recipe(PAPER)
    changed = adjust_recipe(recipe, Changes("resnet18", "random", 112, [3], 8, "adam", 0.5))
    assert changed.settings.backbone == "resnet18"
    assert changed.weights == "random"
    assert changed.settings.inputs == FrameInput(112)
    (phase,) = changed.phases
    assert (phase.epochs, phase.batch_size, phase.optimizer) == (3, 8, Optimizer("adam", 0.5, 0.9, 4e-5))
    assert adjust_recipe(recipe, Changes()) == recipe


WRONG = {
    "epochs": (Changes(epochs=[1, 2]), "epochs 1 2 were given, one number, or 1 are allowed"),
    "no epoch": (Changes(epochs=[0]), "epochs 0 was given, a whole number from 1"),
    "rate": (Changes(learning_rate=-1.0), "learning rate -1.0 was given, a finite number above 0"),
    "optimizer": (Changes(optimizer="adm"), "unknown optimizer 'adm'; did you mean 'adam'"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_number_is_refused(changes, message):
    with pytest.raises(TrainingError, match=message):
        adjust_recipe(find_system("pcd_resnet").recipe(PAPER), changes)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_recipe_names_a_loss_and_an_optimizer_that_exist(name):
    system = find_system(name)
    for recipe in system.recipes.values():
        for phase in recipe.phases:
            assert phase.loss in {**LOSSES, **system.losses}
            assert phase.optimizer.name in OPTIMIZERS
            LearningRate(make_optimizer(nn.Linear(1, 1).parameters(), phase), phase, 3)
