"""Options from a file: `--config FILE`, a YAML mapping of option names to values, for every command.

The file stands for options at the start of the command line, so that those which follow there take precedence.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import nearest, read_yaml, shorten

OPTION = "--config"
NOT_IN_A_FILE = ("help", "version", "config")


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--config`."""
    parser.add_argument(
        OPTION,
        type=Path,
        metavar="FILE",
        help="options from a YAML file, by name without dashes; those given here take precedence",
    )


def expand_config(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """Put the options of the file that `--config` names before the others.

    Args:
        parser: The command's, with all its options.
        argv: The command's arguments.

    Returns:
        Arguments for the same parser.

    Raises:
        UserError: If the file cannot be read, names an unknown option, or has a value that the option cannot take.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument(OPTION, type=Path)
    path = finder.parse_known_args(argv)[0].config
    return [*_read_options(parser, path), *argv] if path else [*argv]


def _read_options(parser: argparse.ArgumentParser, path: Path) -> list[str]:
    actions = {
        option.removeprefix("--"): action
        for action in parser._actions  # which argparse has no public way to list
        for option in action.option_strings
        if option.startswith("--") and option.removeprefix("--") not in NOT_IN_A_FILE
    }
    tokens: list[str] = []
    for key, value in read_yaml(path, UserError).items():
        name = str(key).replace("_", "-")
        if name not in actions:
            raise UserError(f"{path}: unknown option {key!r}; {nearest(name, sorted(actions))}")
        tokens += _tokens(f"{path}: {key}", f"--{name}", actions[name], value)
    return tokens


def _tokens(where: str, option: str, action: argparse.Action, value: object) -> list[str]:
    """Return an option and its value as they would stand on the command line."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UserError(f"{where}: true or false was expected, found {shorten(value)}")
        return [option] if value else []
    values = value if isinstance(value, list) else [value]
    if action.nargs is None and isinstance(value, list):
        raise UserError(f"{where}: a single value was expected, found {shorten(value)}")
    if not values:
        raise UserError(f"{where}: a value was expected, found none")
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise UserError(f"{where}: a text or a number was expected, found {shorten(each)}")
    if len(values) == 1:
        return [f"{option}={values[0]}"]
    if any(str(each).startswith("-") for each in values):
        raise UserError(f"{where}: none of several values may begin with a dash, found {shorten(values)}")
    return [option, *map(str, values)]
