"""Stage 2 at work: the heads of a folder, and what each says of images of its actor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from a2d.files import sha256_file
from a2d.labels import Taxonomy
from action_heads.backbones import find_backbone
from action_heads.checkpoint import HeadManifest, check_manifest, find_heads, load_head, read_manifest
from action_heads.crops import NO_BOX
from action_heads.model import Trunk, load_trunk
from action_heads.preprocessing import Preprocessing, to_inputs
from action_heads.trunk_files import EMBEDDED


@dataclass(frozen=True)
class LoadedHead:
    """One head, ready to predict.

    Attributes:
        network: In evaluation mode, on its device.
        manifest: What its file says.
        preprocessing: How to feed it.
    """

    network: nn.Module
    manifest: HeadManifest
    preprocessing: Preprocessing


class ActionHeads:
    """The action heads, one file an actor. All are checked at once, each is loaded when first needed.

    Heads that were trained on an embedded trunk hold the same tensors in memory as far as their training left them
    alone.

    Args:
        folder: Holds `<actor>.safetensors` for one actor of the taxonomy at least.
        taxonomy: Whose actors and labels the heads must have.
        device: `cpu` or `cuda:N`.
        fallback: Folder of the heads that stand in for those that `folder` lacks; None for none.

    Attributes:
        paths: Each head's file, by actor.
        sha256: Of each head's file, by actor.

    Raises:
        CheckpointError: If a head is missing (all missing ones are named) or is not that actor's.
    """

    def __init__(self, folder: Path, taxonomy: Taxonomy, device: str = "cpu", fallback: Path | None = None) -> None:
        self.folder = folder
        self.taxonomy = taxonomy
        self.device = torch.device(device)
        self.paths = find_heads(folder, taxonomy, fallback)
        self.sha256: dict[str, str] = {}
        self._preprocessing: dict[str, Preprocessing] = {}
        self._trunks: dict[str, Trunk] = {}
        self._loaded: dict[str, LoadedHead] = {}
        for actor in taxonomy.actors:
            path = self.paths[actor.name]
            manifest = read_manifest(path)
            find_backbone(manifest.backbone, str(path))
            check_manifest(path, manifest, actor)
            where = f"{path}: preprocessing"
            self._preprocessing[actor.name] = Preprocessing.from_dict(manifest.preprocessing, where)
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
        images: NDArray[np.uint8],
        boxes: NDArray[np.float32] | None = None,
        batch_size: int = 16,
    ) -> NDArray[np.float32]:
        """Give the probability of every valid label of an actor in every image.

        Args:
            actor_name: Whose head is asked.
            images: Whole frames, shape (B, H, W, 3), uint8, BGR.
            boxes: The actor's box in each, corners in pixels, shape (B, 4); NaN where there is none. A head that looks
                at crops sees the whole frame there. None is as if there were none at all.
            batch_size: Images in one forward pass.

        Returns:
            Shape (B, outputs), in [0, 1]: each label's sigmoid, so they need not add up to 1.

        Raises:
            CheckpointError: If the head's weights cannot be read.
        """
        head = self._head(actor_name)
        if boxes is None:
            boxes = np.tile(NO_BOX, (len(images), 1))
        parts = [np.zeros((0, len(head.manifest.labels)), np.float32)]
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            inputs = to_inputs(images[rows], boxes[rows], head.manifest.input, head.preprocessing)
            with torch.inference_mode():
                parts.append(torch.sigmoid(head.network(inputs.to(self.device))).cpu().numpy())
        return np.concatenate(parts)

    def network(self, actor_name: str) -> nn.Module:
        """Give an actor's network, in evaluation mode, on its device."""
        return self._head(actor_name).network

    def _head(self, actor_name: str) -> LoadedHead:
        if actor_name not in self._loaded:
            path = self.paths[actor_name]
            manifest = read_manifest(path)
            if manifest.needs_trunk and manifest.backbone not in self._trunks:
                trunk = load_trunk(EMBEDDED, find_backbone(manifest.backbone)).to(self.device)
                self._trunks[manifest.backbone] = trunk
            network, manifest = load_head(path, self.taxonomy.actor(actor_name), self._trunks)
            self._loaded[actor_name] = LoadedHead(network.to(self.device), manifest, self._preprocessing[actor_name])
        return self._loaded[actor_name]
