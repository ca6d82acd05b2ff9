"""Stage 2 at work: the heads of a folder, and what each says of images of its actor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.checkpoint import (
    Classifier,
    HeadManifest,
    check_manifest,
    find_heads,
    load_head,
    read_classifier,
    read_manifest,
)
from action_heads.crops import NO_BOX, VIEWS_BY_INPUT, WHOLE_FRAME, crop_actor
from action_heads.label_decision import to_probabilities
from action_heads.preprocessing import Preprocessing, resize_frame
from action_heads.trunk_files import EMBEDDED
from action_heads.tuning_modes import check_backbone
from common.files import sha256_file
from inference.interfaces import Engine, Network, PendingOutput, content_key
from inference.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from action_heads.model import Trunk

NETWORK_FORMAT = "head/1"  # raise it when what is done to a network before it runs changes
BATCH_SIZE = 1  # images in one pass; several passes run side by side


@dataclass(frozen=True)
class LoadedHead:
    """One head, ready to predict.

    Attributes:
        engine: Gives logits, or features if there is a classifier.
        classifier: The last layer, which is computed here; None where the engine holds the whole head.
        manifest: What its file says.
        preprocessing: How to feed it.
    """

    engine: Engine
    classifier: Classifier | None
    manifest: HeadManifest
    preprocessing: Preprocessing


class ActionHeads:
    """The action heads, one file an actor. All are checked at once, each is loaded when first needed.

    Heads that were trained on an embedded trunk share what their training left alone: a head that has but its last
    layer for itself runs on the one network that gives the trunk's features.

    Args:
        folder: Holds `<actor>.safetensors` for one actor of the taxonomy at least.
        taxonomy: Whose actors and labels the heads must have.
        runtime: What runs the networks.
        fallback: Folder of the heads that stand in for those that `folder` lacks; None for none.

    Attributes:
        paths: Each head's file, by actor.
        sha256: Of each head's file, by actor.

    Raises:
        CheckpointError: If a head is missing (all missing ones are named) or is not that actor's.
    """

    def __init__(
        self, folder: Path, taxonomy: Taxonomy, runtime: Runtime | None = None, fallback: Path | None = None
    ) -> None:
        self.folder = folder
        self.taxonomy = taxonomy
        self.runtime = runtime or Runtime()
        self.paths = find_heads(folder, taxonomy, fallback)
        self.sha256: dict[str, str] = {}
        self._manifests: dict[str, HeadManifest] = {}
        self._preprocessing: dict[str, Preprocessing] = {}
        self._trunks: dict[str, Trunk] = {}
        self._networks: dict[str, nn.Module] = {}
        self._engines: dict[str, Engine] = {}
        self._head = cache(self._load)
        for actor in taxonomy.actors:
            path = self.paths[actor.name]
            manifest = read_manifest(path)
            check_backbone(manifest.backbone, str(path))
            check_manifest(path, manifest, actor)
            where = f"{path}: preprocessing"
            self._preprocessing[actor.name] = Preprocessing.from_dict(manifest.preprocessing, where)
            self._manifests[actor.name] = manifest
            self.sha256[actor.name] = sha256_file(path)

    def describe(self) -> str:
        """Say in a few words which heads are used."""
        own = [name for name, path in self.paths.items() if path.parent == self.folder]
        if len(own) == len(self.paths):
            return f"heads {self.folder} ({len(own)} files)"
        return f"heads: {', '.join(own)} from {self.folder}, the other {len(self.paths) - len(own)} embedded"

    def predict(
        self,
        actor_name: str,
        images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        boxes: NDArray[np.float32] | None = None,
        motion: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Give the probability of every valid label of an actor in every image.

        Args:
            actor_name: Whose head is asked.
            images: Whole frames, each of shape (H, W, 3), uint8, BGR.
            boxes: The actor's box in each, corners in pixels, shape (B, 4); NaN where there is none. A head that looks
                at crops sees the whole frame there. None is as if there were none at all.
            motion: As for `add_motion`.

        Returns:
            Shape (B, outputs), in [0, 1]: each label's sigmoid, so they need not add up to 1.

        Raises:
            CheckpointError: If the head's weights cannot be read.
        """
        if boxes is None:
            boxes = np.tile(NO_BOX, (len(images), 1))
        answers = [self.look(image, {actor_name: box}) for image, box in zip(images, boxes, strict=True)]
        logits = [answer()[actor_name] for answer in answers]
        outputs = len(self._manifests[actor_name].labels)
        told = self.add_motion(actor_name, np.reshape(logits, (len(logits), outputs)).astype(np.float32), motion)
        return to_probabilities(told)

    def add_motion(
        self, actor_name: str, logits: NDArray[np.float32], motion: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Add what a head makes of motion to what it made of looks at one clip.

        Args:
            actor_name: Whose head.
            logits: Shape (B, outputs), see `look`.
            motion: How the actor moves through the clip, shape (M,), see `actor_detector.motion.features`; None where nobody
                knows. Heads of other inputs than `moving` leave it alone.

        Returns:
            Logits, shape (B, outputs).
        """
        classifier = self._head(actor_name).classifier
        if classifier and motion is not None and classifier.motion.size:
            logits = logits + classifier.motion @ motion
        return logits

    def look(
        self, image: NDArray[np.uint8], boxes: Mapping[str, NDArray[np.float32]]
    ) -> Callable[[], dict[str, NDArray[np.float32]]]:
        """Show one frame to the heads of some actors; what they see alike goes through the network once.

        Args:
            image: The whole frame (H, W, 3), uint8, BGR.
            boxes: By actor, its box in the frame, corners in pixels, shape (4,); NaN where there is none.

        Returns:
            What waits for the answers, and gives logits by actor, shape (outputs,); others can be asked meanwhile.

        Raises:
            CheckpointError: If a head's weights cannot be read.
        """
        passes: dict[tuple[int, str], PendingOutput] = {}
        parts: dict[str, list[PendingOutput]] = {}
        for name, box in boxes.items():
            head = self._head(name)
            parts[name] = []
            for kind in VIEWS_BY_INPUT[head.manifest.input]:
                key = (id(head.engine), WHOLE_FRAME if kind == WHOLE_FRAME or np.isnan(box).any() else name)
                if key not in passes:
                    square = resize_frame(crop_actor(image, box, kind), head.preprocessing.size)
                    passes[key] = head.engine.submit(square[None])
                parts[name].append(passes[key])

        def wait() -> dict[str, NDArray[np.float32]]:
            said = {}
            for name, own in parts.items():
                logits = np.concatenate([part.result()[0] for part in own])
                classifier = self._head(name).classifier
                said[name] = classifier.weight @ logits + classifier.bias if classifier else logits
            return said

        return wait

    def network(self, actor_name: str) -> "nn.Module":
        """Give an actor's network in PyTorch, in evaluation mode."""
        if actor_name not in self._networks:
            trunks = self._trunks_for(self._manifests[actor_name])
            network, _ = load_head(self.paths[actor_name], self.taxonomy.actor(actor_name), trunks)
            self._networks[actor_name] = network
        return self._networks[actor_name]

    def _load(self, actor_name: str) -> LoadedHead:
        manifest, preprocessing = self._manifests[actor_name], self._preprocessing[actor_name]
        classifier = None
        fed = preprocessing.to_dict()
        if manifest.is_last_layer:
            classifier = read_classifier(self.paths[actor_name], manifest)
            key = content_key(NETWORK_FORMAT, manifest.trunk["sha256"], fed)
        else:
            key = content_key(NETWORK_FORMAT, self.sha256[actor_name], manifest.trunk.get("sha256"), fed)
        if key not in self._engines:
            size = (preprocessing.size, preprocessing.size)
            network = Network(key, lambda: self._build(actor_name, whole=classifier is None))
            self._engines[key] = self.runtime.engine(network, size, BATCH_SIZE)
        return LoadedHead(self._engines[key], classifier, manifest, preprocessing)

    def _build(self, actor_name: str, whole: bool) -> "nn.Module":
        """Build an actor's network behind its preprocessing: all of it, or the trunk that it shares."""
        from action_heads.model import feature_extractor
        from inference.torch_engine import Preprocessed

        manifest, preprocessing = self._manifests[actor_name], self._preprocessing[actor_name]
        network = (
            self.network(actor_name) if whole else feature_extractor(self._trunks_for(manifest)[manifest.backbone])
        )
        return Preprocessed(network, preprocessing.mean, preprocessing.std)

    def _trunks_for(self, manifest: HeadManifest) -> "dict[str, Trunk]":
        from action_heads.backbones import find_backbone
        from action_heads.model import load_trunk

        if manifest.needs_trunk and manifest.backbone not in self._trunks:
            trunk = load_trunk(EMBEDDED, find_backbone(manifest.backbone))
            self._trunks[manifest.backbone] = trunk.to(self.runtime.device)
        return self._trunks
