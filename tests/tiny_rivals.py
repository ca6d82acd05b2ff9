"""Tiny trainings of the challenge's systems: clips that can be told apart, and recipes that take seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_a2d import write_pngs, write_rows

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.training_run import TrainingRun
from rivals.data import Example, TrainingData, read_examples
from rivals.files import SystemHeader, save_system
from rivals.recipes import Augmentation, FrameInput, Optimizer, Phase, Recipe, Schedule
from rivals.system import SMALL, System
from rivals.training import Trained, TrainingPlan, train_system

TINY_BACKBONE = "timm:test_resnet"  # of timm's networks for tests, some 0.5 million parameters
SIZE, FRAMES, CROPS = 64, 4, 2
CLIPS = 16
OPTIMIZER = Optimizer("adamw", 5e-3)
LAST_LAYERS_OPTIMIZER = Optimizer("adamw", 0.1)  # where they alone are trained


def write_clips(root: Path, taxonomy: Taxonomy, clips: int = CLIPS) -> Path:
    """Write clips, each of four frames of its own colours, with one or two labels each, and return their list."""
    numbers = np.random.default_rng(5)
    rows = [["file", "labels", "split"]]
    for clip in range(clips):
        cells = numbers.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        image = cells.repeat(16, axis=0).repeat(16, axis=1)
        write_pngs(root / f"clip-{clip:02d}", np.stack([np.roll(image, shift, axis=1) for shift in range(FRAMES)]))
        names = [taxonomy.labels[index].name for index in {3 * clip % 43, 7 * clip % 43}]
        rows.append([f"clip-{clip:02d}", " ".join(names), "train"])
    return write_rows(root / "clips.csv", rows)


def tiny_recipe(system: System, epochs: int, optimizer: Optimizer = OPTIMIZER) -> Recipe:
    """Shrink a system's small recipe: a tiny backbone with random weights, few and small pictures, few epochs."""
    recipe = system.recipe(SMALL)
    inputs = shrink(recipe.settings.inputs)
    backbone = recipe.settings.backbone
    if backbone and backbone not in ("r3d_18", "r2plus1d_18"):
        backbone = TINY_BACKBONE
    weights = "random"
    if trains_last_layers_only(recipe):  # on random features they learn too little
        backbone, weights, optimizer = recipe.settings.backbone, recipe.weights, LAST_LAYERS_OPTIMIZER
    each = max(1, epochs // max(1, len(recipe.phases)))
    phases = tuple(shrink_phase(phase, each, optimizer) for phase in recipe.phases)
    options = dict(recipe.settings.options)
    if "crops" in options:
        options["crops"] = min(options["crops"], CROPS)
    settings = replace(recipe.settings, backbone=backbone, inputs=inputs, options=options)
    return replace(recipe, settings=settings, weights=weights, phases=phases, augmentation=Augmentation())


def trains_last_layers_only(recipe: Recipe) -> bool:
    """Return whether the whole trunk is frozen in all phases."""
    return bool(recipe.phases) and all("trunk" in phase.frozen for phase in recipe.phases)


def shrink(inputs: FrameInput) -> FrameInput:
    """Return an input of small pictures and few frames."""
    frames = min(inputs.frames, FRAMES)
    before = None if inputs.before is None else min(inputs.before, frames - 1)
    return replace(inputs, size=SIZE, frames=frames, before=before)


def shrink_phase(phase: Phase, epochs: int, optimizer: Optimizer) -> Phase:
    """Return a short phase with another optimizer."""
    inputs = shrink(phase.inputs) if phase.inputs else None
    return replace(phase, epochs=epochs, batch_size=8, optimizer=optimizer, schedule=Schedule("cosine"), inputs=inputs)


def read_all(data: Path, taxonomy: Taxonomy, moments: int = 1) -> list[Example]:
    """Read the examples of the split `train`."""
    return read_examples(read_samples(data, "train", taxonomy), SkippedSamples(strict=True), moments)


def train(plan: TrainingPlan, examples: list[Example], work: Path) -> Trained:
    """Train on the CPU."""
    return train_system(plan, TrainingData(examples, plan.taxonomy), TrainingRun(work))


def save(path: Path, plan: TrainingPlan, trained: Trained) -> Path:
    """Write the file of a trained system and return its path."""
    settings = plan.recipe.settings.to_dict()
    names, recipe = plan.taxonomy.label_names, plan.recipe.to_dict()
    header = SystemHeader(plan.system.name, names, settings, recipe, plan.seed, trained.sources, {}, trained.fitted, {})
    save_system(path, trained.network, header)
    return path
