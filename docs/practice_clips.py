"""Write twelve labelled clips to try the commands on: pans over photographs that installed packages ship.

    python -m docs.practice_clips practice

The folder then has `clips/` and the list `clips.csv`. Nothing moves in a photograph but the camera, so the labels are
those of the moment: people who walk, people and a cat that do nothing, and clips without any actor.
"""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import write_atomically
from pipeline.commands import console
from pipeline.visualization.demo_clip import HEIGHT, WIDTH, CameraView, Scene, render_scene
from video.writer import video_writer

FRAMES, FPS = 16, 8


@dataclass(frozen=True)
class PracticeClip:
    """A labelled clip.

    Attributes:
        name: Its file name, without the ending.
        labels: What it shows, separated by spaces; empty for no actor.
        split: train or test; a photograph is never in both.
        scene: The photograph, and the camera's path over it.
    """

    name: str
    labels: str
    split: str
    scene: Scene


# Package and file of each photograph.
BUS, ZIDANE = ("ultralytics", "assets/bus.jpg"), ("ultralytics", "assets/zidane.jpg")
ASTRONAUT, CAMERA = ("skimage", "data/astronaut.png"), ("skimage", "data/camera.png")
CHELSEA, COFFEE = ("skimage", "data/chelsea.png"), ("skimage", "data/coffee.png")
MOTORCYCLE, ROCKET = ("skimage", "data/motorcycle_left.png"), ("skimage", "data/rocket.jpg")
CHINA = ("sklearn", "datasets/images/china.jpg")
CLIPS = (
    PracticeClip(
        "street-1", "adult-walking", "train", Scene(*BUS, CameraView(405, 615, 800), CameraView(330, 580, 620))
    ),
    PracticeClip(
        "street-2", "adult-walking", "train", Scene(*BUS, CameraView(230, 640, 640), CameraView(260, 640, 800))
    ),
    PracticeClip(
        "astronaut-1", "adult-none", "train", Scene(*ASTRONAUT, CameraView(256, 175, 500), CameraView(230, 150, 360))
    ),
    PracticeClip(
        "astronaut-2", "adult-none", "train", Scene(*ASTRONAUT, CameraView(240, 200, 420), CameraView(256, 256, 640))
    ),
    PracticeClip("cat-1", "cat-none", "train", Scene(*CHELSEA, CameraView(225, 150, 640), CameraView(225, 150, 560))),
    PracticeClip("cat-2", "cat-none", "train", Scene(*CHELSEA, CameraView(240, 150, 480), CameraView(225, 150, 600))),
    PracticeClip("motorcycle", "", "train", Scene(*MOTORCYCLE, CameraView(370, 250, 740), CameraView(400, 260, 520))),
    PracticeClip("coffee", "", "train", Scene(*COFFEE, CameraView(300, 200, 600), CameraView(300, 200, 450))),
    PracticeClip("temple", "", "train", Scene(*CHINA, CameraView(320, 200, 640), CameraView(300, 200, 480))),
    PracticeClip(
        "sidelines", "adult-none", "test", Scene(*ZIDANE, CameraView(640, 360, 1270), CameraView(760, 330, 900))
    ),
    PracticeClip(
        "cameraman", "adult-none", "test", Scene(*CAMERA, CameraView(256, 256, 880), CameraView(256, 230, 700))
    ),
    PracticeClip("rocket", "", "test", Scene(*ROCKET, CameraView(320, 210, 640), CameraView(320, 210, 500))),
)


def write_practice(folder: Path) -> Path:
    """Write the clips and their list.

    Args:
        folder: For `clips/` and `clips.csv`; it exists.

    Returns:
        The list, with the columns file, labels, split and source (the photograph).

    Raises:
        ClipError: If a package or its photograph is not installed.
    """
    (folder / "clips").mkdir(exist_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "labels", "split", "source"])
    for clip in CLIPS:
        path = folder / "clips" / f"{clip.name}.mp4"
        with video_writer(path, WIDTH, HEIGHT, FPS) as writer:
            for index, image in enumerate(render_scene(clip.scene, FRAMES)):
                writer.add(image, index / FPS, 1 / FPS)
        rows.writerow([f"clips/{path.name}", clip.labels, clip.split, Path(clip.scene.file).stem])
    write_atomically(folder / "clips.csv", table.getvalue())
    return folder / "clips.csv"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the clips into the folder that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write clips/ and clips.csv")
    folder = parser.parse_args(argv).folder

    def run() -> int:
        console.make_folder(folder)
        print(f"wrote {write_practice(folder)} ({len(CLIPS)} clips)")
        return console.DONE

    return console.run_guarded(run)


if __name__ == "__main__":
    sys.exit(main())
