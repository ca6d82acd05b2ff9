"""The pages in a real browser, headless Chromium: no errors, filters, order, playing, keyboard, accessibility, speed.

Without Chromium or Playwright, the tests are skipped.
"""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest
import result_rows
from page_checks import check_accessible

from a2d.metrics import Scores
from a2d.taxonomy import Taxonomy
from pipeline.label_list import LabelList
from pipeline.pages.gate_explorer import ExplorerPoint, write_explorer
from pipeline.pages.label_server import LabelServer
from pipeline.pages.report import write_report
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel
from thresholds.fitness import PresenceTable, score_gates
from thresholds.gates import DetectorIdentity, Gates, check_gates, load_gates
from video.clips import clip_sha256

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page on which any error, and anything its policy forbids, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: messages.append(f"dialog: {dialog.message}"))
    yield page
    assert [message for message in messages if "ERR_FILE_NOT_FOUND" not in message] == []  # a clip that is gone
    context.close()


def example_results(clip: Path) -> list[ClipResult]:
    """Results of six clips: two play, one is hostile, one failed, one is near a gate, one has two labels."""
    digest = clip_sha256(clip)
    walking = result_rows.row(str(clip), sha256=digest, frames=8, fps=4.0, duration_seconds=2.0)
    walking.actors["person"] = ActorEvidence(0.93, 0.1, True, 0.83, (1, 5))
    cat = {**walking.actors, "cat": ActorEvidence(0.101, 0.1, True, 0.001, (2,), boxes=((10.0, 10.0, 90.0, 90.0),))}
    both = (TaggedLabel("cat-running", 44, 0.9, ((0.5, 1.5),)), TaggedLabel("adult-walking", 18, 0.4, ((0.0, 2.0),)))
    return [
        walking,
        replace(walking, video="b10.mp4", labels=both, actors=cat, duration_seconds=9.0),
        replace(walking, video="b9.mp4", labels=()),
        replace(walking, video="<img src=x onerror=alert(1)>.mp4", error="<script>alert(2)</script>"),
        result_rows.failed("gone.mp4"),
        replace(walking, video=str(clip) + ".missing.mp4"),
    ]


def open_report(page: "Page", folder: Path, results: list[ClipResult], taxonomy: Taxonomy) -> None:
    write_report(folder / "report.html", results, taxonomy, 0.3)
    page.goto((folder / "report.html").as_uri())


def visible(page: "Page") -> list[str]:
    """Return the last part of the names of the clips that are shown, in order."""
    return [name.rpartition("/")[2] for name in page.locator(".clip:visible h2").all_text_contents()]


@pytest.fixture
def report(page: "Page", people_clip: Path, tmp_path: Path, taxonomy: Taxonomy) -> "Page":
    open_report(page, tmp_path, example_results(people_clip), taxonomy)
    return page


ALL = ["people.mp4", "b10.mp4", "b9.mp4", "<img src=x onerror=alert(1)>.mp4", "gone.mp4", "people.mp4.missing.mp4"]


def test_filters_together_and_all_again(report: "Page"):
    assert visible(report) == ALL
    label = report.get_by_role("button", name="cat-running 1 clip")
    label.click()
    assert visible(report) == ["b10.mp4"]
    assert label.get_attribute("aria-pressed") == "true"
    assert report.locator("#shown").inner_text() == "1 of 6"
    label.click()
    report.get_by_label("Search").fill("WALKING missing")
    assert visible(report) == ["people.mp4.missing.mp4"]
    report.get_by_role("button", name="Show all").click()
    report.locator("#shown", has_text="6 of 6").wait_for()
    report.get_by_label("Status").select_option("error")
    assert visible(report) == ["gone.mp4"]
    report.get_by_label("Status").select_option("")
    report.get_by_label("Actor").select_option("cat")
    assert visible(report) == ["b10.mp4"]
    report.get_by_label("Actor").select_option("")
    report.get_by_label("Nearest gate").select_option("0.01")
    assert "gone.mp4" not in visible(report)


def test_without_gates_the_actors_are_those_of_the_labels(
    page: "Page", people_clip: Path, tmp_path: Path, taxonomy: Taxonomy
):
    results = [replace(result, actors={}) for result in example_results(people_clip)]
    open_report(page, tmp_path, results, taxonomy)
    assert page.get_by_label("Nearest gate").count() == 0
    assert page.get_by_text("Which actors are there").count() == 0
    page.get_by_label("Actor").select_option("cat")
    assert visible(page) == ["b10.mp4"]
    page.get_by_label("Actor").select_option("")
    page.get_by_label("Order").select_option("name")
    assert sorted(visible(page)) == sorted(ALL)


def test_orders(report: "Page"):
    for order, first in (("name", "<img"), ("margin", "b10.mp4"), ("score", "b10.mp4"), ("-seconds", "b10.mp4")):
        report.get_by_label("Order").select_option(order)
        names = visible(report)
        assert sorted(names) == sorted(ALL)
        if order == "name":
            names = [name for name in names if name.startswith("b")]
            assert names == ["b9.mp4", "b10.mp4"], "9 comes before 10"
        else:
            assert names[0].startswith(first), order
    report.get_by_label("Order").select_option("index")
    assert visible(report) == ALL


def test_clip_plays_from_a_segment_and_a_missing_one_says_so(report: "Page", browser: "Browser"):
    first = report.locator(".clip").first
    first.get_by_role("button", name="play adult-walking from 0.0 to 1.5 seconds").click()
    video = first.locator("video")
    ready = "e => e.readyState >= 2 || new Promise(done => e.addEventListener('loadeddata', () => done(true)))"
    assert video.evaluate(ready)
    assert video.evaluate("element => element.duration") == pytest.approx(2, rel=0.02)
    assert video.evaluate("element => element.error") is None
    missing = report.locator(".clip").last
    missing.get_by_role("button", name="Play", exact=True).click()
    missing.get_by_text("This browser cannot play the clip").wait_for()


def test_keyboard_alone_reaches_and_filters(report: "Page"):
    report.keyboard.press("Tab")
    assert report.evaluate("document.activeElement.textContent") == "Skip to the clips"
    report.keyboard.press("/")
    report.keyboard.type("b9")
    assert visible(report) == ["b9.mp4"]
    report.keyboard.press("Shift+Tab")
    report.keyboard.press("Space")  # the last label
    assert report.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_page_is_accessible_and_fits(report: "Page", scheme: str, width: int):
    check_accessible(report, scheme, width)


def test_report_without_scripts_shows_everything(browser: "Browser", people_clip: Path, tmp_path: Path, taxonomy):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    open_report(page, tmp_path, example_results(people_clip), taxonomy)
    assert visible(page) == ALL
    context.close()


def test_five_hundred_clips_stay_small_and_fluent(page: "Page", people_clip: Path, tmp_path: Path, taxonomy: Taxonomy):
    """Each has a filmstrip; those of the other tests are smaller than real ones, so the limit is tested elsewhere."""
    results = [
        replace(result, video=str(people_clip.parent / f"{number}" / ".." / people_clip.name))
        for number in range(125)
        for result in example_results(people_clip)[:4]
    ]
    path = tmp_path / "report.html"
    written = write_report(path, results, taxonomy, 0.3)
    assert written.size < 30e6
    start = time.monotonic()
    page.goto(path.as_uri())
    assert page.locator("#shown").inner_text() == "500 of 500"
    assert time.monotonic() - start < 20  # a page that hangs; how fast it is, is measured elsewhere
    page.get_by_label("Search").fill("b")
    assert page.locator("#shown").inner_text().endswith("of 500")


def test_pictures_are_loaded(report: "Page"):
    images = report.locator(".strip")
    images.first.scroll_into_view_if_needed()
    assert images.first.evaluate("e => e.decode().then(() => e.naturalWidth)") > 100
    source = images.first.get_attribute("src") or ""
    assert base64.b64decode(source.partition(",")[2])[:4] == b"RIFF"


# --- The gate explorer ------------------------------------------------------------------------------------------------


def example_point(taxonomy: Taxonomy, clips: int, confidence: float = 0.25) -> ExplorerPoint:
    """Clips with any shares, and labels that mostly fit them; some clips show nobody, some everybody."""
    random = np.random.default_rng([clips, int(100 * confidence)])
    ratios = random.integers(0, 101, (clips, 6)) / 100 * (random.random((clips, 6)) < 0.6)
    truth = (ratios > 0.2) ^ (random.random((clips, 6)) < 0.1)
    ratios[0], truth[0] = 0, False
    names = np.array([f"<b>{number}</b> & co.mp4" for number in range(clips)])
    detector = DetectorIdentity("d" * 64, 320, confidence, "embedded", "c" * 64)
    gates = Gates(
        taxonomy.actor_names,
        np.array([0.018162052047660297, 0.1, 0.2, 0.25, 0.3, 1e-7]),
        "prf",
        "spso2011",
        Scores(0.5, 0.5, 0.5),
        0,
        (0.01, 0.5),
        "clips.csv",
        "train",
        clips,
        detector,
        method="shrunk",
    )
    return ExplorerPoint(PresenceTable(ratios, truth, names=names), gates)


@pytest.fixture
def explorer(page: "Page", tmp_path: Path, taxonomy: Taxonomy) -> "Page":
    points = [example_point(taxonomy, 60), example_point(taxonomy, 60, 0.4)]
    write_explorer(tmp_path / "gates.html", points, {"published": load_gates().values})
    page.goto((tmp_path / "gates.html").as_uri())
    return page


def scores_on(page: "Page") -> list[float]:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [
        float(page.locator(f"#{name}").get_attribute("data-value") or "nan") for name in ("precision", "recall", "f1")
    ]


def expected_scores(point: ExplorerPoint, gates: np.ndarray) -> list[float]:
    found = score_gates(point.table.ratios, point.table.truth, gates[None]).of_particle(0)
    return [found.precision, found.recall, found.f1]


def test_scores_are_those_of_python_whatever_the_gates(explorer: "Page", taxonomy: Taxonomy):
    point, other = example_point(taxonomy, 60), example_point(taxonomy, 60, 0.4)
    gates = point.gates.values.copy()
    assert scores_on(explorer) == pytest.approx(expected_scores(point, gates), abs=1e-9)
    explorer.locator("#slider0").fill("500")
    gates[0] = 0.25
    assert scores_on(explorer) == pytest.approx(expected_scores(point, gates), abs=1e-9)
    explorer.locator("#number4").fill("37")  # a share that some clips have: they are present
    gates[4] = 0.37
    assert scores_on(explorer) == pytest.approx(expected_scores(point, gates), abs=1e-9)
    for percent, gate in (("0", 0.0), ("100", 1.0)):
        explorer.locator("#number2").fill(percent)
        gates[2] = gate
        assert scores_on(explorer) == pytest.approx(expected_scores(point, gates), abs=1e-9)
    explorer.get_by_label("Start again from").select_option(label="published")
    assert scores_on(explorer) == pytest.approx(expected_scores(point, load_gates().values), abs=1e-9)
    explorer.get_by_label("Detector").select_option(label="embedded, image size 320, confidence 0.4")
    assert scores_on(explorer) == pytest.approx(expected_scores(other, other.gates.values), abs=1e-9)


def test_gate_follows_the_pointer_and_the_keys(explorer: "Page"):
    strip = explorer.locator("#strip1")
    strip.scroll_into_view_if_needed()
    edge = strip.bounding_box()
    assert edge
    explorer.mouse.move(edge["x"] + 200, edge["y"] + 40)
    explorer.mouse.down()
    explorer.mouse.move(edge["x"] + edge["width"] / 2, edge["y"] + 40)
    explorer.mouse.up()
    assert float(explorer.locator("#number1").input_value()) == pytest.approx(25, abs=1)
    explorer.locator("#slider1").focus()
    before = float(explorer.locator("#number1").input_value())
    explorer.keyboard.press("ArrowRight")
    assert float(explorer.locator("#number1").input_value()) > before


def test_decisions_that_flip_are_listed_with_links(explorer: "Page", taxonomy: Taxonomy):
    assert explorer.locator("#flips-count").inner_text().startswith("0 decisions differ")
    explorer.locator("#number3").fill("100")
    point = example_point(taxonomy, 60)
    ratios = point.table.ratios[:, 3]
    flipped = np.flatnonzero((ratios >= 0.25) & (ratios < 1))
    explorer.locator("#flips-count", has_text=f"{len(flipped)} decisions differ").wait_for()
    assert explorer.locator("#flips a").all_text_contents() == [str(point.table.names[clip]) for clip in flipped]
    assert explorer.locator("#flips .wrong").count() == point.table.truth[flipped, 3].sum()
    href = explorer.locator("#flips a").first.get_attribute("href") or ""
    assert href.endswith(f"%3Cb%3E{flipped[0]}%3C/b%3E%20%26%20co.mp4")


def test_copied_and_downloaded_yaml_is_a_gate_file(explorer: "Page", tmp_path: Path, taxonomy: Taxonomy):
    explorer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer.locator("#number0").fill("12.3")
    scores = scores_on(explorer)
    explorer.get_by_role("button", name="Copy YAML").click()
    explorer.locator("#said", has_text="copied").wait_for()
    path = tmp_path / "gates.yaml"
    path.write_text(explorer.evaluate("navigator.clipboard.readText()"))
    with explorer.expect_download() as download:
        explorer.get_by_role("button", name="Download YAML").click()
    assert Path(download.value.path()).read_text() == path.read_text()
    gates = load_gates(path)
    point = example_point(taxonomy, 60)
    assert gates.values.tolist() == [0.123, *point.gates.values[1:]]
    assert [gates.reached.precision, gates.reached.recall, gates.reached.f1] == scores
    assert gates.optimizer == "by hand"
    assert check_gates(gates, taxonomy.actor_names, point.gates.detector, "x").values.tolist() == gates.values.tolist()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_explorer_is_accessible_and_fits(explorer: "Page", scheme: str, width: int):
    explorer.locator("#number3").fill("100")  # so that decisions are listed
    check_accessible(explorer, scheme, width)


# --- The labelling page -----------------------------------------------------------------------------------------------


@pytest.fixture
def queue(people_clip: Path, cat_clip: Path, tmp_path: Path) -> Path:
    path = tmp_path / "queue.csv"
    rows = [f"{people_clip},adult-walking,todo", f"{cat_clip},,todo", f"{tmp_path / 'gone.mp4'},dog-none,todo"]
    path.write_text("\n".join(["file,labels,split", *rows]) + "\n")
    return path


@pytest.fixture
def labelling(page: "Page", queue: Path, taxonomy: Taxonomy) -> "Iterator[Page]":
    with LabelServer(LabelList.read(queue, taxonomy), "train") as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        page.goto(server.url)
        page.locator("#progress", has_text="clip 1 of 3, 0 labelled").wait_for()
        yield page
        page.goto("about:blank")  # ends what the browser still reads
        server.shutdown()
        thread.join()


def cells(queue: Path) -> list[tuple[str, str]]:
    rows = [line.rsplit(",", 2) for line in queue.read_text().splitlines()[1:]]
    return [(labels, split) for _, labels, split in rows]


def test_three_clips_are_labelled_by_keys_and_the_last_is_undone(labelling: "Page", queue: Path):
    assert labelling.locator("#chosen").inner_text() == "adult-walking"
    for key in ("a", "w", "b", "w"):  # not adult-walking, but baby-walking
        labelling.keyboard.press(key)
    assert labelling.locator("#chosen").inner_text() == "baby-walking"
    labelling.keyboard.press("Enter")
    labelling.locator("#progress", has_text="clip 2 of 3, 1 labelled").wait_for()
    assert cells(queue) == [("baby-walking", "train"), ("", "todo"), ("dog-none", "todo")]
    for key in ("t", "n", "t", "Escape", "x"):  # a cat does none of the actions; a first key is forgotten; no such key
        labelling.keyboard.press(key)
    labelling.keyboard.press("Enter")
    labelling.locator("#progress", has_text="clip 3 of 3, 2 labelled").wait_for()
    assert labelling.locator("#problem").inner_text() == "This clip is not a file that a browser could play."
    labelling.keyboard.press("Enter")
    labelling.locator("#problem", has_text="All clips are labelled.").wait_for()
    assert cells(queue) == [("baby-walking", "train"), ("cat-none", "train"), ("dog-none", "train")]
    labelling.keyboard.press("Backspace")
    labelling.locator("#progress", has_text="clip 3 of 3, 2 labelled").wait_for()
    assert cells(queue)[2] == ("dog-none", "todo")


def test_clip_plays_while_it_is_labelled_and_labels_are_buttons_too(labelling: "Page", queue: Path):
    ready = "e => e.readyState >= 2 || new Promise(done => e.addEventListener('loadeddata', () => done(true)))"
    assert labelling.locator("video").evaluate(ready)
    labelling.get_by_role("button", name="adult-running").click()
    assert labelling.get_by_role("button", name="adult-running").get_attribute("aria-pressed") == "true"
    labelling.get_by_role("button", name="Save, next").click()
    labelling.locator("#progress", has_text="1 labelled").wait_for()
    assert cells(queue)[0] == ("adult-running adult-walking", "train")
    labelling.reload()
    labelling.locator("#progress", has_text="clip 2 of 3, 1 labelled").wait_for()


def test_every_label_has_keys_of_its_own(labelling: "Page", taxonomy: Taxonomy):
    labelling.keyboard.press("a")
    labelling.keyboard.press("w")
    for label in taxonomy.labels:
        kind = labelling.locator(f"fieldset[data-kind={label.kind}] legend kbd").inner_text()
        action = labelling.get_by_role("button", name=label.name, exact=True).locator("kbd").inner_text()
        labelling.keyboard.press(kind)
        labelling.keyboard.press(action)
        assert label.name in labelling.locator("#chosen").inner_text().split(", ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_labelling_page_is_accessible_and_fits(labelling: "Page", scheme: str, width: int):
    labelling.keyboard.press("d")
    check_accessible(labelling, scheme, width)
