"""Gate files round-trip, and gates for other actors or another detector are rejected in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from a2d.metrics import Scores
from a2d.taxonomy import load_taxonomy
from common.errors import GatesError
from common.files import sha256_file
from thresholds.gates import PAPER_GATES_FILE, DetectorIdentity, Gates, KeptGates, check_gates, load_gates, save_gates

ACTORS = ("person", "ball", "bird", "car", "cat", "dog")
DETECTOR = DetectorIdentity("fb15" * 16, 224, 0.5, "yolo26n")


@pytest.fixture
def gates() -> Gates:
    return Gates(
        actors=ACTORS,
        values=np.array([0.1, 0.107, 0.0, 1.0, 1 / 3, 1e-5]),
        objective="prf",
        optimizer="exact",
        reached=Scores(0.8, 0.7, 0.75),
        seed=3,
        bounds=(0.0, 1.0),
        data="A2D é",
        split="train",
        clips=3036,
        detector=DETECTOR,
    )


def test_saved_gates_are_loaded_unchanged(gates: Gates, tmp_path: Path) -> None:
    path = tmp_path / "new" / "gates.yaml"
    saved = save_gates(gates, path)
    loaded = load_gates(path)
    assert saved.sha256 == loaded.sha256 == sha256_file(path)
    np.testing.assert_array_equal(loaded.values, gates.values)
    assert replace(loaded, values=gates.values).__dict__ | {"values": 0} == saved.__dict__ | {"values": 0}


def test_equal_gates_give_equal_bytes(gates: Gates, tmp_path: Path) -> None:
    first = save_gates(gates, tmp_path / "a.yaml")
    assert save_gates(load_gates(tmp_path / "a.yaml"), tmp_path / "b.yaml").sha256 == first.sha256
    assert (tmp_path / "a.yaml").read_text(encoding="utf-8").startswith("# Gates: ")


def test_what_was_kept_skipped_and_shown_is_recorded(gates: Gates, tmp_path: Path) -> None:
    kept = KeptGates("default.yaml", "ab" * 32, {"ball": "no clip shows it", "person": "every clip shows it"})
    tuned = replace(gates, skipped=3, kept=kept, clips_showing={actor: index for index, actor in enumerate(ACTORS)})
    save_gates(tuned, tmp_path / "gates.yaml")
    loaded = load_gates(tmp_path / "gates.yaml")
    assert (loaded.skipped, loaded.kept, loaded.clips_showing) == (3, kept, tuned.clips_showing)
    content = yaml.safe_load((tmp_path / "gates.yaml").read_text(encoding="utf-8"))
    assert content["tuned_on"] == {"data": "A2D é", "split": "train", "clips": 3036, "skipped": 3}
    assert content["clips_showing"]["dog"] == 5
    assert content["kept"]["from"] == "default.yaml"
    assert content["kept"]["reasons"]["ball"] == "no clip shows it"


def test_files_without_these_keys_are_loaded_and_written_as_before(gates: Gates, tmp_path: Path) -> None:
    assert (load_gates().skipped, load_gates().clips_showing, load_gates().kept) == (0, {}, None)
    save_gates(gates, tmp_path / "gates.yaml")
    content = yaml.safe_load((tmp_path / "gates.yaml").read_text(encoding="utf-8"))
    assert set(content) == set(yaml.safe_load(PAPER_GATES_FILE.read_text(encoding="utf-8")))
    assert "skipped" not in content["tuned_on"]


def test_load_published_gates() -> None:
    paper = load_gates(PAPER_GATES_FILE)
    assert paper.actors == load_taxonomy().actor_names
    assert paper.values.tolist() == [0.1, 0.107, 0.1, 0.1, 0.161, 0.267]
    assert paper.reached == Scores(0.846, 0.715, 0.75)
    assert (paper.seed, paper.bounds, paper.clips) == (None, (0.1, 0.4), 3782)


@pytest.mark.parametrize("sha256", [None, "fb15" * 16], ids=["unknown", "known"])
def test_published_gates_match_no_detector_without_force(sha256: str | None) -> None:
    paper, detector = load_gates(), DetectorIdentity(sha256, 224, 0.5, "yolov3")
    with pytest.raises(GatesError, match="made for detector yolov3 of unknown sha256 at image size 224"):
        check_gates(paper, ACTORS, detector, "paper.yaml")
    assert check_gates(paper, ACTORS, detector, "paper.yaml", force=True).actors == ACTORS


def test_actors_are_present_from_the_gate_upwards(gates: Gates) -> None:
    ratios = np.array([[0.1, 0.1, 0.0, 1.0, 1 / 3, 0.0], [0.0, 0.2, 0.5, 0.9, 0.4, 1e-5]])
    assert gates.present(ratios).astype(int).tolist() == [[1, 0, 1, 1, 1, 0], [0, 1, 1, 0, 1, 1]]


def test_decide_returns_ratios_gates_and_margins(gates: Gates) -> None:
    ratios = np.array([0.1, 0.1, 0.0, 0.5, 1.0, 0.0])
    decision = gates.decide(ratios)
    assert decision.present.tolist() == [True, False, True, False, True, False]
    np.testing.assert_array_equal(decision.ratios, ratios)
    np.testing.assert_array_equal(decision.gates, gates.values)
    np.testing.assert_array_equal(decision.margins, ratios - gates.values)
    assert (decision.margins[decision.present] >= 0).all()
    assert (decision.margins[~decision.present] < 0).all()


def test_values_are_read_only(gates: Gates) -> None:
    with pytest.raises(ValueError, match="read-only"):
        gates.values[0] = 0.5


def test_check_gates_reorders_by_name(gates: Gates) -> None:
    reordered = check_gates(gates, ACTORS[::-1], DETECTOR, "gates.yaml")
    assert reordered.actors == ACTORS[::-1]
    assert reordered.values.tolist() == gates.values[::-1].tolist()


def test_name_of_the_detector_is_ignored(gates: Gates) -> None:
    check_gates(gates, ACTORS, replace(DETECTOR, name="renamed"), "gates.yaml")


@pytest.mark.parametrize(
    "other", [{"sha256": "0" * 64}, {"sha256": None}, {"image_size": 640}, {"confidence": 0.25}], ids=str
)
def test_another_detector_requires_force(gates: Gates, other: dict[str, Any]) -> None:
    detector = replace(DETECTOR, **other)
    with pytest.raises(GatesError) as caught:
        check_gates(gates, ACTORS, detector, "gates.yaml")
    assert str(caught.value) == (
        "gates.yaml: made for detector yolo26n fb15fb15… at image size 224, confidence 0.5; "
        f"this run uses {detector}: tune gates for it with tune-thresholds, or pass --force"
    )
    check_gates(gates, ACTORS, detector, "gates.yaml", force=True)


def test_another_build_of_a_published_network_requires_no_force(gates: Gates, caplog: pytest.LogCaptureFixture) -> None:
    rebuilt = replace(DETECTOR, sha256="ab" * 32)
    assert check_gates(gates, ACTORS, rebuilt, "gates.yaml", published=True).actors == ACTORS
    (warning,) = caplog.messages
    assert warning.startswith("gates.yaml: tuned with another build of yolo26n (fb15fb15…, this one is abababab…)")
    assert "\n" not in warning


@pytest.mark.parametrize(
    "other",
    [{"name": "yolo11n"}, {"name": ""}, {"sha256": None}, {"image_size": 640}, {"confidence": 0.25}],
    ids=str,
)
def test_another_published_network_or_setting_requires_force(gates: Gates, other: dict[str, Any]) -> None:
    detector = replace(DETECTOR, **({"sha256": "ab" * 32} | other))
    with pytest.raises(GatesError, match="made for detector yolo26n fb15fb15"):
        check_gates(gates, ACTORS, detector, "gates.yaml", published=True)


@pytest.mark.parametrize("force", [False, True])
def test_other_actors_are_rejected_even_with_force(gates: Gates, force: bool) -> None:
    with pytest.raises(GatesError, match=r"made for the actors person, .*, dog; this taxonomy has person, horse"):
        check_gates(gates, ("person", "horse"), DETECTOR, "gates.yaml", force=force)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "unknown key 'extra'"),
        ({"seeds": 1}, "unknown key 'seeds'; did you mean 'seed'"),
        ({"gates": {}}, "gates: a mapping was expected"),
        ({"gates": [0.1]}, "gates: a mapping was expected"),
        ({"gates": {"dog": 1.5}}, r"gates: dog: a fraction in \[0, 1\] was expected, found 1.5"),
        ({"gates": {"dog": -0.1}}, "gates: dog: a fraction"),
        ({"gates": {"dog": float("nan")}}, "gates: dog: a fraction"),
        ({"gates": {"dog": "0.1"}}, "gates: dog: a fraction"),
        ({"gates": {"dog": True}}, "gates: dog: a fraction"),
        ({"gates": {1: 0.1}}, "names were expected as keys, found 1"),
        ({"objective": "recall"}, "unknown objective 'recall'"),
        ({"optimizer": 5}, "optimizer: text was expected"),
        ({"seed": 1.5}, "seed: a whole number from 0"),
        ({"bounds": [0.4, 0.1]}, "bounds: a list of two fractions"),
        ({"bounds": 0.1}, "bounds: a list of two fractions"),
        ({"reached": {"precision": 1.0}}, "reached: the key 'recall' is missing"),
        ({"reached": {"precision": 84.6, "recall": 0.5, "f1": 0.5}}, "reached: precision: a fraction"),
        ({"tuned_on": {"data": "x", "split": "y", "clips": -1}}, "clips: a whole number from 0"),
        ({"detector": None}, "detector: a mapping was expected"),
        ({"clips_showing": {"dog": "many"}}, "clips_showing: dog: a whole number from 0"),
        ({"clips_showing": None}, "clips_showing: a mapping was expected"),
        ({"kept": {"from": "a.yaml", "sha256": None}}, "kept: the key 'reasons' is missing"),
        ({"kept": {"from": "a.yaml", "sha256": None, "reasons": {"dog": 1}}}, "reasons: dog: text was expected"),
        ({"kept": {"from": "a.yaml", "sha256": "x", "reasons": {"dog": "y"}}}, "kept: sha256: null or 64"),
        ({"detector": {"name": "x", "sha256": "12", "image_size": 224, "confidence": 0.5}}, "sha256: null or 64"),
        ({"detector": {"name": "x", "sha256": None, "image_size": "224", "confidence": 0.5}}, "image_size: a whole"),
    ],
)
def test_invalid_gate_files_are_rejected(tmp_path: Path, changes: dict[Any, Any], message: str) -> None:
    content = yaml.safe_load(PAPER_GATES_FILE.read_text(encoding="utf-8")) | changes
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(GatesError, match=message) as caught:
        load_gates(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "gates: {person: 0.1}"], ids=["empty", "list", "broken", "few"])
def test_other_files_are_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GatesError, match=r"gates\.yaml: "):
        load_gates(path)


def test_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(GatesError, match="no such file"):
        load_gates(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("actors", "values", "message"),
    [
        (("a", "b"), [0.1], "one gate per actor"),
        ((), [], "one gate per actor"),
        (("a", "a"), [0.1, 0.2], "one gate per actor"),
        (("a",), [1.5], r"the gate of 'a' must be in \[0, 1\], it is 1.5"),
        (("a",), [np.nan], "it is nan"),
    ],
    ids=["count", "none", "duplicate", "range", "nan"],
)
def test_gates_reject_invalid_values(gates: Gates, actors: tuple[str, ...], values: list[float], message: str) -> None:
    with pytest.raises(GatesError, match=message):
        replace(gates, actors=actors, values=np.array(values))
