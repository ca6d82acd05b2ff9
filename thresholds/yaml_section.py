"""Typed access to the values of gate files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import GatesError
from common.files import check_keys


@dataclass(frozen=True)
class YamlSection:
    """A mapping in a gate file, with typed access to its values; errors name the key and what was expected."""

    content: Mapping[str, Any]
    where: str

    def check(self, *keys: str, optional: tuple[str, ...] = ()) -> "YamlSection":
        """Check that the keys are the given ones, of which the optional ones may be missing, and return the section."""
        check_keys(self.content, self.where, GatesError, keys, optional)
        return self

    def has(self, key: str) -> bool:
        """Return whether an optional key is there."""
        return key in self.content

    def section(self, key: str) -> "YamlSection":
        """Return a nested mapping, which must not be empty."""
        value = self.content[key]
        if not isinstance(value, dict) or not value:
            raise self._error(key, "a mapping")
        return YamlSection(value, f"{self.where}: {key}")

    def names(self) -> tuple[str, ...]:
        """Return all keys, which must be text."""
        for key in self.content:
            if not isinstance(key, str):
                raise GatesError(f"{self.where}: names were expected as keys, found {key!r}")
        return tuple(self.content)

    def is_null(self, key: str) -> bool:
        """Return whether a value is null."""
        return self.content[key] is None

    def text(self, key: str) -> str:
        """Return a text value."""
        if not isinstance(self.content[key], str):
            raise self._error(key, "text")
        return str(self.content[key])

    def integer(self, key: str) -> int:
        """Return a non-negative integer."""
        value = self.content[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._error(key, "a whole number from 0")
        return value

    def fraction(self, key: str) -> float:
        """Return a number in [0, 1]."""
        if not _is_fraction(self.content[key]):
            raise self._error(key, "a fraction in [0, 1]")
        return float(self.content[key])

    def fraction_pair(self, key: str) -> tuple[float, float]:
        """Return a list of two numbers in [0, 1], in ascending order."""
        value = self.content[key]
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_fraction, value)) or value[0] > value[1]:
            raise self._error(key, "a list of two fractions in [0, 1], the lower first,")
        return float(value[0]), float(value[1])

    def sha256(self, key: str) -> str | None:
        """Return a SHA-256, or None for null."""
        value = self.content[key]
        if value is None:
            return None
        if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise self._error(key, "null or 64 lower-case hexadecimal digits")
        return value

    def _error(self, key: str, expected: str) -> GatesError:
        return GatesError(f"{self.where}: {key}: {expected} was expected, found {self.content[key]!r}")


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0
