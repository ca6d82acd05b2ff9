"""What is exported for tools with which labels are corrected is read back as a data set with the same labels."""

import json
from pathlib import Path

import pytest
from export_results import EXPECTED, write_results

from a2d.dataset import read_samples, split_names
from pipeline.exports.formats import write_export
from pipeline.exports.label_studio import label_config
from pipeline.results_reader import read_results

FIFTYONE = Path(__file__).parent.parent / "a2d" / "fiftyone_exports" / "dataset" / "metadata.json"
"""The declaration of the same fields that FiftyOne 1.22.1 wrote after it had imported an export of ours."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported")
    write_results(path)
    return path


@pytest.fixture
def exported(root: Path, request: pytest.FixtureRequest, taxonomy, tmp_path: Path) -> Path:
    """An export in the format that the test is given."""
    write_export(read_results(root / "results"), request.param, tmp_path / "out", taxonomy)
    return tmp_path / "out"


@pytest.mark.parametrize("exported", ["cvat", "fiftyone", "label-studio"], indirect=True)
def test_exports_are_data_sets_with_the_same_labels(root, exported, taxonomy):
    """They are in a split of their own, since nobody has looked at them yet."""
    assert split_names(exported) == ("todo",)
    samples = read_samples(exported, "todo", taxonomy)
    found = {sample.clip.resolve().relative_to(root.resolve()).as_posix(): sample.labels for sample in samples}
    assert found == EXPECTED


@pytest.mark.parametrize("exported", ["label-studio"], indirect=True)
def test_corrected_tasks_are_training_data(exported, taxonomy):
    """Label Studio copies a prediction into an annotation, which is then changed, and exports both."""
    path = exported / "tasks.json"
    first, second, *rest = json.loads(path.read_text())
    first["annotations"] = [{**first["predictions"][0], "completed_by": 1}]
    wrong = json.loads(json.dumps(second["predictions"][0]))
    wrong["result"][0]["value"]["choices"] = ["baby-walking"]
    second["annotations"] = [wrong]
    path.write_text(json.dumps([first, second, *rest]))
    labels = [sample.labels for sample in read_samples(exported, "train", taxonomy)]
    assert labels == [("adult-walking", "adult-none"), ("baby-walking",)]
    assert len(read_samples(exported, "todo", taxonomy)) == len(EXPECTED) - 2


@pytest.mark.parametrize("exported", ["label-studio"], indirect=True)
def test_every_region_fits_the_labelling_configuration(exported, taxonomy):
    from xml.etree import ElementTree

    config = ElementTree.fromstring((exported / "label_config.xml").read_text())
    assert (exported / "label_config.xml").read_text() == label_config(taxonomy)
    controls = {control.get("name"): control for control in config if control.get("toName") == "video"}
    (video,) = config.findall("Video")
    tasks = json.loads((exported / "tasks.json").read_text())
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert {region["type"] for region in regions} == {"choices", "timelinelabels", "videorectangle"}
    for region in regions:
        control = controls[region["from_name"]]
        assert region["to_name"] == video.get("name")
        assert control.tag.lower() == region["type"]
        key = "labels" if control.tag == "VideoRectangle" else region["type"]
        declared = controls["box_labels"] if control.tag == "VideoRectangle" else control
        assert set(region["value"][key]) <= {child.get("value") for child in declared}
    assert all(
        {video.get(name).removeprefix("$") for name in ("value", "frameRate")} <= set(task["data"]) for task in tasks
    )


@pytest.mark.parametrize("exported", ["label-studio"], indirect=True)
def test_frames_of_label_studio_are_counted_from_one(exported):
    regions = json.loads((exported / "tasks.json").read_text())[0]["predictions"][0]["result"]
    ranges = [region["value"]["ranges"] for region in regions if region["type"] == "timelinelabels"]
    assert ranges == [[{"start": 1, "end": 2}], [{"start": 4, "end": 6}], [{"start": 4, "end": 6}]]
    first, second, _ = (region["value"]["sequence"] for region in regions if region["type"] == "videorectangle")
    assert [(key["frame"], key["enabled"], key["x"], key["y"], key["width"], key["height"]) for key in first] == [
        (1, True, 8.333, 6.25, 41.667, 87.5),
        (2, False, 8.333, 6.25, 41.667, 87.5),
    ]
    assert [(key["frame"], key["enabled"]) for key in second] == [(5, True), (6, False)]


@pytest.mark.parametrize("exported", ["cvat"], indirect=True)
def test_frames_of_cvat_are_counted_from_zero(exported):
    from xml.etree import ElementTree

    root = ElementTree.parse(exported / "truncated.xml").getroot()
    tracks = [
        (track.get("label"), [(int(box.get("frame")), box.get("outside"), float(box.get("xtl"))) for box in track])
        for track in root.findall("track")
    ]
    assert tracks == [
        ("adult-walking", [(0, "0", 4.0), (2, "1", 4.0)]),
        ("adult-walking", [(4, "0", 10.0), (6, "1", 10.0)]),
    ]
    tags = ElementTree.parse(exported / "old.xml").getroot().findall("image")
    assert [(image.get("id"), [tag.get("label") for tag in image]) for image in tags] == [
        ("0", ["adult-walking"]),
        ("3", ["adult-walking", "adult-none"]),
    ]


@pytest.mark.parametrize("exported", ["fiftyone"], indirect=True)
@pytest.mark.parametrize("kind", ["sample_fields", "frame_fields"])
def test_fields_are_declared_as_fiftyone_declares_them(exported, kind):
    ours, theirs = (
        {path: field for document in json.loads(file.read_text())[kind] for path, field in flatten(document)}
        for file in (exported / "metadata.json", FIFTYONE)
    )
    assert len(ours) > 10
    for path, field in ours.items():
        for key in ("ftype", "embedded_doc_type", "subfield", "db_field"):
            assert field[key] == theirs[path][key], path


def flatten(field: dict, prefix: str = ""):
    """Yield a field and those in it by their paths."""
    yield prefix + field["name"], field
    for inner in field["fields"]:
        yield from flatten(inner, f"{prefix}{field['name']}.")
