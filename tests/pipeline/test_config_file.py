"""Options from a file: they mean what they mean on the command line, which takes precedence."""

import argparse
from pathlib import Path

import pytest

from common.errors import UserError
from pipeline.__main__ import add_command, run_command
from pipeline.commands.config_file import expand_config


def parse(tmp_path: Path, content: str, *argv: str, command: str = "tag") -> argparse.Namespace:
    path = tmp_path / "options.yaml"
    path.write_text(content)
    parser = argparse.ArgumentParser()
    add_command(parser, command)
    return parser.parse_args(expand_config(parser, ["--config", str(path), *argv]))


def test_options_of_every_kind(tmp_path: Path):
    found = parse(
        tmp_path,
        "video: [a b.mp4, '@list.txt']\nout: results\njson: true\nno-cache: false\nlabel_threshold: 0.25\n"
        "image-size: 416\nlook-every: 1\ncalibration: c.mp4\n",
    )
    assert found.video == ["a b.mp4", "@list.txt"]
    assert found.out == Path("results")
    assert found.json is True
    assert found.label_threshold == 0.25
    assert found.image_size == 416
    assert parse(tmp_path, "video: -odd-.mp4\n").video == ["-odd-.mp4"]


def test_command_line_takes_precedence(tmp_path: Path):
    content = "video: [a.mp4, b.mp4]\ndetector: yolo26n\nlabel-threshold: 0.5\n"
    found = parse(tmp_path, content, "--detector", "embedded", "--video", "c.mp4")
    assert (found.detector, found.video, found.label_threshold) == ("embedded", ["c.mp4"], 0.5)


def test_required_options_may_stand_in_the_file(tmp_path: Path):
    found = parse(tmp_path, "data: clips.csv\nout: gates.yaml\nbounds: [0.1, 0.4]\n", command="tune-thresholds")
    assert (found.data, found.bounds) == (Path("clips.csv"), [0.1, 0.4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("detecter: yolo26n\n", "unknown option 'detecter'; did you mean 'detector'?"),
        ("help: true\n", "unknown option 'help'"),
        ("config: other.yaml\n", "unknown option 'config'"),
        ("json: 1\n", "json: true or false was expected, found 1"),
        ("detector: false\n", "detector: a text or a number was expected, found False"),
        ("detector: [a, b]\n", "detector: a single value was expected"),
        ("video: {a: b}\n", "video: a text or a number was expected"),
        ("video: [a.mp4, -b.mp4]\n", "none of several values may begin with a dash"),
        ("video: []\n", "video: a value was expected, found none"),
        ("video: [null]\n", "video: a text or a number was expected, found None"),
        ("- a\n", "options.yaml"),
        ("a: [\n", "options.yaml"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, content: str, message: str):
    with pytest.raises(UserError) as caught:
        parse(tmp_path, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_commands_report_mistakes_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for argv in (["--config", str(tmp_path / "none.yaml")], ["--config"]):
        with pytest.raises(SystemExit) as ended:
            run_command("tag", argv)
        assert ended.value.code == 2
    assert "none.yaml" in capsys.readouterr().err
    path = tmp_path / "options.yaml"
    path.write_text("label-threshold: 2\nvideo: a.mp4\n")
    with pytest.raises(SystemExit):
        run_command("tag", ["--config", str(path)])
    assert "--label-threshold" in capsys.readouterr().err


def test_command_runs_with_a_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "options.yaml"
    path.write_text(f"video: {tmp_path / 'none.mp4'}\njson: true\n")
    assert run_command("tag", ["--config", str(path)]) == 1
    assert '"status": "error"' in capsys.readouterr().out
