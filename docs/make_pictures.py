"""Make the pictures of the documentation again, all from clips of photographs that installed packages ship.

    python -m docs.make_pictures

It tags the demo clip and the practice clips, and photographs the pages in headless Chromium. `two_stages.svg` alone is
drawn by hand.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy, load_taxonomy
from common.errors import UserError
from common.files import write_atomically
from common.paths import PROJECT
from docs.practice_clips import write_practice
from pipeline import ActorActionTagger, TaggerConfig
from pipeline.__main__ import main as actor_action
from pipeline.commands import console
from pipeline.label_list import LabelList
from pipeline.label_queue import rank_clips, write_queue
from pipeline.pages.label_server import LabelServer
from pipeline.pages.report import write_report
from pipeline.tagger import TaggedClip
from pipeline.visualization.demo_clip import FPS, write_demo
from video.clips import read_frames_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    ColorScheme = Literal["light", "dark"]

PICTURES = PROJECT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE, GAP = (1280, 860), (390, 860), 24  # pixels
WEBP_QUALITY = 70
ANNOTATED_SECONDS = 2.4  # the cat is shown, and people were
PAPER, INK, SOFT, TRACK = "#fbfaf8", "#1d1b19", "#5b5650", "#e8e4de"  # as in the pages
COLORS = ("#2f86d6", "#c08a00", "#b5508f", "#cf4a3c", "#3f8f45", "#c2661a")
ROW_HEIGHT, STRIP_LEFT, STRIP_WIDTH = 30, 76, 430


def main() -> int:
    """Make all pictures; return the exit code."""
    return console.run_guarded(_make_pictures)


def _make_pictures() -> int:
    taxonomy = load_taxonomy()
    with TemporaryDirectory() as name:
        folder = Path(name)
        clips = _write_clips(folder)
        os.chdir(folder)  # the pages show the clips' paths, and these are short
        tagger = ActorActionTagger.from_config(TaggerConfig())
        tagged = list(tagger.tag_all([clip.relative_to(folder) for clip in clips]))
        write_atomically(PICTURES / "presence.svg", draw_presence(tagged[0], taxonomy))
        _write_annotated_frame(folder)
        _photograph_pages(folder, tagged, taxonomy, tagger.config.label_threshold)
    return console.DONE


def _write_clips(folder: Path) -> list[Path]:
    """Write the demo clip and the practice clips, and return their paths, the demo first."""
    write_demo(folder / "demo.mp4")
    write_practice(folder)
    return [folder / "demo.mp4", *sorted((folder / "clips").iterdir())]


def _write_annotated_frame(folder: Path) -> None:
    """Write a frame of the demo clip's annotated copy."""
    if actor_action(["tag", "--demo", "--out", str(folder / "demo"), "--quiet"]) != console.DONE:
        raise UserError("the demo could not be annotated")
    index = round(ANNOTATED_SECONDS * FPS)
    frames = read_frames_at(folder / "demo" / "demo.annotated.mp4", [index])
    _write_webp(PICTURES / "annotated_frame.webp", frames.images[0])


def _photograph_pages(
    folder: Path, tagged: Sequence[TaggedClip], taxonomy: Taxonomy, label_threshold: float | None
) -> None:
    """Write pictures of the report, of the gate explorer and of the labelling page."""
    results = [clip.result for clip in tagged]
    write_report(folder / "report.html", results, taxonomy, label_threshold)
    write_queue(folder / "queue.csv", rank_clips(results, taxonomy, label_threshold))
    tune = ["tune-thresholds", "--data", "clips.csv", "--out", "gates.yaml", "--explore", "gates.html"]
    if actor_action(tune) != console.DONE:
        raise UserError("the gates of the practice clips could not be tuned")
    with _chromium() as browser, LabelServer(LabelList.read(folder / "queue.csv", taxonomy), "train") as server:
        Thread(target=server.serve_forever, daemon=True).start()
        _photograph(browser, (folder / "report.html").as_uri(), "report")
        _photograph(browser, (folder / "gates.html").as_uri(), "gate_explorer")
        _photograph(browser, server.url, "labelling_page")
        server.shutdown()


@contextmanager
def _chromium() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise UserError("Chromium is needed to photograph the pages (on Debian: apt install chromium)")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def _photograph(browser: "Browser", address: str, name: str) -> None:
    """Write two pictures of a page: a light one, and a dark one beside one of the width of a phone."""
    light = _screenshot(browser, address, WIDE, "light")
    dark, phone = _screenshot(browser, address, WIDE, "dark"), _screenshot(browser, address, PHONE, "light")
    _write_webp(PICTURES / f"{name}.webp", light)
    _write_webp(PICTURES / f"{name}_dark_and_phone.webp", side_by_side(dark, phone))


def _screenshot(browser: "Browser", address: str, size: tuple[int, int], scheme: "ColorScheme") -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) of the top of a page, once its pictures and its video are there."""
    import cv2

    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.goto(address, wait_until="networkidle")
    page.wait_for_function(
        "[...document.images].every(e => e.complete || e.loading == 'lazy')"
        " && [...document.querySelectorAll('video[src]')].every(e => e.readyState >= 2 || e.preload == 'none')"
    )
    png = page.screenshot(animations="disabled")
    page.close()
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Join two pictures (H, W, 3) of one height, with a transparent gap, to one of shape (H, W, 4)."""
    parts = []
    for picture in (left, right):
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        parts += [np.concatenate([picture, opaque], axis=2), np.zeros((len(picture), GAP, 4), np.uint8)]
    return np.concatenate(parts[:-1], axis=1)


def _write_webp(path: Path, image: NDArray[np.uint8]) -> None:
    import cv2

    _, content = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    write_atomically(path, content.tobytes())
    print(f"wrote {path.relative_to(PROJECT)} ({len(content) / 1000:.0f} kB)")


def draw_presence(tagged: TaggedClip, taxonomy: Taxonomy) -> str:
    """Draw which frames of a clip show each actor, beside its presence ratio and its gate, as SVG."""
    result, detections = tagged.result, tagged.detections
    assert detections is not None
    height = ROW_HEIGHT * (len(taxonomy.actors) + 1) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="system-ui, sans-serif" '
        f'font-size="14" role="img"><title>The frames of the demo clip that show each actor, and the gates</title>',
        f'<rect width="760" height="{height}" rx="8" fill="{PAPER}"/>',
    ]
    for actor in taxonomy.actors:
        evidence, top = result.actors[actor.name], 14 + ROW_HEIGHT * actor.index
        sign = "≥" if evidence.present else "&lt;"
        ink, color = (INK if evidence.present else SOFT), COLORS[actor.index % len(COLORS)]
        parts.append(f'<text x="14" y="{top + 15}" fill="{ink}">{escape(actor.name)}</text>')
        parts.append(_rectangle(0, 1, top, TRACK))
        for first, end in runs(detections.frames_with(actor.index)):
            parts.append(_rectangle(first / detections.frames, end / detections.frames, top, color))
        shares = f"{100 * evidence.presence:.1f} % {sign} {100 * evidence.gate:.1f} %"
        verdict = f"{shares}: {'present' if evidence.present else 'absent'}"
        parts.append(f'<text x="{STRIP_LEFT + STRIP_WIDTH + 16}" y="{top + 15}" fill="{ink}">{verdict}</text>')
    bottom = 14 + ROW_HEIGHT * len(taxonomy.actors) + 15
    for share in np.linspace(0, 1, 4):
        x, seconds = STRIP_LEFT + share * STRIP_WIDTH, share * detections.duration_seconds
        text = (
            f'<text x="{x:.0f}" y="{bottom}" fill="{SOFT}" text-anchor="middle" font-size="12">{seconds:.0f} s</text>'
        )
        parts.append(text)
    return "\n".join([*parts, "</svg>\n"])


def _rectangle(start: float, end: float, top: int, color: str) -> str:
    left, width = STRIP_LEFT + start * STRIP_WIDTH, (end - start) * STRIP_WIDTH
    return f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="20" fill="{color}"/>'


def runs(frames: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Join consecutive frame indices, ascending, shape (K,), to runs: the first frame, and the one after the last.

    >>> runs(np.array([2, 3, 4, 8]))
    [(2, 5), (8, 9)]
    >>> runs(np.zeros(0, np.int64))
    []
    """
    if not len(frames):
        return []
    starts = [0, *(np.flatnonzero(np.diff(frames) > 1) + 1).tolist(), len(frames)]
    return [(int(frames[first]), int(frames[end - 1]) + 1) for first, end in pairwise(starts)]


if __name__ == "__main__":
    sys.exit(main())
