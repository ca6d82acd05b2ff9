"""Reading what CVAT exports, and naming what is wrong in it."""

from pathlib import Path

import pytest
from labelled_exports import labels_of, samples_of

from a2d.dataset import split_names
from a2d.formats.base import Sample
from common.errors import DatasetError

TRACK = (
    '<track id="0" label="{label}" source="manual"{more}><box frame="3" keyframe="1" outside="0" occluded="0" '
    'xtl="1.00" ytl="2.00" xbr="30.00" ybr="40.00" z_order="0"></box></track>'
)


def track(label: str, more: str = "") -> str:
    return TRACK.format(label=label, more=more)


def cvat_task(source: str = "b.mp4", number: int = 5, subset: str = "") -> str:
    """Return a task as CVAT describes it, see https://docs.cvat.ai/docs/manual/advanced/xml_format/."""
    return f"""<task><id>{number}</id><name>dogs</name><size>168</size><mode>interpolation</mode><overlap>5</overlap>
        <bugtracker></bugtracker><created>2026-01-01 00:00:00.000000+00:00</created><subset>{subset}</subset>
        <start_frame>0</start_frame><stop_frame>167</stop_frame><frame_filter></frame_filter>
        <segments><segment><id>1</id><start>0</start><stop>167</stop><url>http://localhost:8080/api/jobs/1</url></segment>
        </segments><owner><username>me</username><email></email></owner><assignee></assignee>
        <labels><label><name>horse-running</name><color>#c06060</color><type>any</type><attributes></attributes></label>
        </labels><original_size><width>568</width><height>320</height></original_size><source>{source}</source></task>"""


def write_cvat(folder: Path, body: str, meta: str | None = None, name: str = "annotations.xml") -> Path:
    path = folder / name
    head = cvat_task() if meta is None else meta
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>{head}'
        f"<dumped>2026-01-02</dumped></meta>\n{body}\n</annotations>\n"
    )
    return path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            track("dog-running") + track("cat-none") + track("dog-running"), ("cat-none", "dog-running"), id="tracks"
        ),
        pytest.param(
            '<image id="3" name="frame_000003"><tag label="car-none" source="manual"></tag></image>',
            ("car-none",),
            id="tag",
        ),
        pytest.param(
            track("dog-running").replace("<box", "<polygon").replace("</box", "</polygon"),
            ("dog-running",),
            id="polygon",
        ),
        pytest.param(
            '<track id="1" label="cat-none"><skeleton frame="0" keyframe="1"><points label="nose"/></skeleton></track>',
            ("cat-none",),
            id="skeleton",
        ),
        pytest.param("", (), id="nothing is in the clip"),
    ],
)
def test_cvat_labels(named_clips, body, expected):
    path = write_cvat(named_clips, body)
    expected_sample = Sample(named_clips / "b.mp4", None, expected, "train", "b.mp4")
    assert samples_of(path) == samples_of(named_clips) == [expected_sample]


def test_cvat_projects_have_several_tasks(named_clips):
    tasks = cvat_task("b.mp4", 5, "Train") + cvat_task("a b.mp4", 6, "Validation") + cvat_task("demo.mp4", 7, "Train")
    meta = f"<project><id>1</id><name>all</name><tasks>{tasks}</tasks></project>"
    body = track("dog-running", ' task_id="6"') + track("cat-none", ' task_id="5"')
    path = write_cvat(named_clips, body, meta)
    assert split_names(path) == ("train", "val")
    assert labels_of(path) == {"b.mp4": ("cat-none",), "demo.mp4": ()}
    assert labels_of(path, "val") == {"a b.mp4": ("dog-running",)}


def test_a_folder_of_cvat_files_is_one_data_set(named_clips):
    write_cvat(named_clips, track("dog-running"), name="1.xml")
    write_cvat(named_clips, track("cat-none"), cvat_task("a b.mp4"), name="2.xml")
    (named_clips / "other.xml").write_text("<report/>")
    assert labels_of(named_clips) == {"b.mp4": ("dog-running",), "a b.mp4": ("cat-none",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            track("dog-runing"),
            r"annotations\.xml:\d+: unknown label 'dog-runing'; did you mean 'dog-running'",
            id="label",
        ),
        pytest.param("<track", r"annotations\.xml:\d+: not readable XML \(not well-formed", id="broken"),
        pytest.param("<a>" * 100, "nested more than 32 deep", id="deep"),
    ],
)
def test_mistakes_in_cvat_files_are_named(named_clips, text, message):
    path = write_cvat(named_clips, text)
    with pytest.raises(DatasetError, match=message):
        samples_of(path)


def test_the_line_of_an_unknown_label_is_that_of_its_track(named_clips):
    path = write_cvat(named_clips, track("dog-running") + "\n\n" + track("horse-none"))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "horse-none" in text)
    with pytest.raises(DatasetError, match=rf"annotations\.xml:{line}: unknown label 'horse-none'"):
        samples_of(path)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        pytest.param("", "no <task> was found", id="no task"),
        pytest.param(cvat_task(""), r"xml:\d+: its <source>, the video, is missing", id="images"),
        pytest.param(cvat_task("b.mp4", 5) + cvat_task("a b.mp4", 6), "belongs to no task of this file", id="whose"),
        pytest.param(cvat_task("b.mp4", 5) + cvat_task("./b.mp4", 6), "is listed twice", id="twice"),
    ],
)
def test_mistakes_in_the_tasks_of_cvat_are_named(named_clips, meta, message):
    body = "" if message == "is listed twice" else track("dog-running")
    with pytest.raises(DatasetError, match=message):
        samples_of(write_cvat(named_clips, body, meta))


def test_another_xml_is_no_data_set(named_clips):
    (named_clips / "x.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    with pytest.raises(DatasetError, match=r"x\.xml:1: <annotations> of CVAT was expected, found <annotation>"):
        split_names(named_clips / "x.xml")
    with pytest.raises(DatasetError, match=r"no labelled data found; .*\(FiftyOne\), tasks\.json \(Label Studio\)"):
        split_names(named_clips)


def test_entities_that_expand_are_refused(named_clips):
    """A billion laughs: a document type is refused before any of its entities is used."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    (named_clips / "bomb.xml").write_text(f"<!DOCTYPE annotations [{entities}]><annotations>&e8;</annotations>")
    with pytest.raises(DatasetError, match="a document type was found"):
        split_names(named_clips / "bomb.xml")
