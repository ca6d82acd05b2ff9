"""Every number that the reports publish of a system, and the report that it stands in."""

from functools import reduce

import pytest

from rivals.registry import find_system
from rivals.system import PAPER

PCD = "the PCD report"
TRANSFER = 'the report that begins "Here we present a deep learning model, using transfer learning"'
WEIGHTED = 'the report that begins "In this report, I describes technical details of my attempt"'
TRI_LAYER = 'the report that begins "The goal of this project was to develop a novel neural network design"'

PER_CLASS = {
    "settings.backbone": "resnet152",
    "weights": "imagenet",
    "phases.0.optimizer.name": "sgd",
    "phases.0.optimizer.learning_rate": 1e-5,
    "phases.0.optimizer.momentum": 0.9,
    "phases.0.optimizer.weight_decay": 4e-5,
    "phases.0.schedule.name": "constant",
    "augmentation.flip": 0.5,
    "augmentation.scale": (1.0, 1.0),  # no random crop
}
LAST_LAYERS_OF_RESNET18 = {
    "settings.backbone": "resnet18",
    "weights": "imagenet",
    "phases.0.optimizer.name": "adam",
    "phases.0.frozen": ("trunk",),
    "phases.1.frozen": ("trunk",),
}
PUBLISHED = [
    ("pcd_resnet", PCD, 0.594, {**PER_CLASS, "phases.0.loss": "two_way_log_loss", "phases.0.epochs": 70}),
    ("pcd_sigmoid", PCD, None, {**PER_CLASS, "phases.0.loss": "log_loss"}),
    ("apcd_resnet", PCD, 0.589, {**PER_CLASS, "phases.0.loss": "log_loss", "phases.0.epochs": 55}),
    (
        "transfer_resnet",
        TRANSFER,
        0.505,
        {
            "settings.backbone": "resnet152",
            "settings.inputs.size": 224,
            "phases.0.loss": "bce",
            "phases.0.optimizer.name": "adam",
            "phases.0.optimizer.learning_rate": 0.0001,
            "phases.0.optimizer.weight_decay": 0.0,
            "phases.0.batch_size": 32,
            "phases.0.epochs": 50,
            "phases.0.frozen": ("trunk.stem", "trunk.layer1", "trunk.layer2"),
        },
    ),
    (
        "pos_weight",
        WEIGHTED,
        0.346,
        {
            "settings.backbone": "resnet152",
            "settings.inputs.size": 224,
            "phases.0.loss": "balanced_bce",
            "phases.0.optimizer.name": "adam",
            "phases.0.optimizer.learning_rate": 0.0005,
            "phases.0.optimizer.weight_decay": 0.0,
            "phases.0.batch_size": 4,
            "phases.0.epochs": 50,
            "phases.0.schedule.name": "plateau",
            "phases.0.schedule.factor": 1 / 4,
            "phases.0.schedule.epochs": 5,
            "phases.0.frozen": ("trunk.stem", "trunk.layer1", "trunk.layer2", "trunk.layer3"),
        },
    ),
    (
        "tri_layer",
        TRI_LAYER,
        0.191,
        {
            **LAST_LAYERS_OF_RESNET18,
            "phases.0.optimizer.learning_rate": 0.0005,
            "phases.0.epochs": 10,
            "phases.1.optimizer.name": "adam",
            "phases.1.optimizer.learning_rate": 0.00003,
            "phases.1.epochs": 10,
        },
    ),
    ("resnet18", TRI_LAYER, 0.280, {**LAST_LAYERS_OF_RESNET18, "phases.0.loss": "bce"}),
    ("vanilla_cnn", TRI_LAYER, None, {"settings.backbone": "", "weights": "random"}),
    ("semi_fc_cnn", TRI_LAYER, None, {"settings.backbone": "", "weights": "random"}),
]
ROWS = [(name, field, value) for name, _, _, fields in PUBLISHED for field, value in fields.items()]


@pytest.mark.parametrize(("name", "field", "value"), ROWS, ids=[f"{name}-{field}" for name, field, _ in ROWS])
def test_the_paper_recipe_has_the_published_number(name, field, value):
    recipe = find_system(name).recipe(PAPER)
    assert reduce(_part, field.split("."), recipe) == value


@pytest.mark.parametrize(("name", "report", "f1", "fields"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_a_system_names_its_report_and_its_published_score(name, report, f1, fields):
    system = find_system(name)
    assert system.report.startswith(report)
    assert system.published_f1 == f1


def _part(whole, name):
    return whole[int(name)] if name.isdigit() else whole[name] if isinstance(whole, dict) else getattr(whole, name)
