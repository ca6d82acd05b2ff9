"""Every number that the reports publish of a system, and the report that it stands in."""

from functools import reduce

import pytest

from rivals.registry import find_system
from rivals.system import PAPER

PCD = "the PCD report"
TRANSFER = 'the report that begins "Here we present a deep learning model, using transfer learning"'
WEIGHTED = 'the report that begins "In this report, I describes technical details of my attempt"'
COMPARISON = 'the report "A Baseline Comparison for Action Understanding with Multiple Classes of Actors"'
PERCEPTRON = 'the report that begins "We propose a method for the classification of A2D data-set"'
TWO_METHODS = 'the report that begins "In this report, we compare the performance of two proposed methods"'
RECURRENT = 'the report that begins "In this report, we attempt to presents an approach"'
FLOW = 'the report that begins "Actor and action by mapping videos with the descriptors"'
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
CLIPS = {
    f"phases.{phase}.{name}": PER_CLASS[f"phases.0.{name}"]
    for phase in range(3)
    for name in (
        "optimizer.name",
        "optimizer.learning_rate",
        "optimizer.momentum",
        "optimizer.weight_decay",
        "schedule.name",
    )
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
        "pcd_r2plus1d",
        PCD,
        0.617,
        {
            **CLIPS,
            "settings.backbone": "r2plus1d_18",
            "settings.inputs.frames": 16,
            "settings.inputs.step": 1,
            "settings.inputs.before": None,  # half of them: the target is at the centre
            "phases.0.inputs.frames": 4,
            "phases.0.inputs.step": 2,
            "phases.1.inputs.frames": 8,
            "phases.1.inputs.step": 1,
            "phases.2.inputs": None,
            "phases.2.loss": "two_way_log_loss",
            "augmentation": find_system("pcd_resnet").recipe(PAPER).augmentation,
        },
    ),
    (
        "se_resnext",
        COMPARISON,
        0.592,
        {
            "settings.backbone": "timm:seresnext101_32x4d",
            "settings.inputs.size": 224,
            "weights": "imagenet",
            "phases.0.loss": "bce",
            "phases.0.optimizer.name": "sgd",
            "phases.0.optimizer.learning_rate": 0.05,
            "phases.0.batch_size": 64,
            "phases.0.schedule.name": "cosine",
            "phases.0.amp": True,
            "phases.1.loss": "bce",
            "phases.1.optimizer.name": "sgd",
            "phases.1.batch_size": 64,
            "phases.1.schedule.name": "cyclic",
            "phases.1.schedule.epochs": 10,
            "phases.1.amp": True,
            "augmentation.blurs": ("gaussian", "median", "motion"),
            "augmentation.squares": 4,  # "less than five"
            "augmentation.square_pixels": 8,
        },
    ),
    (
        "transfer_mlp",
        PERCEPTRON,
        0.552,
        {
            "settings.backbone": "resnet152",
            "settings.options.widths.0": 1000,
            "settings.options.widths.2": 256,
            "weights": "imagenet",
            "phases.0.loss": "bce",
            "phases.0.optimizer.name": "sgd",
            "phases.0.optimizer.learning_rate": 0.05,
            "phases.0.schedule.name": "constant",
            "phases.0.batch_size": 16,
            "phases.0.epochs": 50,
            "phases.0.frozen": ("trunk.stem", "trunk.layer1"),
        },
    ),
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
        "multiscale",
        TWO_METHODS,
        0.515,
        {
            "settings.backbone": "resnet152",
            "settings.inputs.size": 224,
            "settings.options.width": 1000,
            "weights": "imagenet",
            "phases.0.loss": "bce",
            "phases.0.optimizer.name": "sgd",
            "phases.0.optimizer.learning_rate": 0.001,
            "phases.0.optimizer.momentum": 0.9,
            "phases.0.optimizer.weight_decay": 0.0001,
            "phases.0.epochs": 65,
            "phases.0.frozen": (),
        },
    ),
    (
        "object_proposal",
        TWO_METHODS,
        0.253,
        {
            "settings.backbone": "resnet152",
            "settings.inputs.size": 224,
            "settings.options.published_layer": True,  # "from 1000 to 43"
            "weights": "imagenet",
            "phases.0.loss": "bce",
            "phases.0.optimizer.name": "sgd",
            "phases.0.optimizer.learning_rate": 0.001,
            "phases.0.optimizer.momentum": 0.9,
            "phases.0.optimizer.weight_decay": 0.0001,
            "phases.0.batch_size": 1,  # "which prevents us from doing batch learning"
            "phases.0.epochs": 30,
            "phases.0.frozen": (),
        },
    ),
    (
        "cnn_lstm",
        RECURRENT,
        None,
        {
            "settings.backbone": "resnet152",
            "settings.inputs.size": 224,
            "settings.inputs.frames": 6,
            "settings.inputs.before": 5,
            "settings.inputs.zero_padded": True,
            "settings.options.embedding": 1024,
            "settings.options.lstm": 512,
            "settings.options.lstm_layers": 2,
            "weights": "imagenet",
            "phases.0.loss": "bce",
            "phases.0.optimizer.name": "adam",
            "phases.0.optimizer.learning_rate": 0.001,
            "phases.0.batch_size": 4,
            "phases.0.epochs": 3,
        },
    ),
    ("flow_lines", FLOW, None, {"settings.backbone": "resnet152", "weights": "imagenet"}),
    (
        "resnet3d",
        FLOW,
        None,
        {"settings.backbone": "resnet34", "settings.inputs.frames": 11, "settings.inputs.before": 5},
    ),
    ("glove", FLOW, None, {"settings.backbone": "resnet152", "weights": "imagenet", "settings.options.width": 50}),
    (
        "joint_fusion",
        FLOW,
        0.57,  # "about"
        {
            "settings.backbone": "resnet152",
            "settings.options.fusion": "lda",  # "the best result achieved"
            "weights": "imagenet",
            "phases.0.loss": "separate",
            "phases.0.frozen": (),  # "end-to-end"
            "phases.1.schedule.name": "cosine",
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
