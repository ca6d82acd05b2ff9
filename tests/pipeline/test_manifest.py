"""The manifest of what the project ships: strictly parsed, updated by its command, and verified when a run starts."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from common.errors import ManifestError
from common.files import sha256_file
from pipeline import tagger
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.known_detectors import EMBEDDED_FILE
from pipeline.manifest import Manifest, load_manifest
from pipeline.tagger import ActorActionTagger


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with two small files, of which the manifest lists one."""
    folder = tmp_path / "models"
    (folder / "heads").mkdir(parents=True)
    (folder / "heads" / "dog.safetensors").write_bytes(b"a head")
    (folder / "other.safetensors").write_bytes(b"not listed")
    recorded = load_manifest(folder / "manifest.yaml").record(
        folder / "heads" / "dog.safetensors", made_by="retrain_head.py --actor dog", data="3 clips", seed=1
    )
    recorded.save()
    return folder


@pytest.fixture
def listed(models: Path) -> Manifest:
    return load_manifest(models / "manifest.yaml")


def test_load_returns_what_was_recorded(models, listed):
    (entry,) = listed.entries.values()
    assert list(listed.entries) == ["models/heads/dog.safetensors"]
    assert (entry.sha256, entry.bytes) == (sha256_file(models / "heads" / "dog.safetensors"), 6)
    assert (entry.made_by, entry.data, entry.seed, entry.source) == ("retrain_head.py --actor dog", "3 clips", 1, "")
    assert entry.date == datetime.date.today().isoformat()
    assert (models / "manifest.yaml").read_text().startswith("# What the project ships")


def test_without_a_manifest_nothing_is_listed(tmp_path):
    empty = load_manifest(tmp_path / "models" / "manifest.yaml")
    assert empty.entries == {}
    empty.verify(tmp_path / "any")
    empty.verify_matching("models/*")


def test_only_listed_files_are_verified(models, listed, tmp_path):
    listed.verify(models / "heads" / "dog.safetensors")
    listed.verify(models / "heads" / ".." / "heads" / "dog.safetensors", sha256_file(models / "heads/dog.safetensors"))
    (models / "other.safetensors").write_bytes(b"changed")
    listed.verify(models / "other.safetensors")
    listed.verify(tmp_path / "dog.safetensors")
    listed.verify_matching("models/trunk_*")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or changed: 0 bytes with sha256 e3b0c442…, manifest.yaml says 6 and "),
        (b"A head", "damaged or changed: 6 bytes with sha256 "),
        (None, "missing, though manifest.yaml lists it"),
    ],
    ids=["empty", "same size", "missing"],
)
def test_a_changed_or_missing_file_is_one_clear_line(models, listed, content, message):
    path = models / "heads" / "dog.safetensors"
    path.unlink() if content is None else path.write_bytes(content)
    for check in (lambda: listed.verify(path), lambda: listed.verify_matching("models/heads/*")):
        with pytest.raises(ManifestError, match=message) as caught:
            check()
        assert str(caught.value).startswith(str(path))
        assert "git checkout -- models/heads/dog.safetensors" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": []}, r"files: a mapping by path was expected, found \[\]"),
        ({"file": {}}, "unknown key 'file'; did you mean 'files'"),
        ({"files": {"a": {"sha256": "0" * 64}}}, "manifest.yaml: a: the key 'bytes' is missing"),
        ({"files": {"a": None}}, "manifest.yaml: a: a mapping with sha256"),
    ],
    ids=["list", "key", "missing", "null"],
)
def test_a_wrong_manifest_is_one_clear_line(models, change, message):
    (models / "manifest.yaml").write_text(yaml.safe_dump(change))
    with pytest.raises(ManifestError, match=message):
        load_manifest(models / "manifest.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha": "0"}, "unknown key 'sha'; did you mean 'sha256'"),
        ({"sha256": "0" * 63}, "sha256: 64 lower-case hexadecimal digits"),
        ({"bytes": "6"}, "bytes: int was expected, found '6'"),
        ({"seed": True}, "seed: int was expected, found True"),
        ({"date": datetime.date(2026, 1, 2)}, "date: str was expected"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_entry_is_one_clear_line(models, change, message):
    content = yaml.safe_load((models / "manifest.yaml").read_text())
    content["files"]["models/heads/dog.safetensors"] |= change
    (models / "manifest.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ManifestError, match=rf"manifest.yaml: models/heads/dog.safetensors: {message}"):
        load_manifest(models / "manifest.yaml")


def test_the_command_adds_and_updates_entries(models, capsys):
    file = models / "manifest.yaml"
    command = ["manifest", str(models / "other.safetensors"), "--manifest", str(file), "--data", "9 clips"]
    first = ["--made-by", "a command", "--seed", "7", "--source", "Apache-2.0"]
    assert main([*command, *first]) == console.DONE
    assert "recorded models/other.safetensors" in capsys.readouterr().out
    (models / "other.safetensors").write_bytes(b"new weights")
    assert main([*command, "--made-by", "another", "--seed", "8"]) == console.DONE
    entries = load_manifest(file).entries
    assert list(entries) == ["models/heads/dog.safetensors", "models/other.safetensors"]
    entry = entries["models/other.safetensors"]
    assert (entry.made_by, entry.seed, entry.bytes, entry.source) == ("another", 8, 11, "")
    load_manifest(file).verify(models / "other.safetensors")


@pytest.mark.parametrize(("name", "message"), [("no.safetensors", "no such file"), ("../../out", "only files below")])
def test_the_command_refuses_what_cannot_be_listed(models, capsys, name, message):
    (models.parent.parent / "out").write_text("outside")
    command = ["manifest", str(models / name), "--manifest", str(models / "manifest.yaml")]
    assert main([*command, "--data", "", "--made-by", "", "--seed", "0"]) == console.WRONG_USAGE
    assert message in capsys.readouterr().err


def test_the_tagger_verifies_its_files(config, tmp_path, monkeypatch):
    models = tmp_path / "models"
    (models / "heads").mkdir(parents=True)
    paths = {
        "detector": models / EMBEDDED_FILE.name,
        "architecture": models / EMBEDDED_FILE.with_suffix(".yaml").name,
        "gates": tmp_path / "thresholds" / "default.yaml",
        "head": models / "heads" / "dog.safetensors",
        "trunk": models / "trunk_resnet34.safetensors",
    }
    paths["gates"].parent.mkdir()
    paths["detector"].write_bytes(EMBEDDED_FILE.read_bytes())
    paths["architecture"].write_bytes(EMBEDDED_FILE.with_suffix(".yaml").read_bytes())
    paths["gates"].write_bytes(Path(str(config.thresholds)).read_bytes())
    paths["head"].write_bytes(b"a head")
    paths["trunk"].write_bytes(b"a trunk")
    listed = load_manifest(models / "manifest.yaml")
    for path in paths.values():
        listed = listed.record(path, made_by="a test", data="none", seed=0)
    listed.save()
    monkeypatch.setattr(tagger, "MANIFEST_FILE", models / "manifest.yaml")
    config = replace(config, detector=str(paths["detector"]), thresholds=paths["gates"])
    ActorActionTagger.from_config(config)
    for path in paths.values():
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        with pytest.raises(ManifestError, match=f"{path.name}: damaged or changed"):
            ActorActionTagger.from_config(config)
        path.write_bytes(content)


def test_the_shipped_files_are_those_in_the_manifest():
    shipped = load_manifest()
    shipped.verify_matching("*")
    weights = {path.relative_to(shipped.root).as_posix() for path in (shipped.root / "models").rglob("*.safetensors")}
    assert weights <= set(shipped.entries)
