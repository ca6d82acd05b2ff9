"""Workers of this machine and of a Ray cluster do for a command what it does alone, to the byte."""

import os
import shutil
from dataclasses import replace
from hashlib import sha256

import pytest
from deadly_worker import BOOT, DeadlyRayWorker
from ray.cluster_utils import Cluster

from common.errors import UserError
from common.paths import PROJECT
from pipeline import cached_detector
from pipeline.__main__ import main
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console
from pipeline.config import TaggerConfig
from pipeline.detection_ahead import DetectionAhead
from pipeline.supervision import process, ray_crew
from pipeline.supervision.process import WorkerProcess
from pipeline.supervision.supervisor import Supervisor


@pytest.fixture(scope="module")
def cluster():
    """One node of two cores; it shares no cache with this process where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}")  # as if installed there
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20})
        yield nodes
        nodes.shutdown()


@pytest.fixture(scope="module")
def data(people_clip, cat_clip, people_and_cat_clip, tmp_path_factory):
    """A list of readable clips, one that is no video, and one that is missing."""
    folder = tmp_path_factory.mktemp("data")
    clips = {"people": people_clip, "cat": cat_clip, "both": people_and_cat_clip}
    for name, clip in clips.items():
        shutil.copy(clip, folder / f"{name}.mp4")
    (folder / "broken.mp4").write_text("no video")
    labels = {"people": "adult-walking", "cat": "cat-none"}
    rows = [f"{name}.mp4,{labels[name]},train" for name in ("people", "cat")]
    rows += ["broken.mp4,adult-walking,train", "gone.mp4,cat-none,train"]
    rows += ["both.mp4,adult-none cat-walking,test"]
    path = folder / "clips.csv"
    path.write_text("\n".join(["file,labels,split", *rows]) + "\n")
    return path


@pytest.fixture
def engines(cluster):
    """The options of each engine."""
    ray = ["--engine", "ray", "--ray-address", cluster.address, "--workers"]
    return {"workers": ["--workers", "2"], "ray": [*ray, "1"], "two on ray": [*ray, "2"]}


@pytest.fixture
def run(tmp_path, capsys):
    """Run a command; returns its exit code, what it printed, and the contents of the files that it wrote."""
    shutil.rmtree(tmp_path / "out", ignore_errors=True)

    def run_command(command, *arguments):
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        target = out / "gates.yaml" if command[0] == "tune-thresholds" else out
        code = main([*command, "--out", str(target), "--device", "cpu", *arguments])
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if not line.startswith("Ray's dashboard")]
        return code, printed.out, errors, {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    return run_command


@pytest.fixture
def score(data, gates_file, heads):
    """The command that scores the clips to train on, broken ones among them."""
    stages = ["--thresholds", str(gates_file), "--heads", str(heads), "--look-every", "1"]
    return ["score-split", "--data", str(data), "--split", "train", *stages]


@pytest.fixture
def tune(data):
    """The command that tunes on them."""
    return ["tune-thresholds", "--data", str(data), "--method", "tuned", "--runs", "1", "--particles", "5"]


def forbid_detection(patch):
    """Make the detector unusable in this process; its workers have modules of their own."""

    def refuse(*_):
        raise AssertionError("this process detects")

    for name in ("detect_clips", "detect_selected"):
        patch.setattr(cached_detector, name, refuse)


COMMANDS = [
    pytest.param("score", [], 2, id="score"),
    pytest.param("score", ["--until-sure", "0.01"], 4, id="score until sure"),  # what it asks for, and all looks
    pytest.param("tune", [], 3, id="tune"),  # with the split held out
]


@pytest.mark.parametrize(("command", "options", "entries"), COMMANDS)
def test_workers_print_and_write_the_same(command, options, entries, engines, run, request, monkeypatch, tmp_path):
    command = [*request.getfixturevalue(command), *options]
    expected = run(command, "--no-cache")
    code, printed, errors, files = expected
    assert code == console.SOME_FAILED  # one clip is no video, one is missing
    assert printed
    assert files
    assert any("broken.mp4" in line for line in errors)
    forbid_detection(monkeypatch)
    assert run(command, "--no-cache", *engines["ray"]) == expected
    cache = tmp_path / "cache"
    assert run(command, "--cache", str(cache), *engines["workers"]) == expected
    assert len(list(cache.rglob("*.npz"))) == entries


@pytest.mark.parametrize("engine", ["workers", "ray"])
def test_a_clip_that_ends_its_worker_counts_as_unreadable(
    engine, engines, data, people_clip, run, monkeypatch, tmp_path
):
    shutil.copy(people_clip, data.parent / "deadly.mp4")
    rows = data.parent / "deadly.csv"
    rows.write_text("file,labels,split\npeople.mp4,adult-walking,train\ndeadly.mp4,adult-walking,train\n")
    monkeypatch.setattr(process, "BOOT", BOOT)
    monkeypatch.setattr(ray_crew, "_RayWorker", DeadlyRayWorker)
    forbid_detection(monkeypatch)
    tune = ["tune-thresholds", "--data", str(rows), "--method", "tuned", "--runs", "1", "--particles", "5"]
    code, _, errors, files = run(tune, "--no-cache", *engines[engine])
    assert code == console.SOME_FAILED
    assert files
    reason = f"{rows}:3: {data.parent}/deadly.mp4: the decoding process died with signal 9 (SIGKILL), three times"
    assert f"skipped: {reason}" in errors
    if engine == "workers":
        assert any(line.startswith("the decoding process had to be restarted ") for line in errors)


def test_another_system_has_no_use_for_workers(score, tmp_path, capsys):
    command = [*score, "--out", str(tmp_path), "--system", "resnet18"]
    for options, named in ((["--workers", "2"], "--workers"), (["--engine", "ray"], "--engine ray")):
        assert main([*command[:5], *command[-4:], *options]) == console.WRONG_USAGE
        message = f"error: {named} has others run the detector, which --system resnet18 lacks: leave it out"
        assert capsys.readouterr().err.splitlines() == [message]


@pytest.mark.parametrize("command", ["score", "tune"])
def test_options_of_ray_need_it(command, request, tmp_path, capsys):
    command = request.getfixturevalue(command)
    assert main([*command, "--out", str(tmp_path / "out"), "--cpus-per-worker", "2"]) == console.WRONG_USAGE
    assert "--cpus-per-worker is an option of --engine ray" in capsys.readouterr().err


@pytest.fixture(scope="module")
def many(people_clip, cat_clip, people_and_cat_clip, tmp_path_factory):
    """A list of clips of two actors, and of a third one that is no video."""
    folder = tmp_path_factory.mktemp("many")
    rows = []
    for name, clip, labels in (
        ("people", people_clip, "adult-walking"),
        ("cat", cat_clip, "cat-none"),
        ("both", people_and_cat_clip, "adult-none cat-walking"),
    ):
        shutil.copy(clip, folder / f"{name}.mp4")
        rows.append(f"{name}.mp4,{labels},train")
    (folder / "broken.mp4").write_text("no video")
    (folder / "held-out.mp4").write_bytes((folder / "both.mp4").read_bytes())
    rows += ["broken.mp4,bird-flying,train", "held-out.mp4,cat-walking,test"]
    path = folder / "clips.csv"
    path.write_text("\n".join(["file,labels,split", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def single_heads(many, cache, tmp_path_factory):
    """The heads of single runs."""
    out = tmp_path_factory.mktemp("single")
    for actor in ("person", "cat"):
        command = ["retrain-head", "--actor", actor, "--data", str(many), "--out", str(out), "--device", "cpu"]
        assert main([*command, "--look-every", "1", "--cache", str(cache)]) < console.WRONG_USAGE
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("engine", ["alone", "workers", "two on ray"])
def test_all_heads_are_those_of_single_runs(engine, engines, many, single_heads, run, tmp_path):
    options = {"alone": [], **engines}[engine]
    plots = ["--plots", str(tmp_path / "plots")] if engine == "alone" else []
    command = ["retrain-head", "--all", "--data", str(many), "--look-every", "1", "--no-cache"]
    code, printed, errors, files = run(command, *options, *plots)
    assert files == single_heads
    assert code == console.SOME_FAILED  # the head of birds has nothing but a file that is no video
    assert any(line.startswith(f"bird: {many}:5: {many.parent}/broken.mp4") for line in errors)
    assert "car: no clip of the split 'train' shows it, so its head is not trained" in errors
    tables, _, last = printed.rpartition("\n\n")
    titles = [line for line in tables.splitlines() if line.startswith("The ")]
    assert titles == [f"The {actor} head alone, frame by frame (%)" for actor in ("person", "cat")]
    rows = [line.split() for line in last.splitlines()[2:]]
    assert [row[0] for row in rows] == ["person", "ball", "bird", "car", "cat", "dog"]
    assert rows[2][1:] == ["failed"]
    for row in (rows[0], rows[4]):
        digest = sha256(files[f"{row[0]}.safetensors"]).hexdigest()
        assert row[2] == digest[:12]
        assert f"{digest}  new" in tables
    assert (rows[4][1], rows[4][3] != "–", rows[0][3]) == ("2", True, "–")


def test_all_heads_and_one_are_not_asked_for_together(many, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["retrain-head", "--all", "--actor", "cat", "--data", str(many), "--out", str(tmp_path)])
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_worker_that_detects_otherwise_ends_the_command(people_clip, taxonomy):
    config = TaggerConfig(device="cpu")

    def start(setup):
        return Supervisor(WorkerProcess(replace(setup, config=replace(setup.config, stride=2))))

    with DetectionAhead(start) as ahead, pytest.raises(UserError, match=r"people.mp4: a worker detects otherwise"):
        ahead.prepare(config, CachedDetector.from_config(config, taxonomy), [people_clip])
