"""Hashes, atomic writes, and checks of YAML files."""

import hashlib
from pathlib import Path

import pytest

from common.errors import GatesError, UserError
from common.files import check_keys, nearest, read_yaml, sha256_file, write_atomically


@pytest.mark.parametrize("content", [b"", b"abc", bytes(1_000_000)], ids=["empty", "short", "long"])
def test_sha256_file_equals_hashlib(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()


# --- Writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "written"),
    [("", b""), ("naïve\n", "naïve\n".encode()), (b"\x00\xff\r\n", b"\x00\xff\r\n")],
    ids=["empty", "text", "bytes"],
)
def test_write_atomically_creates_folders_and_leaves_no_other_file(
    tmp_path: Path, content: str | bytes, written: bytes
) -> None:
    path = tmp_path / "deep" / "er" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == written
    assert list(path.parent.iterdir()) == [path]


def test_write_atomically_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "something long")
    write_atomically(path, "short")
    assert path.read_text() == "short"


def test_reader_of_a_replaced_file_sees_the_old_contents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_failed_write_preserves_the_old_contents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_to_a_folder_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# --- YAML -------------------------------------------------------------------------------------------------------------


def test_read_yaml_returns_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("gates: {dog: 0.1}\nname: größe\n", encoding="utf-8")
    assert read_yaml(path, GatesError) == {"gates": {"dog": 0.1}, "name": "größe"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", r"a mapping was expected at the top level, found NoneType", id="empty"),
        pytest.param(b"- 1\n", r"a mapping was expected at the top level, found list", id="list"),
        pytest.param(b"a: {\n", r"not a readable YAML file \(.*\)$", id="syntax"),
        pytest.param(b"a: \xff\n", r"not a readable YAML file", id="not UTF-8"),
        pytest.param(b"a: !!python/object:os.system {}\n", r"not a readable YAML file", id="python object"),
        pytest.param(b"a: 2024-13-45\n", r"not a readable YAML file \(month must be in 1\.\.12", id="no such date"),
    ],
)
def test_read_yaml_rejects_invalid_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(GatesError, match=rf"a\.yaml: {message}") as caught:
        read_yaml(path, GatesError)
    assert "\n" not in str(caught.value)


def test_read_yaml_rejects_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(GatesError, match=r"a\.yaml: no such file"):
        read_yaml(tmp_path / "a.yaml", GatesError)
    with pytest.raises(GatesError, match=r"not a readable YAML file \(.*directory"):
        read_yaml(tmp_path, GatesError)


# --- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [{"a": 1}, {"a": None, "b": 2}], ids=["required only", "with optional"])
def test_check_keys_returns_a_valid_mapping(found: dict[str, object]) -> None:
    assert check_keys(found, "x.yaml", UserError, ["a"], ["b"]) is found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param({}, r"^x\.yaml: the key 'gates' is missing$", id="missing"),
        pytest.param({"gates": 1, "gtes": 2}, r"unknown key 'gtes'; did you mean 'gates'\?", id="near"),
        pytest.param({"gates": 1, 7: 2}, r"unknown key 7; allowed: gates, note", id="far"),
        pytest.param(None, r"a mapping with gates was expected, found None", id="nothing"),
        pytest.param(["gates"], r"a mapping with gates was expected, found \['gates'\]", id="list"),
    ],
)
def test_check_keys_rejects_missing_and_unknown_keys(found: object, message: str) -> None:
    with pytest.raises(GatesError, match=message):
        check_keys(found, "x.yaml", GatesError, ["gates"], ["note"])


def test_nearest_without_allowed_names() -> None:
    assert nearest("a", []) == "allowed: "
