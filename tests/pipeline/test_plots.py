"""Plots: what is drawn is what was measured, in files that are valid, and the same for the same numbers."""

from dataclasses import replace

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from svg_plots import SvgPlot, assert_linear

from a2d.metrics import Scores
from action_heads.checkpoint import HeadManifest
from action_heads.training.finetuning import FinetuningEpoch
from pipeline.evaluation.split_report import Origin, SplitPredictions, report_split
from pipeline.plots import figures
from pipeline.plots.figures import DOTS_PER_INCH, PlotFolder, spread
from pipeline.plots.gates import LOWEST_GATE, plot_tuning
from pipeline.plots.head_curves import plot_training
from pipeline.plots.scores import (
    ABSENT,
    MISSED,
    confusion_matrix,
    error_budget_parts,
    plot_scores,
)
from pipeline.results import Weights
from pipeline.training.gate_tuning import compare_gates
from pipeline.training.head_training import HeadTrainingReport
from pipeline.training.operating_points import GateSearch, OperatingPoint, score
from pipeline.training.tuning_curves import score_uniform_gates, swarm_convergence
from pipeline.training.tuning_report import TuningReport
from thresholds.fitness import PresenceTable
from thresholds.gates import load_gates
from thresholds.stable import tune_stable
from thresholds.tuning import SearchSettings, tune

ALL_FREE = np.full(6, np.nan)
SPLIT = Origin("clips.csv", "test", "train", "clip", Weights("d", "t", {}), {})


@pytest.fixture
def plots(tmp_path):
    return PlotFolder(tmp_path)


@pytest.fixture(scope="module")
def predictions(taxonomy):
    """Sixty samples with random labels; the heads are right more often than not."""
    rng = np.random.default_rng(0)
    actual = rng.random((60, 43)) < 0.06
    scores = np.clip(rng.random((60, 43)) * 0.5 + 0.4 * actual, 0, 1)
    gated = taxonomy.actors_of(actual) ^ (rng.random((60, 6)) < 0.15)
    by_label = gated[:, [taxonomy.actor(label.actor).index for label in taxonomy.labels]]
    scores[~by_label] = np.nan
    predicted = np.nan_to_num(scores) > 0.45
    return SplitPredictions(predicted, gated, actual, tuple("ab" * 30), (), scores=scores)


def report_of(predictions, taxonomy, origin=SPLIT):
    return report_split(origin, predictions, predictions.actual, taxonomy)


@pytest.fixture(scope="module")
def report(predictions, taxonomy):
    return report_of(predictions, taxonomy)


@pytest.fixture(scope="module")
def table():
    """Forty clips of six actors, whose ratios are higher where the actor is; they are 0 or at least 0.1 %."""
    rng = np.random.default_rng(1)
    truth = rng.random((40, 6)) < 0.4
    return PresenceTable((rng.random((40, 6)) ** 2 * (0.3 + 0.7 * truth)).round(3), truth)


def tuning_report(table, search, held_out=None, fixed=ALL_FREE):
    stable = tune_stable(table, search.objective, search.settings, search.method, fixed)
    gates = replace(load_gates(), values=stable.values, data="clips.csv", split="train", clips=table.videos)
    point = OperatingPoint(None, table, stable, None, fixed)  # type: ignore[arg-type]
    rows = compare_gates(table, held_out, search, stable, fixed)
    return TuningReport(rows, [point], gates, "test" if held_out else None, held_out_table=held_out)


SEARCH = GateSearch(settings=SearchSettings(particles=8, iterations=5, runs=3), method="tuned")


# Files


def test_files_are_a_valid_svg_and_a_valid_png_of_the_same_size(plots, report):
    plot_scores(plots, report)
    names = ["error_budget", "reliability", *(f"confusion_{name}" for name in report.taxonomy.actor_names)]
    assert [path.name for path in plots.written] == [f"{name}.{end}" for name in names for end in ("svg", "png")]
    for svg, png in zip(plots.written[::2], plots.written[1::2], strict=True):
        root = SvgPlot(svg).root
        width, height = (float(root.get(side).removesuffix("pt")) / 72 * DOTS_PER_INCH for side in ("width", "height"))
        assert cv2.imread(str(png)).shape[:2] == pytest.approx((height, width), abs=1)


def test_the_same_numbers_give_the_same_bytes_whatever_the_user_has_configured(tmp_path, report):
    def write(name):
        plots = PlotFolder(tmp_path / name)
        plot_scores(plots, report)
        return [path.read_bytes() for path in plots.written]

    first = write("a")
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.facecolor": "red", "savefig.dpi": 30}):
        assert write("b") == first
        assert mpl.rcParams["font.size"] == 20, "the caller's settings are as before"
    assert b"<dc:date>" not in first[0]


def test_names_of_others_are_text_and_nothing_else(plots, predictions, taxonomy):
    dog = replace(taxonomy.actors[5], name="../<dog> & $x^2$\x00\udcff")
    taxonomy = replace(taxonomy, actors=(*taxonomy.actors[:5], dog))
    labels = [replace(label, actor=dog.name) if label.actor == "dog" else label for label in taxonomy.labels]
    taxonomy = replace(taxonomy, labels=tuple(labels))
    report = report_of(predictions, taxonomy, replace(SPLIT, data="<script>$a$.csv", split="x" * 300))
    plot_scores(plots, report)
    path = plots.written[-2]
    assert path == plots.folder / "confusion_____dog_____x_2___.svg"
    text = " ".join(SvgPlot(path).texts)
    assert "../<dog> & $x^2$\N{REPLACEMENT CHARACTER}" in text
    assert "<script>$a$.csv" in text
    assert "xxx…" in text
    assert "<script>" not in path.read_text()


def test_names_that_are_alike_as_files_are_numbered(plots):
    for name in ("a b", "a/b", "a_b"):
        with plots.figure(name, "title", "subtitle", (2, 2)):
            pass
    assert [path.name for path in plots.written[::2]] == ["a_b.svg", "a_b_2.svg", "a_b_3.svg"]


def test_a_figure_that_fails_is_not_written(plots):
    with pytest.raises(ValueError, match="no number"), plots.figure("a", "title", "", (2, 2)):
        raise ValueError("no number")
    assert list(plots.folder.iterdir()) == []


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("name", ["BLUE", "ORANGE", "BLACK", "GREY"])
def test_colours_of_text_can_be_read_on_white(name):
    assert 1.05 / (luminance(getattr(figures, name)) + 0.05) > 4.5, "WCAG 2.2, 1.4.3"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_spread_keeps_the_order_and_a_gap(positions):
    moved = spread(positions, 0.1)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= 0.1 - 1e-9).all()
    assert np.mean(moved) == pytest.approx(np.mean(positions), abs=1e-9)
    if len(positions) == 1 or np.diff(np.sort(positions)).min() >= 0.1:
        assert moved == pytest.approx(positions)


# Scores of a split


def test_the_error_budget_is_drawn_to_scale_and_labelled_with_its_points(plots, report):
    plot_scores(plots, report)
    parts = error_budget_parts(report)
    assert sum(parts.values()) == pytest.approx(100)
    assert parts["correct"] == 100 * report.pipeline.sample_averaged.f1
    svg = SvgPlot(plots.folder / "error_budget.svg")
    heights = [np.ptp(svg.points(f"budget-{index}")[:, 1]) for index in range(len(parts))]
    np.testing.assert_allclose(np.array(heights) / sum(heights), np.array(list(parts.values())) / 100, atol=1e-3)
    for name, points in parts.items():
        assert name in svg.texts
        assert f"{points:.1f}" in svg.texts


def test_reliability_is_that_of_the_labels_whose_actor_passed(plots, report, predictions):
    known = ~np.isnan(predictions.scores)
    counts, _ = np.histogram(predictions.scores[known], np.linspace(0, 1, 11))
    reliability = report.reliability
    assert reliability.counts.tolist() == counts.tolist()
    assert reliability.true_counts.sum() == predictions.actual[known].sum()
    plot_scores(plots, report)
    svg = SvgPlot(plots.folder / "reliability.svg")
    drawn, filled = svg.points("reliability"), counts > 0
    assert_linear(drawn[:, 0], reliability.mean_probability[filled])
    assert_linear(drawn[:, 1], reliability.true_fraction[filled])
    assert {str(count) for count in counts if count} <= set(svg.texts)
    assert f"expected error {100 * reliability.expected_calibration_error:.4g}"[:-2] in " ".join(svg.texts)


def test_a_confusion_matrix_has_what_is_missed_and_what_is_predicted_without_the_actor(plots, taxonomy):
    truth = [["dog-none"], ["dog-none"], ["dog-running"], ["cat-none"], ["cat-none"], []]
    said = [["dog-none"], ["dog-running", "dog-eating"], [], ["dog-none", "dog-eating"], ["dog-none"], []]
    actual, predicted = (np.stack([taxonomy.encode(names) for names in rows]) for rows in (truth, said))
    predictions = SplitPredictions(predicted, taxonomy.actors_of(predicted), actual, tuple("abcdef"), ())
    report = report_of(predictions, taxonomy)
    columns = ["dog-eating", "dog-running", "dog-none", MISSED]
    expected = {"dog-running": [0, 0, 0, 1], "dog-none": [0.5, 0.5, 1, 0], ABSENT: [0.5, 0, 1.5, 1]}
    matrix = confusion_matrix(report, taxonomy.actor("dog"))
    assert matrix == {row: dict(zip(columns, values, strict=True)) for row, values in expected.items()}
    assert confusion_matrix(report, taxonomy.actor("bird")) == {}
    plot_scores(plots, report)
    texts = SvgPlot(plots.folder / "confusion_dog.svg").texts
    cells = [text for text in texts if text.replace(".", "").isdigit()]
    assert cells == ["0", "1", "0.5", "0.5", "1", "0.5", "1.5", "1"]
    assert {"dog-running  1", "dog-none  2", f"{ABSENT}  3", *columns} <= set(texts)
    omitted = " ".join(plots.omitted)
    assert "no confusion matrix of bird: it is neither true nor predicted" in omitted
    assert "no reliability diagram" in omitted
    assert not (plots.folder / "reliability.svg").exists()


def test_the_report_as_json_has_what_the_plots_show(report):
    content = report.to_dict()
    assert content["calibration"]["counts"] == report.reliability.counts.tolist()
    for actor in report.taxonomy.actors:
        absent = report.pipeline.samples - report.gates.actual[actor.index]
        assert sum(content["false_alarms"][actor.name].values()) == pytest.approx(absent)


# Tuning of the gates


def test_convergence_is_that_of_the_search_whose_gates_are_reported(plots, table):
    report = tuning_report(table, SEARCH)
    convergence = swarm_convergence(report.points[0], SEARCH)
    assert convergence.runs.shape == (3, 5)
    assert (np.diff(convergence.runs) >= 0).all()
    reached = score(table, report.gates.values)
    product = reached.precision * reached.recall * reached.f1
    assert convergence.runs[convergence.best_run, -1] == convergence.runs[:, -1].max() == pytest.approx(product)
    exact = tune(table, "prf", replace(SEARCH.settings, optimizer="exact")).reached
    assert convergence.exact == pytest.approx(exact.precision * exact.recall * exact.f1)
    plot_tuning(plots, report, SEARCH)
    svg = SvgPlot(plots.folder / "convergence.svg")
    best = svg.points("best")
    assert_linear(best[:, 0], np.arange(1, 6))
    levels = np.append(best[:, 1], [svg.points("median")[:, 1][-1], svg.points("exact")[0, 1]])
    values = np.append(convergence.runs[convergence.best_run], [convergence.median[-1], convergence.exact])
    assert_linear(levels, values)
    assert {f"{convergence.exact:.4f} exact search", f"{product:.4f} best of 3 runs"} <= set(svg.texts)


@pytest.mark.parametrize("case", ["an exact search", "every gate is kept"])
def test_without_a_swarm_there_is_no_convergence(plots, table, case):
    exact = replace(SEARCH, settings=replace(SEARCH.settings, optimizer="exact"))
    report = (
        tuning_report(table, exact) if case == "an exact search" else tuning_report(table, SEARCH, None, np.ones(6))
    )
    plot_tuning(plots, report, exact if case == "an exact search" else SEARCH)
    assert plots.omitted == ["no plot of the swarm's convergence: no swarm searched"]
    assert [path.name for path in plots.written] == ["uniform_gate.svg", "uniform_gate.png"]


@pytest.mark.parametrize("iterations", [1, 40])
def test_convergence_of_any_length_is_drawn(plots, table, iterations):
    search = replace(SEARCH, objective="f1", settings=replace(SEARCH.settings, iterations=iterations, runs=1))
    plot_tuning(plots, tuning_report(table, search), search)
    assert len(SvgPlot(plots.folder / "convergence.svg").points("best")) == iterations


@given(gate=st.floats(0, 1))
def test_the_curve_has_the_scores_of_every_uniform_gate(table, gate):
    curve = score_uniform_gates(table)
    index = np.searchsorted(curve.gates, gate)
    expected = score(table, np.full(6, gate))
    assert curve.scores.of_particle(int(index)) == expected


def test_the_curves_and_the_f1_of_tuned_and_published_gates_are_drawn(plots, table):
    held_out = table.take(np.arange(0, 40, 2))
    report = tuning_report(table, SEARCH, held_out)
    plot_tuning(plots, report, SEARCH)
    svg = SvgPlot(plots.folder / "uniform_gate.svg")
    assert "train: 40 clips, tuned on" in svg.texts
    assert "test: 20 clips, held out" in svg.texts
    for part in (table, held_out):
        for name, gates in {"tuned": report.gates.values, "published": load_gates().values}.items():
            assert f"{name}: F1 {100 * score(part, gates).f1:.1f}" in svg.texts
    curve = score_uniform_gates(table)
    shown = curve.gates >= LOWEST_GATE
    assert curve.gates[~shown].tolist() == [0], "whose scores are off the axis"
    values = [getattr(curve.scores, name)[shown] for name in ("precision", "recall", "f1")]
    drawn = [svg.points(f"curve-{name}")[:, 1] for name in ("P", "R", "F1")]
    extremes = [value for curve in values for value in (curve.min(), curve.max())]
    assert_linear(np.array([level for line in drawn for level in (line.max(), line.min())]), np.array(extremes))


# Training of a head


def head_report(epochs=(), f1_by_strength=None):
    splits = {split: {"images": 10, "precision": 0.5, "recall": 0.5, "f1": 0.5, "constant_f1": 0.25} for split in "ab"}
    recipe = {"name": "default", "strength": 10.0, "f1_by_strength": f1_by_strength or {}, "folds": 5}
    data = {"name": "clips.csv", "split": "a", "samples": 4, "commonest_label": "dog-none"}
    manifest = HeadManifest(
        *("dog", ("dog-none",), "resnet34", "norms", "frame", {}, {}),
        recipe=recipe,
        data=data,
        seed=0,
        scores=splits,
    )
    return HeadTrainingReport(manifest, {}, {}, epochs=epochs)


def test_the_curves_of_a_training_are_those_of_its_epochs(plots):
    losses = [0.9, 0.5, 0.4, 0.35]
    scores = [{split: Scores(0.1 * n, 0.2 * n, 0.15 * n) for split in "ab"} for n in range(1, 5)]
    epochs = [
        FinetuningEpoch(n + 1, loss, 3e-4 / (n + 1), epoch_scores)
        for n, (loss, epoch_scores) in enumerate(zip(losses, scores, strict=True))
    ]
    plot_training(plots, head_report(epochs))
    svg = SvgPlot(plots.folder / "training_dog.svg")
    assert_linear(svg.points("loss")[:, 1], losses)
    for split in "ab":
        drawn = [svg.points(f"{split}-{name}")[:, 1] for name in ("P", "R", "F1")]
        assert_linear(np.concatenate(drawn), np.outer([0.1, 0.2, 0.15], range(1, 5)).ravel())
    assert_linear(np.unique(svg.points("rate")[:, 1].round(3)), [3e-4, 3e-4 / 2, 3e-4 / 3, 3e-4 / 4])
    assert {"0.0002", "always 25.0"} <= set(svg.texts)
    assert {"P 40.0", "R 80.0", "F1 60.0", "a: 10 frames, trained on", "b: 10 frames, held out"} <= set(svg.texts)


def test_a_linear_probe_shows_how_its_regularization_was_chosen(plots):
    plot_training(plots, head_report(f1_by_strength={"3": 0.41, "10": 0.45, "30": 0.43}))
    svg = SvgPlot(plots.folder / "training_dog.svg")
    assert {"41.0", "45.0, chosen", "43.0"} <= set(svg.texts)
    drawn = svg.points("regularization")
    assert_linear(drawn[:, 0], np.log([3, 10, 30]))
    assert_linear(drawn[:, 1], [0.41, 0.45, 0.43])


def test_a_linear_probe_without_cross_validation_shows_nothing_and_says_so(plots):
    plot_training(plots, head_report())
    assert plots.written == []
    assert "all clips are of one source" in plots.omitted[0]
