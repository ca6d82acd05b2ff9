"""The command line: its commands, their help and options, shell completion, and the package's public names."""

import argparse
import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from fresh_interpreter import HEAVY, loaded_after

import pipeline
from common.paths import PROJECT
from pipeline.__main__ import COMMANDS, add_command, build_parser, main
from pipeline.commands import console

SCRIPTS = {
    "run_pipeline.py": "tag",
    "tune_thresholds.py": "tune-thresholds",
    "retrain_head.py": "retrain-head",
    "score_split.py": "score-split",
}
SHARED_MODULES = {
    "argument_types",
    "arguments",
    "config_file",
    "console",
    "engine_arguments",
    "system_argument",
    "terminal",
}
DIFFERENT_MEANINGS = {
    "--data": "a data set; for `manifest`, the text that describes what a file was made from",
    "--epochs": "from 1; for `retrain-detector` from 0, which skips the first phase; for `train-rival` several",
    "--start": "a gate file; for `retrain-detector` the initial weights",
    "--held-out": "a split; for `retrain-detector` and `distil-trunk` the old spelling of --held-out-share",
    "--to": "a format; for `download-weights` a folder",
    "--workers": "processes, from 1; for `retrain-detector` and `distil-trunk` from 0, which reads images in this one",
}
"""Options whose meaning differs between commands, because scripts of users rely on it."""
PARAMETRIZE_COMMANDS = pytest.mark.parametrize("command", COMMANDS)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_command(parser, command)
    return parser


def test_public_names_are_available():
    from pipeline import ActorActionTagger, ClipResult, TaggerConfig

    assert [ActorActionTagger.__module__, ClipResult.__module__, TaggerConfig.__module__] == [
        "pipeline.tagger",
        "pipeline.results",
        "pipeline.config",
    ]
    assert {"ActorActionTagger", "ClipResult", "TaggerConfig", "__version__"} == set(pipeline.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Tagger'"):
        _ = pipeline.Tagger  # type: ignore[attr-defined]


def test_importing_the_package_is_cheap():
    assert loaded_after("import pipeline", [*HEAVY, "numpy"]) == set()
    assert loaded_after("from pipeline import TaggerConfig") == set()
    assert loaded_after("from pipeline import ActorActionTagger") == set()


def test_the_project_installs_the_program_with_the_version_of_the_package():
    content = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert content["project"]["scripts"] == {"actor-action": "pipeline.__main__:main"}
    assert content["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "pipeline.__version__"}


def test_there_is_one_module_for_each_command():
    modules = {path.stem for path in (PROJECT / "pipeline" / "commands").glob("*.py")} - {"__init__"}
    assert modules == {name.replace("-", "_") for name in COMMANDS} | SHARED_MODULES


@PARAMETRIZE_COMMANDS
def test_a_command_describes_itself_and_declares_its_arguments(command):
    parser = parser_of(command)
    assert parser.description
    assert parser.description.endswith(".") or "." not in parser.description
    undocumented = [action.dest for action in parser._actions if not action.help]
    assert not undocumented


@PARAMETRIZE_COMMANDS
def test_help_works_and_loads_nothing_heavy(command):
    libraries = [*HEAVY, "numpy"] if command == "tag" else HEAVY
    done = python("-m", "pipeline", command, "--help")
    assert (done.returncode, done.stderr) == (console.DONE, "")
    assert done.stdout.startswith(f"usage: python -m pipeline {command} ")
    assert loaded_after(f"from pipeline.__main__ import main; main([{command!r}, '--help'])", libraries) == set()


def test_the_overview_lists_all_commands_and_loads_nothing_heavy(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == console.DONE
    text = " ".join(capsys.readouterr().out.split())
    for name, description in COMMANDS.items():
        assert f" {name} {description}" in text
    assert loaded_after("from pipeline.__main__ import main; main(['--help'])", [*HEAVY, "numpy"]) == set()


@pytest.mark.parametrize("arguments", [["--version"], ["tag", "--version"]], ids=["program", "command"])
def test_version_is_that_of_the_package(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == console.DONE
    assert capsys.readouterr().out == f"actor-action {pipeline.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["tga"], ["--no-such-option"]], ids=["nothing", "typo", "option"])
def test_an_unknown_command_is_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == console.WRONG_USAGE
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize(("script", "command"), SCRIPTS.items())
def test_a_script_is_the_same_as_its_command(script, command):
    def help_of(*arguments: str, prog: str) -> list[str]:
        done = python(*arguments, "--help")
        assert done.returncode == console.DONE, done.stderr
        usage = f"usage: {prog} "
        assert done.stdout.startswith(usage)
        return done.stdout.removeprefix(usage).split()  # argparse indents by the program's name

    assert help_of(script, prog=script) == help_of("-m", "pipeline", command, prog=f"python -m pipeline {command}")


def test_every_script_is_compared():
    assert {path.name for path in PROJECT.glob("*.py")} == set(SCRIPTS)


def test_the_same_option_has_the_same_meaning_in_every_command():
    meanings = defaultdict(lambda: defaultdict(list))
    for command in COMMANDS:
        for action in parser_of(command)._actions:
            for option in action.option_strings:
                choices = tuple(action.choices) if action.choices else None
                meaning = (type(action), action.dest, action.type, action.nargs, action.const, choices)
                meanings[option][meaning].append(command)
    assert len(meanings) > 40
    different = {option: list(found.values()) for option, found in meanings.items() if len(found) > 1}
    assert different.keys() == DIFFERENT_MEANINGS.keys(), different


@PARAMETRIZE_COMMANDS
def test_an_option_is_given_once(command):
    dests = [action.dest for action in parser_of(command)._actions]
    twice = {dest for dest in dests if dests.count(dest) > 1}
    assert twice <= {"cache"}, "--cache and --no-cache are one setting"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("actor-action ta", {"tag"}),
        ("actor-action re", {"report", "retrain-head", "retrain-detector", "retrain-confirmation"}),
        ("actor-action tag --det", {"--detector"}),
        ("actor-action tag --backend o", {"openvino"}),
        ("actor-action retrain-head --input m", {"moving"}),
    ],
)
def test_the_shell_completes_commands_and_options(tmp_path, line, expected):
    assert complete(tmp_path, line, "-m", "pipeline") == expected


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_shell_completes_options_of_scripts(tmp_path, script):
    assert complete(tmp_path, f"{script} --dete", script) == {"--detector"}


def complete(folder: Path, line: str, *program: str) -> set[str]:
    """Complete a command line by argcomplete's protocol, as a shell does."""
    answer = folder / "answer"
    done = python(
        *program,
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    assert done.returncode == 0, done.stderr
    return {word.strip() for word in answer.read_text().splitlines()}


def test_the_program_is_marked_for_completion():
    """Argcomplete's global completion searches the first kilobyte of what is run for the mark."""
    assert "PYTHON_ARGCOMPLETE_OK" in (PROJECT / "pipeline" / "__main__.py").read_text(encoding="utf-8")[:1024]


def test_the_completing_parser_knows_every_option():
    (commands,) = [
        action for action in build_parser(complete=True)._actions if isinstance(action, argparse._SubParsersAction)
    ]
    assert list(commands.choices) == list(COMMANDS)
    for name, parser in commands.choices.items():
        assert set(parser._option_string_actions) == set(parser_of(name)._option_string_actions)
