"""The report of a folder run: what it says, what it shows, and that nothing in it can run but its own script."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import cv2
import numpy as np
import pytest
import result_rows

from a2d.taxonomy import Taxonomy
from common.errors import UserError
from common.paths import PROJECT
from pipeline.__main__ import run_command
from pipeline.pages.clip_cards import ClipCard, explain, link_to
from pipeline.pages.filmstrip import HEIGHT, Filmstrip, make_filmstrip
from pipeline.pages.report import write_report
from pipeline.results import ActorEvidence, ClipResult
from pipeline.results_reader import read_results
from pipeline.visualization.layout import PALETTE
from video.clips import clip_sha256


class Page(HTMLParser):
    """Parses a page: its elements with their attributes, its text, and what stands in its scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words = ""
        self._open = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.raw:
            self.raw[self._open].append(data)
        else:
            self.words += data

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str]]:
        found = [attributes for name, attributes in self.elements if name == tag]
        return [attributes for attributes in found if not css_class or css_class in attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


def people_result(clip: Path, **changes: object) -> ClipResult:
    """A result for a real clip, whose person is seen in the frames 1 and 5."""
    person = ActorEvidence(1.0, 0.1, True, 0.9, (1, 5), boxes=((100.0, 40.0, 220.0, 300.0), ()))
    result = result_rows.row(str(clip), sha256=clip_sha256(clip), frames=8, fps=4.0, duration_seconds=2.0)
    return replace(result, actors={**result.actors, "person": person}, **changes)


def report(tmp_path: Path, results: list[ClipResult], taxonomy: Taxonomy) -> Page:
    path = tmp_path / "report.html"
    written = write_report(path, results, taxonomy, 0.3)
    assert written.clips == len(results)
    assert written.size == path.stat().st_size
    return Page(path)


# --- What it says -----------------------------------------------------------------------------------------------------


def test_page_has_every_verdict_with_its_reason(people_clip: Path, tmp_path: Path, taxonomy: Taxonomy):
    results = [
        people_result(people_clip),
        result_rows.row("gone/b.mp4", status="truncated", error="ends after 74 frames"),
        result_rows.failed("c.mp4"),
    ]
    page = report(tmp_path, results, taxonomy)
    assert "3 clips, 0.1 minutes of video: 1 ok, 1 truncated, 1 error" in page.text
    for words in (
        "adult-walking0.81",
        "in 100.0 % of the frames, 90.0 points above the gate of 10.0 %",
        "next: adult-climbing 0.33, below 0.30",
        "in 9.0 % of the frames, 1.0 points below the gate of 10.0 %",
        "Never detected: ball, car, dog.",
        "Ends early: ends after 74 frames",
        "no pictures: the clip is not where it was any more",
        "Not tagged: c.mp4: no such file",
        f"detector {'d' * 64}",
    ):
        assert words in page.text, words
    cards = page.all("article")
    assert [card["data-status"] for card in cards] == ["ok", "truncated", "error"]
    assert cards[0]["data-labels"] == "adult-walking"
    assert cards[0]["data-actors"] == "person"
    assert float(cards[0]["data-margin"]) == pytest.approx(0.01)  # the cat's
    spans = [found for found in page.all("rect") if "x" in found][:2]
    assert [float(found["x"]) for found in spans] == pytest.approx([0, 2 / 3.083], abs=1e-3)
    assert [found["data-seconds"] for found in page.all("button", "seek")[:2]] == ["0.0", "2.0"]


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (ActorEvidence(0.5, 0.1, True, 0.4), "in 50.0 % of the frames, 40.0 points above the gate of 10.0 %"),
        (ActorEvidence(0.0, 0.1, False, -0.1), "never detected; gate 10.0 %"),
        (ActorEvidence(0.0, 0.1, False, -0.1, detected=0.0), "never detected; gate 10.0 %"),
        (
            ActorEvidence(0.02, 0.1, False, -0.08, detected=0.02),
            "in 2.0 % of the frames, 8.0 points below the gate of 10.0 %",
        ),
        (
            ActorEvidence(0.0, 0.1, False, -0.1, detected=0.2),
            "boxes in 20.0 % of the frames, none confirmed: a closer look did not find a cat; gate 10.0 %",
        ),
        (
            ActorEvidence(0.02, 0.1, False, -0.08, detected=0.2),
            "boxes in 20.0 % of the frames, confirmed in 2.0 %: a closer look did not find a cat; gate 10.0 %",
        ),
        (
            ActorEvidence(0.5, 0.1, True, 0.4, windows=((0.0, 30.0),)),
            "in 50.0 % of the frames of the window that shows it most, 40.0 points above the gate of 10.0 %",
        ),
    ],
)
def test_every_verdict_is_explained(evidence: ActorEvidence, words: str):
    assert explain("cat", evidence) == words


def test_two_reports_of_the_same_results_are_the_same_bytes(people_clip: Path, tmp_path: Path, taxonomy: Taxonomy):
    results = [people_result(people_clip), result_rows.failed("c.mp4")]
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, results, taxonomy, 0.3)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


# --- What it shows ----------------------------------------------------------------------------------------------------


def decode(strip: Filmstrip) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(strip.data), np.uint8), cv2.IMREAD_COLOR)


def test_filmstrip_shows_the_frames_of_the_heads_with_their_boxes(people_clip: Path, taxonomy: Taxonomy):
    strip = make_filmstrip(people_result(people_clip), taxonomy, 10**6)
    assert strip.seconds == (0.25, 1.25)
    assert strip.note == ""
    image = decode(strip)
    assert image.shape[:2] == (strip.height, strip.width)
    assert strip.height == HEIGHT
    color = np.array(PALETTE[taxonomy.actor("person").index])
    is_drawn = np.abs(image.astype(int) - color).max(axis=2) < 40
    columns = np.flatnonzero(is_drawn.sum(axis=0) > 30)  # the upright sides of the box; the second frame has none
    first_width = strip.width // 2
    assert len(columns)
    assert (columns < first_width).all()


def test_filmstrip_of_a_clip_without_actors_shows_frames_at_equal_distances(people_clip: Path, taxonomy: Taxonomy):
    result = people_result(people_clip)
    absent = {name: ActorEvidence(0.0, 0.1, False, -0.1) for name in result.actors}
    strip = make_filmstrip(replace(result, actors=absent, labels=()), taxonomy, 10**6)
    assert len(strip.seconds) == 6
    assert "no actor is present" in strip.note


@pytest.mark.parametrize("max_bytes", [12_000, 4_000, 1_500])
def test_filmstrip_keeps_to_its_limit(people_clip: Path, taxonomy: Taxonomy, max_bytes: int):
    strip = make_filmstrip(people_result(people_clip), taxonomy, max_bytes)
    assert len(base64.b64decode(strip.data)) <= max_bytes
    assert bool(strip.data) == bool(strip.seconds)
    assert strip.data or "too large" in strip.note


def test_changed_missing_and_unreadable_clips_have_a_note(people_clip: Path, tmp_path: Path, taxonomy: Taxonomy):
    clip = Path(shutil.copy(people_clip, tmp_path / "a.mp4"))
    result = people_result(clip)
    clip.write_bytes(b"something else")
    assert "was changed after it was tagged" in make_filmstrip(result, taxonomy, 10**6).note
    assert "no pictures" in make_filmstrip(replace(result, sha256=clip_sha256(clip)), taxonomy, 10**6).note
    clip.unlink()
    assert "not where it was" in make_filmstrip(result, taxonomy, 10**6).note
    assert make_filmstrip(result_rows.failed("a.mp4"), taxonomy, 10**6) == Filmstrip()


# --- Hostile names ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "<img src=x onerror=alert(1)>.mp4",
    '"><script>alert(1)<!-- .mp4',
    "' onmouseover='alert(1)'.mp4",
    "javascript:alert(1).mp4",
    "{{ 7 * 7 }} {% raise %}.mp4",
    "</style></script><h1>.mp4",
    os.fsdecode(b"not \xff unicode.mp4"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text_and_link_to_their_clips(
    name: str, people_clip: Path, tmp_path: Path, taxonomy: Taxonomy
):
    folder = tmp_path / name.removesuffix(".mp4").replace("/", "_")
    folder.mkdir()
    clip = Path(shutil.copy(people_clip, folder / name.replace("/", "_")))
    results = [people_result(clip), replace(result_rows.failed("x.mp4"), error=name)]
    page = report(tmp_path, results, taxonomy)
    shown = str(clip).encode(errors="backslashreplace").decode()
    assert page.all("article")[0]["data-name"] == shown
    assert " ".join(shown.split()) in page.text
    assert {tag for tag, _ in page.elements} & {"img", "script", "h1", "style"} == {"img", "script", "h1", "style"}
    assert len(page.all("script")) == len(page.all("style")) == len(page.all("h1")) == 1
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    assert not [found for _, found in page.elements if any(key.startswith("on") for key in found)]
    (button,) = page.all("button", "play")
    assert not re.match("[a-z]+:", button["data-href"])
    assert (tmp_path / os.fsdecode(unquote_to_bytes(button["data-href"]))).samefile(clip)


def test_policy_allows_the_pages_own_script_and_style_sheet_only(tmp_path: Path, taxonomy: Taxonomy):
    page = report(tmp_path, [result_rows.failed("c.mp4")], taxonomy)
    policy = next(found["content"] for tag, found in page.elements if found.get("http-equiv"))
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for tag in ("script", "style"):
        digest = hashlib.sha256("".join(page.raw[tag]).encode()).digest()
        assert directives[f"{tag}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert not [found for _, found in page.elements if "style" in found], "the policy forbids the attribute"


def test_links_are_relative_to_the_report(tmp_path: Path):
    assert link_to("/a/b/c d#e?.mp4", Path("/a/x")) == "../b/c%20d%23e%3F.mp4"
    assert link_to("/a/b/ä.mp4", Path("/a/b")) == "%C3%A4.mp4"


def test_folder_of_frames_and_unreadable_clip_cannot_be_played(tmp_path: Path, taxonomy: Taxonomy):
    for result in (result_rows.row(str(tmp_path)), result_rows.failed("gone.mp4")):
        assert not ClipCard(result, taxonomy, "", Filmstrip(), 0.3).is_playable
    assert ClipCard(result_rows.row("gone.mp4"), taxonomy, "", Filmstrip(), 0.3).is_playable


# --- Reading results, and the commands --------------------------------------------------------------------------------


def test_results_are_read_in_order_and_the_newer_row_of_a_clip_counts(tmp_path: Path):
    rows = [result_rows.row("/c/1.mp4"), result_rows.row("/c/2.mp4"), result_rows.row("/c/1.mp4", frames=75)]
    lines = [json.dumps(row.to_dict()) for row in rows]
    (tmp_path / "results.jsonl").write_text("\n".join([*lines, "", lines[0][:200]]))
    found = read_results(tmp_path)
    assert [(result.video, result.frames) for result in found] == [("/c/2.mp4", 74), ("/c/1.mp4", 75)]
    assert found == [rows[1], rows[2]]


def test_boxes_survive_being_written_and_read(tmp_path: Path, people_clip: Path):
    result = people_result(people_clip)
    (tmp_path / "results.jsonl").write_text(json.dumps(result.to_dict()) + "\n")
    assert read_results(tmp_path) == [result]
    row = result.to_dict()
    for evidence in row["actors"].values():
        del evidence["boxes"]  # as earlier versions wrote it
    assert ClipResult.from_dict(json.loads(json.dumps(row))).actors["person"].boxes == ()


def test_what_is_no_results_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match=r"no results\.jsonl there"):
        read_results(tmp_path)
    (tmp_path / "results.jsonl").write_text(json.dumps(result_rows.row().to_dict()) + "\nno row\n")
    with pytest.raises(UserError, match=r"results\.jsonl:2: not a row of results"):
        read_results(tmp_path)
    assert run_command("report", [str(tmp_path)]) == 2
    assert "results.jsonl:2" in capsys.readouterr().err
    (tmp_path / "results.jsonl").write_text(json.dumps(result_rows.row().to_dict()).replace("bird", "gnu") + "\n")
    assert run_command("report", [str(tmp_path)]) == 2
    assert "actors that the taxonomy has not: gnu" in capsys.readouterr().err


def test_report_of_a_folder_and_of_the_run_that_wrote_it_are_the_same(people_clip: Path, tmp_path: Path):
    done = subprocess.run(
        [
            *(
                sys.executable,
                str(PROJECT / "run_pipeline.py"),
                "--video",
                str(people_clip),
                str(tmp_path / "gone.mp4"),
            ),
            *("--out", str(tmp_path / "out"), "--report", str(tmp_path / "out" / "run.html")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"wrote {tmp_path / 'out' / 'run.html'} (2 clips, " in done.stderr
    assert run_command("report", [str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "run.html").read_bytes() == (tmp_path / "out" / "report.html").read_bytes()
    (result, _) = read_results(tmp_path / "out")
    person = result.actors["person"]
    assert len(person.boxes) == len(person.frames) > 0
    for x1, y1, x2, y2 in person.boxes:
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 480


# --- Notebooks --------------------------------------------------------------------------------------------------------


def test_notebook_shows_a_result_with_its_reasons():
    html = result_rows.row()._repr_html_()
    for words in ("adult-walking</b> 0.81: 0.0–1.5 s, 2.0–3.1 s", "present: in 93.0 % of the frames", "never detected"):
        assert words in html
    assert "not tagged: c.mp4: no such file" in result_rows.failed("c.mp4")._repr_html_()


@pytest.mark.parametrize("name", HOSTILE[:3])
def test_notebook_shows_hostile_names_as_text(name: str):
    html = replace(result_rows.failed(name), error=name)._repr_html_()
    assert not re.search("<(img|script)", html)
    assert "onmouseover='" not in html
