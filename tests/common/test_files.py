"""Hashes, atomic writes, and checks of YAML files."""

import hashlib
import os
from pathlib import Path

import pytest

from common import files
from common.errors import GatesError, UserError
from common.files import check_keys, nearest, open_atomically, read_yaml, sha256_file, write_atomically


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


def test_open_atomically_replaces_a_file_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for content in (b"one", b"two"):
        with open_atomically(path) as file:
            file.write(content[:1])
            assert not path.exists() or path.read_bytes() == b"one"
            file.write(content[1:])
        assert path.read_bytes() == content


def test_open_atomically_keeps_the_old_file_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError, match="another"), open_atomically(tmp_path / "file") as file:  # noqa: PT012
        file.write(b"new")
        (tmp_path / "another").read_bytes()
    assert (tmp_path / "file").read_text() == "old"
    assert [other.name for other in tmp_path.iterdir()] == ["file"]


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


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does: in writing, where the system does not know the name."""
    import resource

    path = tmp_path / "file"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="file") as caught:
            write_atomically(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
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


def nested(opening: str, depth: int) -> str:
    return "a: " + opening * depth


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{level}: &a{level}\n" + f"  b: *a{level - 1}\n  c: *a{level - 1}\n" for level in range(1, 30)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(LAUGHS, "expands to more than 50000 values", id="billion laughs"),
        pytest.param(MERGES, "expands to more than 50000 values", id="mappings that double"),
        pytest.param("a: &a [*a]\n", "expands to more than 50000 values", id="alias of itself"),
        pytest.param(nested("[", 100_000), "nested more than 32 deep", id="nested lists"),
        pytest.param(nested("{a: ", 10_000), "nested more than 32 deep", id="nested mappings"),
        pytest.param("".join(f"{' ' * i}a:\n" for i in range(300)), "nested more than 32 deep", id="indented"),
        pytest.param("a: 1\n" * 100_000, "larger than 262144 bytes", id="large"),
        pytest.param(f"a: {'9' * 10_000}\n", "too many digits", id="number of 10,000 digits"),
        pytest.param(f"a: 0x{'f' * 10_000}\n", "too many digits", id="hexadecimal number"),
        pytest.param(f"a: 1{':59' * 10_000}\n", "too many digits", id="sexagesimal number"),
        pytest.param("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor", id="tag"),
        pytest.param("a: !!python/name:os.system\n", "could not determine a constructor", id="name"),
        pytest.param("? [1, 2]\n: 3\n", "unhashable key", id="key that is a list"),
        pytest.param("a: \0\n", "unacceptable character", id="zero byte"),
    ],
)
def test_read_yaml_refuses_what_would_take_long(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(GatesError, match=message) as caught:
        read_yaml(path, GatesError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_read_yaml_follows_a_few_aliases(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a [1, 2]\nb: *a\n")
    assert read_yaml(tmp_path / "a.yaml", GatesError) == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_read_yaml_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(GatesError, match="not a regular file"):
        read_yaml(tmp_path / "a.yaml", GatesError)


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(UserError) as caught:
        check_keys({"x" * 10**6: 1}, "file", UserError, ["a"])
    assert len(str(caught.value)) < 300


def test_temporary_name_fits_a_name_of_full_length(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_atomically(path, "text")
    assert path.read_text() == "text"


def test_link_under_a_temporary_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(files, "_serial", iter([7]))
    (tmp_path / f".file.{os.getpid()}.7.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file", "text")
    assert victim.read_text() == "precious"
