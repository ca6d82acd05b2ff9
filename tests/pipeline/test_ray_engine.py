"""A run on a Ray cluster: the rows of one machine, and one for each clip, whatever is lost on the way.

The clusters are real, of several nodes on this machine. What is done to a clip is that of `toy_worker`, except in the
first test.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from toy_ray_worker import BOOT, ToyRayWorker
from toy_worker import WEIGHTS

from common.errors import UserError
from common.paths import PROJECT
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.config import TaggerConfig
from pipeline.results import ClipResult
from pipeline.supervision import process, ray_crew
from pipeline.supervision.messages import Annotated, Setup, Task
from pipeline.supervision.ray_crew import RayCrew, RayOptions

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


@pytest.fixture(scope="module")
def cluster():
    """Three nodes of one core each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}")  # as if installed on every node
        nodes = Cluster(initialize_head=True, head_node_args=NODE)
        for _ in range(2):
            nodes.add_node(**NODE)
        yield nodes
        nodes.shutdown()


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(process, "BOOT", BOOT)
    monkeypatch.setattr(ray_crew, "_RayWorker", ToyRayWorker)


def crew(cluster, load="ok", **options):
    return RayCrew(Setup(TaggerConfig(detector=load)), RayOptions(cluster.address, **options))


def tasks(names):
    return (Task(index, Path(name)) for index, name in enumerate(names))


def errors_of(events, names):
    """Return each clip's error; the events must be those of the clips, in their order."""
    assert [event.index for event in events] == list(range(len(names)))
    assert [event.result.video for event in events] == names
    return [event.result.error for event in events]


@pytest.mark.parametrize("looks", [[], ["--until-sure", "0.01"]], ids=["every frame", "until sure"])
def test_rows_are_those_of_one_machine(looks, cluster, people_clip, cat_clip, gates_file, heads, tmp_path, capsys):
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.mp4").symlink_to((people_clip, cat_clip)[number % 2])
    (folder / "3-broken.mp4").write_bytes(b"no video")
    stages = ["--thresholds", str(gates_file), "--heads", str(heads), "--look-every", "1"]
    command = ["tag", "--video", str(folder), "--json", "--device", "cpu", "--no-cache", *stages, *looks]

    def rows(*options):
        assert main([*command, *options]) == console.SOME_FAILED  # the one that is no video
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        for row in found:
            row.pop("timing")
        return found

    expected = rows()
    assert len(expected) == 7
    assert rows("--workers", "2") == expected
    on_ray = ["--engine", "ray", "--ray-address", cluster.address]
    assert rows(*on_ray, "--workers", "1") == expected
    assert rows(*on_ray) == expected
    folder_rows = [*on_ray, "--out", str(tmp_path / "out")]
    rows(*folder_rows)
    assert rows("--out", str(tmp_path / "out")) == expected  # those of the other engine are kept
    stored = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").open()]
    assert len(stored) == 7


def test_many_clips_come_in_order_and_earlier_results_in_their_places(cluster, toys, tmp_path):
    names = [f"clip-{number}" for number in range(50)]
    known = ClipResult("clip-7", "sha", "ok", None, WEIGHTS)
    given = [Task(7, Path("clip-7"), result=known) if task.index == 7 else task for task in tasks(names)]
    given[9] = Task(9, Path("clip-9"), tmp_path / "copy.mp4", ClipResult("clip-9", "sha", "ok", None, WEIGHTS))
    with crew(cluster) as workers:
        events = list(workers.run(given))
    (copy,) = [event for event in events if isinstance(event, Annotated)]
    assert events.index(copy) == 10
    events.remove(copy)
    assert errors_of(events, names) == [None] * 50
    assert events[7].result == known
    assert {event.machine for event in events if event.index not in (7, 9)} == {socket.gethostname()}
    assert events[7].machine == ""


def test_a_clip_that_kills_its_worker_three_times_has_a_row(cluster, toys):
    names = [f"clip-{number}" for number in range(12)]
    names[5] = "kill-0"
    with crew(cluster) as workers:
        errors = errors_of(list(workers.run(tasks(names))), names)
    assert errors.pop(5) == "kill-0: the decoding process died with signal 9 (SIGKILL), three times"
    assert errors == [None] * 11


def test_a_worker_process_and_an_actor_that_are_killed_cost_nothing(cluster, toys):
    names = [f"slow-{number}" for number in range(9)]
    with crew(cluster) as workers:
        run = workers.run(tasks(names))
        events = [next(run)]
        toy, actor = processes("toy_worker")[0], processes("ray::MapWorker")[0]
        os.kill(toy, signal.SIGKILL)
        os.kill(actor, signal.SIGKILL)
        events += run
    assert errors_of(events, names) == [None] * 9


def test_a_node_that_is_lost_costs_nothing(cluster, toys):
    lost = cluster.add_node(**NODE)
    names = [f"slow-{number}" for number in range(10)]
    with crew(cluster) as workers:
        run = workers.run(tasks(names))
        events = [next(run)]
        cluster.remove_node(lost, allow_graceful=False)
        events += run
    assert errors_of(events, names) == [None] * 10


def test_a_worker_that_cannot_go_on_ends_the_run_in_one_line(cluster, toys):
    with crew(cluster) as workers, pytest.raises(UserError, match="^the second stage cannot be loaded$"):
        list(workers.run(tasks(["clip-0", "refuse-0"])))


def test_a_tagger_that_cannot_be_loaded_ends_the_run(cluster, toys):
    with crew(cluster, load="refuse") as workers, pytest.raises(UserError, match="the second stage cannot be loaded"):
        workers.ready()


def test_a_cluster_without_room_and_one_that_is_not_there(cluster, toys):
    with crew(cluster, cpus=64) as workers, pytest.raises(UserError, match="no room for a worker: .* 64 cores"):
        list(workers.run(tasks(["clip-0"])))
    with pytest.raises(UserError, match="--ray-address 127.0.0.1:9: no cluster can be reached"):
        RayCrew(Setup(TaggerConfig()), RayOptions("127.0.0.1:9"))


def test_no_clips_are_no_rows(cluster, toys):
    with crew(cluster) as workers:
        assert list(workers.run([])) == []


@pytest.mark.parametrize("option", [["--ray-address", "x"], ["--cpus-per-worker", "2"], ["--gpus-per-worker", "0.5"]])
def test_options_of_ray_need_it(option, people_clip, capsys):
    assert main(["tag", "--video", str(people_clip), *option]) == console.WRONG_USAGE
    assert f"{option[0]} is an option of --engine ray" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "inf", "nan"])
def test_a_worker_has_no_impossible_number_of_gpus(number, people_clip, capsys):
    with pytest.raises(SystemExit):
        main(["tag", "--video", str(people_clip), "--engine", "ray", "--gpus-per-worker", number])
    assert f"--gpus-per-worker: {number} was given, 0 or more is allowed" in capsys.readouterr().err


def test_without_ray_a_message_says_how_to_install_it(people_clip, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["tag", "--video", str(people_clip), "--engine", "ray"]) == console.WRONG_USAGE
    assert "pip install actor-action[ray], or -r requirements-ray.txt" in capsys.readouterr().err


def test_ray_without_what_its_data_library_needs_counts_as_missing(people_clip, cluster, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    command = ["tag", "--video", str(people_clip), "--engine", "ray", "--ray-address", cluster.address]
    assert main(command) == console.WRONG_USAGE
    assert "pip install actor-action[ray], or -r requirements-ray.txt" in capsys.readouterr().err
    assert not ray.is_initialized(), "it has left the cluster"


def test_ray_is_imported_only_when_it_is_used():
    code = "import sys, pipeline.commands.tag, pipeline.supervision.ray_crew; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def processes(name):
    """Return the running processes whose command contains a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if name in (folder / "cmdline").read_text() and (folder / "stat").read_text().split()[2] != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found
