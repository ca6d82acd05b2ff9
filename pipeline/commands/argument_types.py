"""What the arguments of commands are parsed to: numbers within bounds, and places."""

import argparse
from pathlib import Path

from common.errors import StoreError
from common.remote_folders import AnyFolder, RemoteFolder
from common.system import MAX_THREADS
from inference.runtime import AUTO


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} was given, a whole number from 1 is allowed")
    return number


def natural(text: str) -> int:
    """Parse a whole number from 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} was given, a whole number from 0 is allowed")
    return number


def seed(text: str) -> int:
    """Parse a whole number from 0 that every random number generator accepts."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to {2**32 - 1} is allowed")
    return number


def thread_count(text: str) -> int:
    """Parse a number of threads."""
    number = int(text)
    if not 1 <= number <= MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text} was given, 1 to {MAX_THREADS} is allowed")
    return number


def fraction(text: str) -> float:
    """Parse a number in [0, 1]."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to 1 is allowed")
    return number


def fraction_or_auto(text: str) -> float | None:
    """Parse a number in [0, 1]; `auto` is None."""
    try:
        return None if text == AUTO else fraction(text)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to 1 or {AUTO} is allowed") from None


def seconds(text: str) -> float:
    """Parse a duration in seconds."""
    number = float(text)
    if not 0.01 <= number <= 3600:
        raise argparse.ArgumentTypeError(f"{text} was given, 0.01 to 3600 is allowed")
    return number


def grey_levels(text: str) -> float:
    """Parse a difference in grey levels."""
    number = float(text)
    if not 0 <= number <= 255:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to 255 is allowed")
    return number


def folder_or_address(text: str) -> AnyFolder:
    """Parse a folder of this machine, or one in a store."""
    try:
        return RemoteFolder.parse(text) if "://" in text else Path(text)
    except StoreError as reason:
        raise argparse.ArgumentTypeError(str(reason)) from None
