"""The generated tables of the model card and of docs/accuracy.md."""

import json
from dataclasses import replace

import pytest

from action_heads.trunk_files import trunk_path
from common.files import sha256_file
from common.markdown import fill_markers
from common.paths import PROJECT
from experiments import model_card
from experiments.ablation_rows import SHIPPED
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig


@pytest.fixture
def detector_report():
    return json.loads((PROJECT / "experiments" / "detector.json").read_text())


@pytest.fixture
def heads_report():
    return json.loads((PROJECT / "experiments" / "ablation.json").read_text())


def test_shipped_models_are_the_measured_ones(detector_report, heads_report, taxonomy):
    shipped = CachedDetector.from_config(TaggerConfig(), taxonomy).identity
    assert {scores["student"] for scores in detector_report["frames"]} == {str(replace(shipped, confirmation=None))}
    assert heads_report["detector"] == str(shipped)
    assert heads_report["trunk"] == sha256_file(trunk_path("efficientnet_lite0"))


def test_model_card_shows_the_measurements(detector_report, heads_report):
    card = model_card.MODEL_CARD.read_text(encoding="utf-8")
    assert fill_markers(card, model_card.model_card_tables(detector_report, heads_report)) == card
    assert f"**{SHIPPED}**" in card


def test_accuracy_page_shows_the_measurements(heads_report):
    page = model_card.ACCURACY_PAGE.read_text(encoding="utf-8")
    assert fill_markers(page, model_card.accuracy_tables(heads_report)) == page


def test_pages_are_rewritten_from_reports(detector_report, heads_report, tmp_path, monkeypatch):
    pages = {"MODEL_CARD": tmp_path / "card.md", "ACCURACY_PAGE": tmp_path / "accuracy.md"}
    for name, path in pages.items():
        text = getattr(model_card, name).read_text(encoding="utf-8")
        path.write_text(text.replace("| person ", "| nobody "), encoding="utf-8")
        monkeypatch.setattr(model_card, name, path)
    reports = ("--detector", "detector.json"), ("--heads", "ablation.json")
    assert (
        model_card.main([text for flag, name in reports for text in (flag, str(PROJECT / "experiments" / name))]) == 0
    )
    assert "| nobody " not in pages["MODEL_CARD"].read_text(encoding="utf-8")


def test_unseen_labels_are_those_without_a_training_sample(heads_report, taxonomy):
    unseen = model_card.format_unseen_labels(heads_report)
    assert unseen == "baby-climbing, bird-climbing, bird-rolling."
