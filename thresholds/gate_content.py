"""The content of a gate file, as YAML."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from thresholds.gates import Gates

HEADER = """\
# Gates: an actor is present in a video when the share of frames in which the detector sees it reaches its gate.
# Gates belong to the detector named here, at this image size and confidence. Written by tune_thresholds.py.
"""


def format_section(content: Mapping[str, Any]) -> str:
    """Format some or all keys of a gate file as YAML."""
    return str(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120))


def file_content(gates: "Gates") -> dict[str, Any]:
    """Return the content of a gate file, by key, in the order of the file."""
    content: dict[str, Any] = {
        "gates": {actor: float(value) for actor, value in zip(gates.actors, gates.values, strict=True)},
        "objective": gates.objective,
        "optimizer": gates.optimizer,
        "seed": gates.seed,
        "bounds": [float(bound) for bound in gates.bounds],
        "reached": gates.reached.to_dict(),
        "tuned_on": {"data": gates.data, "split": gates.split, "clips": gates.clips},
        "detector": {
            "name": gates.detector.name,
            "sha256": gates.detector.sha256,
            "image_size": gates.detector.image_size,
            "confidence": gates.detector.confidence,
        },
    }
    if gates.detector.confirmation:
        content["detector"]["confirmation"] = gates.detector.confirmation
    if gates.method:
        content["method"] = gates.method
    if gates.out_of_fold:
        content["out_of_fold"] = gates.out_of_fold.to_dict()
    if gates.sources:
        content["tuned_on"]["sources"] = gates.sources
    if gates.skipped:
        content["tuned_on"]["skipped"] = gates.skipped
    if gates.clips_showing:
        content["clips_showing"] = dict(gates.clips_showing)
    if gates.kept:
        kept = gates.kept
        content["kept"] = {"from": kept.source, "sha256": kept.sha256, "reasons": dict(kept.reasons)}
    return content
