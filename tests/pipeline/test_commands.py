"""The four commands as a user meets them: what they print, what they write, and one clear line for what is wrong."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import retrain_head
import run_pipeline
import score_split
import tune_thresholds
from fake_a2d import write_clips_csv

from action_heads.checkpoint import head_path, read_manifest
from actor_detector import clip_detection
from pipeline import tagger
from pipeline.commands import console as cli
from thresholds.gates import PAPER_GATES_FILE, load_gates

DOG = "dog-walking__ground-a-video-dog-walking.mp4"


@pytest.fixture
def stages(yolo, gates_file, heads, cache):
    """Arguments that name the real parts."""
    return [
        *("--detector", str(yolo), "--thresholds", str(gates_file), "--heads", str(heads)),
        *("--cache", str(cache), "--device", "cpu", "--look-every", "1"),
    ]


@pytest.fixture
def small_kit(kit, tmp_path):
    """A CSV of a few real clips."""
    rows = [
        (DOG, "adult-walking dog-walking", "train"),
        ("cat-none__yrcong-puff.mp4", "cat-none", "train"),
        ("car-running__intel-iot-devkit-person-bicycle-car-detection.mp4", "car-running", "test"),
    ]
    path = tmp_path / "clips.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split"])
        writer.writerows((kit / "clips" / name, labels, split) for name, labels, split in rows)
    return path


def test_tagging_prints_a_table(stages, kit, capsys):
    assert cli.run(run_pipeline.main, ["--video", str(kit / "clips" / DOG), *stages]) == 0
    out, err = capsys.readouterr()
    assert "who does what: " in out
    assert "present (+90.0)" in out
    assert "using detector" in err


def test_tagging_a_folder_goes_on_after_a_failure_and_says_so(stages, kit, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(kit / "clips" / DOG)
    (tmp_path / "in" / "b.mp4").write_text("no video")
    (tmp_path / "in" / "c.mp4").symlink_to(kit / "clips" / DOG)
    command = ["--video", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json", *stages]
    assert cli.run(run_pipeline.main, command) == 1
    out, err = capsys.readouterr()
    printed = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in printed] == ["ok", "error", "ok"]
    assert "of 3 clips, 1 could not be read and 0 break off" in err
    written = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert written == printed
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 4
    assert cli.run(run_pipeline.main, command) == 1
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert again[0] == printed[0], "what was finished is kept, its timing among it"
    (tmp_path / "in" / "a.mp4").unlink()
    (tmp_path / "in" / "a.mp4").symlink_to(kit / "clips" / "cat-none__yrcong-puff.mp4")
    cli.run(run_pipeline.main, command)
    third = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert third[0]["frames"] != printed[0]["frames"], "a clip that has changed is tagged again"
    written = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [row["frames"] for row in written] == [row["frames"] for row in third], "and has one row"


def test_tuning_prints_the_comparison_and_writes_gates(small_kit, yolo, cache, tmp_path, capsys):
    out = tmp_path / "gates.yaml"
    command = ["--data", str(small_kit), "--out", str(out), "--detector", str(yolo), "--cache", str(cache)]
    assert cli.run(tune_thresholds.main, [*command, "--seed", "3"]) == 0
    printed, warnings = capsys.readouterr()
    for name in ("uniform 0.15", "spso2011 −P", "spso2011 −P·R·F1", "spso2011 −F1", "exact −P·R·F1, no bounds"):
        assert name in printed
    gates = load_gates(out)
    assert (gates.clips, gates.split, gates.seed, gates.data) == (2, "train", 3, "clips.csv")
    assert gates.sha256 in printed
    assert (gates.values >= 0.1).all()
    assert (gates.values <= 0.4).all()
    on_bound = {actor for actor, value in zip(gates.actors, gates.values, strict=True) if value in (0.1, 0.4)}
    assert {line.split()[4] for line in warnings.splitlines() if "sits on its bound" in line} == on_bound
    before = out.read_bytes()
    assert cli.run(tune_thresholds.main, [*command, "--seed", "3"]) == 0
    assert out.read_bytes() == before, "the same seed gives the same file"


@pytest.fixture
def stage_1(yolo, cache):
    """Arguments that name the real detector."""
    return ["--detector", str(yolo), "--cache", str(cache), "--device", "cpu"]


@pytest.mark.parametrize("tune", ["classifier", "norms"])
def test_retraining_changes_one_head_and_shows_it(small_kit, heads, tmp_path, capsys, stage_1, tune):
    folder = tmp_path / "heads"
    folder.mkdir()
    for actor in ("dog", "cat"):
        head_path(folder, actor).write_bytes(head_path(heads, actor).read_bytes())
    before = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    command = ["--actor", "dog", "--data", str(small_kit), "--out", str(folder), "--look-every", "1", *stage_1]
    if tune == "norms":
        command += ["--tune", "norms", "--trunk", "random", "--epochs", "1"]
    assert cli.run(retrain_head.main, command) == 0
    printed, err = capsys.readouterr()
    assert ("expect weak scores" in err) == (tune == "norms")
    assert f"tuning {tune}" in err
    written = {path.name for path in folder.iterdir()}
    assert written == {"cat.safetensors", "dog.safetensors"} | ({"dog.jsonl"} if tune == "norms" else set())
    assert head_path(folder, "cat").read_bytes() == before["cat.safetensors"]
    assert head_path(folder, "dog").read_bytes() != before["dog.safetensors"]
    changes = {line.split()[0]: line.split()[-1] for line in printed.splitlines() if line.startswith(("cat ", "dog "))}
    assert changes == {"cat": "same", "dog": "changed"}
    if tune == "norms":
        (epoch,) = [json.loads(line) for line in (folder / "dog.jsonl").read_text().splitlines()]
        assert epoch["epoch"] == 1
    manifest = read_manifest(head_path(folder, "dog"))
    shown = retrain_head.INPUT if tune == "classifier" else retrain_head.PLAIN_INPUT
    assert (manifest.backbone, manifest.tuned, manifest.input) == ("efficientnet_lite0", tune, shown)
    assert manifest.data["images"] == 2


def test_a_head_retrained_from_kept_features_is_the_same_and_small(small_kit, tmp_path, stage_1):
    command = ["--actor", "cat", "--data", str(small_kit), *stage_1]
    for folder in ("first", "second"):
        assert cli.run(retrain_head.main, [*command, "--out", str(tmp_path / folder)]) == 0
    first, second = (head_path(tmp_path / folder, "cat").read_bytes() for folder in ("first", "second"))
    assert first == second
    assert len(first) < 80_000


def test_a_head_of_ones_own_is_used_beside_the_embedded_ones(stages, heads, kit, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tagger, "EMBEDDED_HEADS", heads)
    (tmp_path / "mine").mkdir()
    shutil.copy(head_path(heads, "cat"), tmp_path / "mine")
    command = ["--video", str(kit / "clips" / DOG), *stages, "--heads", str(tmp_path / "mine")]
    assert cli.run(run_pipeline.main, command) == 0
    assert f"heads: cat from {tmp_path / 'mine'}, the other 5 embedded" in capsys.readouterr().err


def test_the_published_recipe_means_the_published_network(small_kit, tmp_path, capsys, stage_1):
    command = ["--actor", "dog", "--data", str(small_kit), "--out", str(tmp_path), *stage_1, "--look-every", "2"]
    command += ["--recipe", "paper", "--trunk", "random", "--epochs", "1"]
    assert cli.run(retrain_head.main, command) == 0
    assert "resnet34, input frame, tuning all, recipe paper" in capsys.readouterr().err
    manifest = read_manifest(head_path(tmp_path, "dog"))
    assert (manifest.backbone, manifest.tuned, manifest.input) == ("resnet34", "all", "frame")
    assert head_path(tmp_path, "dog").stat().st_size < 43_000_000, "convolutions in half precision"


def test_scoring_prints_tables_and_writes_them(small_kit, stages, tmp_path, capsys):
    assert cli.run(score_split.main, ["--data", str(small_kit), "--out", str(tmp_path / "scores"), *stages]) == 0
    printed = capsys.readouterr().out
    for name in ("pipeline", "all labels", "true actors, each one's commonest action", "always "):
        assert name in printed
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert (scores["split"], scores["samples"], scores["level"]) == ("test", 1, "clip")
    assert (tmp_path / "scores" / "scores.txt").read_text() == printed


WRONG_TAGGING = [
    pytest.param(["--video", "{tmp}"], "a folder without videos", id="a folder without videos"),
    pytest.param(["--video", "@{tmp}/no.txt"], "no.txt", id="no such list"),
    pytest.param(["--video", "{tmp}/*.mp4"], "mp4", id="a glob that matches nothing"),
    pytest.param(["--video", "a.mp4", "--detector", "no.pt"], "detector 'no.pt': no such file", id="no detector"),
    pytest.param(["--video", "a.mp4", "--heads", "{tmp}"], "no head for person, ball", id="no heads"),
    pytest.param(["--video", "a.mp4", "--thresholds", "no.yaml"], "no.yaml: no such file", id="no gates"),
    pytest.param(["--video", "a.mp4", "--thresholds", str(PAPER_GATES_FILE)], "made for", id="gates of another"),
    pytest.param(["--video", "a.mp4", "--imgsz", "320"], "made for", id="gates of other settings"),
    pytest.param(["--video", "a.mp4", "--taxonomy", "no.yaml"], "no.yaml: no such file", id="no taxonomy"),
    pytest.param(["--video", "a.mp4", "--device", "tpu"], "device 'tpu' was given", id="no such device"),
]


def assert_one_line(code: int, err: str, message: str) -> None:
    lines = [line for line in err.splitlines() if not line.startswith("using ")]
    assert code == cli.WRONG_USAGE
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert message in lines[0]


@pytest.mark.parametrize(("arguments", "message"), WRONG_TAGGING)
def test_wrong_use_of_tagging_is_one_clear_line(stages, tmp_path, capsys, arguments, message):
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    code = cli.run(run_pipeline.main, [*stages, *given])
    assert_one_line(code, capsys.readouterr().err, message)


CSV_HEAD = "file,labels,split\n"
WRONG_DATA = [
    pytest.param("", "clips.csv", id="an empty file"),
    pytest.param(CSV_HEAD, "no row below the header", id="no rows"),
    pytest.param(CSV_HEAD + "{dog},dog-flying,train\n", "clips.csv:2: unknown label 'dog-flying'", id="unknown label"),
    pytest.param(CSV_HEAD + "no.mp4,dog-none,train\n", "clips.csv:2", id="missing file"),
    pytest.param(CSV_HEAD + "{dog},dog-none,test\n", "'train'", id="an empty split"),
    pytest.param("file,label,split\n{dog},dog-none,train\n", "labels", id="missing column"),
]


@pytest.mark.parametrize(("content", "message"), WRONG_DATA)
@pytest.mark.parametrize("command", ["retrain", "tune"])
def test_wrong_data_is_one_clear_line(kit, yolo, tmp_path, capsys, command, content, message):
    path = tmp_path / "clips.csv"
    path.write_text(content.replace("{dog}", str(kit / "clips" / DOG)))
    if command == "retrain":
        command = ["--actor", "dog", "--data", str(path), "--out", str(tmp_path / "h"), "--detector", str(yolo)]
        code = cli.run(retrain_head.main, command)
    else:
        out = str(tmp_path / "g.yaml")
        code = cli.run(tune_thresholds.main, ["--data", str(path), "--out", out, "--detector", str(yolo), "--no-cache"])
    err = "\n".join(line for line in capsys.readouterr().err.splitlines() if not line.startswith("training "))
    assert_one_line(code, err, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--actor", "dgo"], "unknown actor 'dgo'; did you mean 'dog'"),
        (["--actor", "car"], "no sample of split 'train' shows the actor 'car'"),
        (["--recipe", "papr"], "unknown recipe 'papr'; did you mean 'paper'"),
        (["--trunk", "no.pth"], "trunk 'no.pth': no such file"),
        (["--backbone", "resnet43"], "unknown backbone 'resnet43'; did you mean 'resnet34'"),
        (["--split", "tarin"], "'tarin'"),
        (["--held-out", "tset"], "cannot hold out split 'tset'"),
        (["--held-out", "train"], "cannot hold out split 'train'"),
        (["--learning-rate", "-1"], "learning rate -1.0 was given"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_use_of_retraining_is_one_clear_line(tmp_path, capsys, yolo, change, message):
    data = write_clips_csv(tmp_path)
    command = ["--actor", "dog", "--data", str(data), "--out", str(tmp_path / "heads"), "--detector", str(yolo)]
    code = cli.run(retrain_head.main, [*command, *change])
    err = "\n".join(line for line in capsys.readouterr().err.splitlines() if not line.startswith("training "))
    assert_one_line(code, err, message)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bounds", "0.4", "0.1"], "bounds 0.4 0.1 were given"),
        (["--bounds", "0.1", "1.5"], "1.5 was given, 0 to 1 is allowed"),
        (["--particles", "0"], "0 was given, a whole number from 1 is allowed"),
        (["--seed", "-1"], "-1 was given"),
        (["--conf", "2"], "2 was given, 0 to 1 is allowed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_numbers_out_of_range_are_refused_before_any_work(tmp_path, capsys, arguments, message):
    command = ["--data", str(write_clips_csv(tmp_path)), "--out", str(tmp_path / "g.yaml"), *arguments]
    try:
        code = cli.run(tune_thresholds.main, command)
    except SystemExit as end:  # argparse's own way
        code = int(str(end.code))
    assert code == cli.WRONG_USAGE
    assert message in capsys.readouterr().err


def test_a_detector_without_gates_of_its_own_wants_some_named(stages, capsys):
    at = stages.index("--thresholds")
    code = cli.run(run_pipeline.main, ["--video", "a.mp4", *stages[:at], *stages[at + 2 :]])
    assert_one_line(code, capsys.readouterr().err, "yolo26n.pt': name their file with --thresholds, or tune some")


def test_help_says_what_each_detector_is_used_with():
    text = " ".join(run_pipeline.build_parser().format_help().split())
    assert "default: 320 of the embedded one, 224 of others" in text
    assert "0.5 of others" in text
    assert "embedded: default.yaml, yolo26n: yolo26n.yaml" in text


@pytest.mark.parametrize("arguments", [[], ["--demo", "--video", "a.mp4"]], ids=["neither", "both"])
def test_either_videos_or_the_demo_are_tagged(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run_pipeline.main(arguments)
    assert end.value.code == cli.WRONG_USAGE
    assert "--demo" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tag", "tune", "retrain", "score"])
def test_a_place_that_cannot_be_written_is_known_before_the_work(stages, small_kit, kit, tmp_path, capsys, command):
    file = tmp_path / "file"
    file.write_text("")
    data = ["--data", str(small_kit)]
    main, arguments = {
        "tag": (run_pipeline.main, ["--video", str(kit / "clips" / DOG), "--out", str(file), *stages]),
        "tune": (tune_thresholds.main, [*data, "--out", str(file / "gates.yaml"), "--no-cache"]),
        "retrain": (retrain_head.main, [*data, "--actor", "dog", "--out", str(file), *stages[:2]]),
        "score": (score_split.main, [*data, "--out", str(file), *stages]),
    }[command]
    code = cli.run(main, arguments)
    assert_one_line(code, capsys.readouterr().err, str(file))


def test_an_interrupt_ends_without_a_traceback(capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    assert cli.run(interrupted, []) == cli.INTERRUPTED
    assert capsys.readouterr().err == "interrupted; what was written before is whole\n"


def test_a_reader_who_has_had_enough_is_no_error(stages, kit):
    """`run_pipeline.py … | head` must not end in a traceback, nor say that all was done."""
    project = Path(run_pipeline.__file__).parent
    command = [sys.executable, "run_pipeline.py", "--video", str(kit / "clips" / DOG), "--json", *stages]
    done = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.stdout is not None
    assert done.stderr is not None
    done.stdout.close()
    error = done.stderr.read()
    assert done.wait() == cli.BROKEN_PIPE
    assert "Traceback" not in error
    assert "Exception" not in error


@pytest.mark.parametrize("cached", [True, False], ids=["cache", "no cache"])
def test_annotating_writes_a_copy_of_every_clip_that_can_be_read(stages, kit, tmp_path, capsys, monkeypatch, cached):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(kit / "clips" / DOG)
    (tmp_path / "in" / "b.mp4").write_text("no video")
    passes = []
    detect = clip_detection.detect_clip
    monkeypatch.setattr(clip_detection, "detect_clip", lambda *given: passes.append(given) or detect(*given))
    stages = [*stages, *([] if cached else ["--no-cache"])]
    command = ["--video", str(tmp_path / "in"), "--annotate", str(tmp_path / "seen"), "--json", *stages]
    assert cli.run(run_pipeline.main, command) == 1
    capsys.readouterr()
    assert [path.name for path in (tmp_path / "seen").iterdir()] == ["a.annotated.mp4"]
    assert len([given for given in passes if given[1].name == "a.mp4"]) <= 1, "nothing is detected twice"
    if cached:
        (tmp_path / "seen" / "a.annotated.mp4").unlink()
        command += ["--out", str(tmp_path / "out")]
        for _ in range(2):  # the second time, the result is kept from the first
            assert cli.run(run_pipeline.main, command) == 1
            (tmp_path / "seen" / "a.annotated.mp4").unlink()
