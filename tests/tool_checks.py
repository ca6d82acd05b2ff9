"""Opens an export with the library of its tool, in an environment of its own, and prints what it found as JSON.

    python tests/tool_checks.py fiftyone FOLDER OUT        also exports it again, in FiftyOne's two formats
    python tests/tool_checks.py label-studio FOLDER
    python tests/tool_checks.py cvat FOLDER

The libraries (`requirements-tools.txt`) want other versions of OpenCV than the project, so nothing else is imported.
"""

import json
import sys
from pathlib import Path


def check_fiftyone(folder: Path, out: Path) -> object:
    """Import a dataset into FiftyOne, and export it again."""
    import fiftyone as fo

    dataset = fo.Dataset.from_dir(dataset_dir=str(folder), dataset_type=fo.types.FiftyOneDataset, progress=False)
    try:
        found = [
            {
                "filepath": sample.filepath,
                "tags": sample.tags,
                "frames": sample.metadata.total_frame_count,
                "size": [sample.metadata.frame_width, sample.metadata.frame_height],
                "labels": [[item.label, item.confidence] for item in sample.labels.classifications],
                "segments": [[item.label, list(item.support)] for item in sample.segments.detections],
                "boxes": [
                    [number, item.label, list(item.bounding_box), item.confidence]
                    for number, frame in sample.frames.items()
                    if frame.boxes
                    for item in frame.boxes.detections
                ],
            }
            for sample in dataset
        ]
        count = len(dataset.to_clips("segments"))
        kinds = fo.types
        dataset.export(str(out / "dataset"), dataset_type=kinds.FiftyOneDataset, export_media=False, progress=False)
        dataset.export(
            str(out / "video_labels"),
            dataset_type=kinds.FiftyOneVideoLabelsDataset,
            label_field="segments",
            frame_labels_field="boxes",
            export_media="symlink",
            progress=False,
        )
        return {"version": fo.__version__, "samples": found, "clips": count}
    finally:
        dataset.delete()


def check_label_studio(folder: Path) -> object:
    """Validate the tasks and predictions against the labelling configuration, and a wrong one, which must fail."""
    from importlib.metadata import version

    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "label_config.xml").read_text(encoding="utf-8"))
    interface.validate()
    errors, tasks = [], json.loads((folder / "tasks.json").read_bytes())
    for task in tasks:
        if not interface.validate_task({"data": task["data"]}):
            errors.append(f"{task['data']}: the data does not fit the configuration")
        for prediction in task["predictions"]:
            errors += interface.validate_prediction(prediction, return_errors=True)
    wrong = json.loads(json.dumps(tasks[0]["predictions"][0]))
    wrong["result"][0]["value"]["choices"] = ["no-such-label"]
    refused = interface.validate_prediction(wrong, return_errors=True)
    return {"version": version("label-studio-sdk"), "tasks": len(tasks), "errors": errors, "refused": refused}


def check_cvat(folder: Path) -> object:
    """Parse the files with Datumaro, which CVAT's makers wrote to convert their formats."""
    import datumaro as dm

    files = {}
    for path in sorted(folder.glob("*.xml")):
        dataset = dm.Dataset.import_from(str(path), "cvat")
        names = dataset.categories()[dm.AnnotationType.label]
        files[path.name] = [
            [item.attributes["frame"], names[shape.label].name, [round(float(x), 2) for x in shape.points]]
            for item in dataset
            for shape in item.annotations
            if shape.type == dm.AnnotationType.bbox and not shape.attributes["outside"]
        ]
    return {"version": dm.__version__, "files": files}


CHECKS = {"fiftyone": check_fiftyone, "label-studio": check_label_studio, "cvat": check_cvat}

if __name__ == "__main__":
    name, *paths = sys.argv[1:]
    print("\n" + json.dumps(CHECKS[name](*map(Path, paths))))
