"""Prediction: the action heads of a folder and the logits that they compute for frames of their actors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.checkpoint import (
    ClassifierWeights,
    HeadManifest,
    check_manifest,
    find_heads,
    find_trunk,
    load_head,
    read_classifier_weights,
    read_manifest,
)
from action_heads.frame_views import FrameViews
from action_heads.input_kinds import MOVING, VIEWS_BY_INPUT
from action_heads.preprocessing import Preprocessing
from action_heads.tuning_modes import check_backbone
from common.files import sha256_file
from inference.interfaces import Engine, Network, PendingOutput, content_key
from inference.process_guard import check_process
from inference.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from action_heads.model import Trunk

NETWORK_FORMAT = "head/1"  # increment when what precedes or follows the network inside the engine changes
BATCH_SIZE = 1  # images in one forward pass; several passes run in parallel


@dataclass(frozen=True)
class LoadedHead:
    """A head that is ready to predict.

    Attributes:
        engine: Computes logits, or features if there is a separate classifier.
        classifier: The classifier, applied outside the engine; None if the engine runs the whole head.
        manifest: Of the head's file.
        preprocessing: Of the head.
    """

    engine: Engine
    classifier: ClassifierWeights | None
    manifest: HeadManifest
    preprocessing: Preprocessing


class ActionHeads:
    """The action heads, one file per actor. All files are checked at once, each head is loaded when first needed.

    May be used by several threads.

    Heads that were trained on an embedded trunk share the tensors that their training did not change: all heads that
    are only a classifier run on the same feature extractor.

    Args:
        folder: Contains `<actor>.safetensors` for at least one actor of the taxonomy.
        taxonomy: Actors and labels that the heads must have.
        runtime: Runs the networks.
        fallback: Folder of heads for the actors whose head is missing from `folder`, or None.

    Attributes:
        paths: Each head's file, by actor.
        sha256: Of each head's file, by actor.

    Raises:
        CheckpointError: If a head is missing (the message names all missing ones) or belongs to another actor.
    """

    def __init__(
        self, folder: Path, taxonomy: Taxonomy, runtime: Runtime | None = None, fallback: Path | None = None
    ) -> None:
        self.folder = folder
        self.fallback = fallback
        self.taxonomy = taxonomy
        self.runtime = runtime or Runtime()
        self.paths = find_heads(folder, taxonomy, fallback)
        self.sha256: dict[str, str] = {}
        self._manifests: dict[str, HeadManifest] = {}
        self._preprocessing: dict[str, Preprocessing] = {}
        self._trunks: dict[Path, Trunk] = {}
        self._networks: dict[str, nn.Module] = {}
        self._heads: dict[str, LoadedHead] = {}
        self._lock = RLock()
        for actor in taxonomy.actors:
            path = self.paths[actor.name]
            manifest = read_manifest(path)
            check_backbone(manifest.backbone, str(path))
            check_manifest(path, manifest, actor)
            where = f"{path}: preprocessing"
            self._preprocessing[actor.name] = Preprocessing.from_dict(manifest.preprocessing, where)
            self._manifests[actor.name] = manifest
            self.sha256[actor.name] = sha256_file(path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where the heads are, not what was loaded: a network may be converted in another process."""
        return ActionHeads, (self.folder, self.taxonomy, None, self.fallback)

    def describe(self) -> str:
        """Return a short description of which heads are used."""
        from_folder = [name for name, path in self.paths.items() if path.parent == self.folder]
        if len(from_folder) == len(self.paths):
            return f"heads {self.folder} ({len(from_folder)} files)"
        others = len(self.paths) - len(from_folder)
        return f"heads: {', '.join(from_folder)} from {self.folder}, the other {others} embedded"

    def submit_frame(
        self, views: FrameViews, boxes: Mapping[str, NDArray[np.float32]]
    ) -> Callable[[], dict[str, NDArray[np.float32]]]:
        """Start the heads of some actors on one frame; a view that several heads share is processed once.

        Args:
            views: The frame.
            boxes: Each actor's box in the frame, corners in pixels, shape (4,); NaN if there is none. Heads that use
                crops see the whole frame then.

        Returns:
            A function that waits for the outputs and returns logits by actor, shape (outputs,), without the motion's
            contribution; more frames can be submitted before it is called.

        Raises:
            CheckpointError: If a head's weights cannot be read.
        """
        pending: dict[str, list[PendingOutput]] = {}
        for name, box in boxes.items():
            head = self._head(name)
            pending[name] = [
                views.submit(head.engine, view, box, head.preprocessing.size)
                for view in VIEWS_BY_INPUT[head.manifest.input]
            ]

        def wait() -> dict[str, NDArray[np.float32]]:
            logits = {}
            for name, outputs in pending.items():
                output = np.concatenate([view.result()[0] for view in outputs])
                classifier = self._head(name).classifier
                logits[name] = classifier.weight @ output + classifier.bias if classifier else output
            return logits

        return wait

    def uses_motion(self, actor_name: str) -> bool:
        """Return whether an actor's head takes features of the actor's motion, see `add_motion`."""
        return self._manifests[actor_name].input == MOVING

    def add_motion(
        self, actor_name: str, logits: NDArray[np.float32], motion: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Add the contribution of the actor's motion to the logits of frames that belong together.

        Features outside the range that they had in training are clipped to it: beyond, a linear layer would extrapolate
        without bounds.

        Args:
            actor_name: Name of the actor, whose head uses motion.
            logits: Of B frames, shape (B, outputs), see `submit_frame`.
            motion: Features of the actor's motion through these frames, shape (M,), see
                `actor_detector.motion.features`.

        Returns:
            Logits, shape (B, outputs).
        """
        classifier = self._head(actor_name).classifier
        assert classifier is not None, "heads that use motion are classifiers on the embedded trunk"
        return logits + classifier.motion @ np.clip(motion, *classifier.motion_range)

    def network(self, actor_name: str) -> "nn.Module":
        """Return an actor's PyTorch network, in evaluation mode."""
        if actor_name not in self._networks:
            if self._manifests[actor_name].needs_trunk:
                self._trunk_of(actor_name)
            network, _ = load_head(self.paths[actor_name], self.taxonomy.actor(actor_name), self._trunks)
            self._networks[actor_name] = network
        return self._networks[actor_name]

    def _head(self, actor_name: str) -> LoadedHead:
        check_process()
        with self._lock:
            if actor_name not in self._heads:
                self._heads[actor_name] = self._load(actor_name)
            return self._heads[actor_name]

    def _load(self, actor_name: str) -> LoadedHead:
        manifest, preprocessing = self._manifests[actor_name], self._preprocessing[actor_name]
        classifier = None
        if manifest.is_classifier_only:
            classifier = read_classifier_weights(self.paths[actor_name], manifest)
            key = content_key(NETWORK_FORMAT, manifest.trunk["sha256"], preprocessing.to_dict())
        else:
            trunk_sha256 = manifest.trunk.get("sha256")
            key = content_key(NETWORK_FORMAT, self.sha256[actor_name], trunk_sha256, preprocessing.to_dict())
        network = Network(key, partial(self._build, actor_name, is_whole_head=classifier is None))
        engine = self.runtime.shared_engine(network, (preprocessing.size, preprocessing.size), BATCH_SIZE)
        return LoadedHead(engine, classifier, manifest, preprocessing)

    def _build(self, actor_name: str, is_whole_head: bool) -> "nn.Module":
        """Build the preprocessing and an actor's network: the whole head, or the trunk that it shares."""
        from action_heads.model import feature_extractor
        from inference.torch_engine import Preprocessed

        preprocessing = self._preprocessing[actor_name]
        network = self.network(actor_name) if is_whole_head else feature_extractor(self._trunk_of(actor_name))
        return Preprocessed(network, preprocessing.mean, preprocessing.std)

    def _trunk_of(self, actor_name: str) -> "Trunk":
        from action_heads.backbones import find_backbone
        from action_heads.model import load_trunk_file

        manifest = self._manifests[actor_name]
        file = find_trunk(self.paths[actor_name], manifest)
        if file not in self._trunks:
            self._trunks[file] = load_trunk_file(file, find_backbone(manifest.backbone)).to(self.runtime.device)
        return self._trunks[file]
