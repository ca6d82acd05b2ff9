"""Stage 2 at work: the heads of a folder, and what each says of images of its actor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from a2d.errors import CheckpointError
from a2d.files import sha256_file
from a2d.labels import Taxonomy
from action_heads.checkpoint import HeadManifest, check_manifest, head_path, load_head, read_manifest
from action_heads.model import BACKBONE
from action_heads.preprocessing import Preprocessing, evaluation_transform, resize_frame, to_tensor


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
    """The action heads in one folder, one file an actor. All are checked at once, each is loaded when first needed.

    Args:
        folder: Holds `<actor>.safetensors` for every actor of the taxonomy.
        taxonomy: Whose actors and labels the heads must have.
        device: `cpu` or `cuda:N`.

    Raises:
        CheckpointError: If a head is missing (all missing ones are named) or is not that actor's.
    """

    def __init__(self, folder: Path, taxonomy: Taxonomy, device: str = "cpu") -> None:
        missing = [actor.name for actor in taxonomy.actors if not head_path(folder, actor.name).is_file()]
        if missing:
            raise CheckpointError(
                f"{folder}: no head for {', '.join(missing)}; train each with "
                f"retrain_head.py --actor NAME --data DATA --out {folder}"
            )
        self.folder = folder
        self.taxonomy = taxonomy
        self.device = torch.device(device)
        self.sha256: dict[str, str] = {}
        self._preprocessing: dict[str, Preprocessing] = {}
        self._loaded: dict[str, LoadedHead] = {}
        for actor in taxonomy.actors:
            path = head_path(folder, actor.name)
            manifest = read_manifest(path)
            check_manifest(path, manifest, actor, BACKBONE)
            where = f"{path}: preprocessing"
            self._preprocessing[actor.name] = Preprocessing.from_dict(manifest.preprocessing, where)
            self.sha256[actor.name] = sha256_file(path)

    def predict(self, actor_name: str, images: NDArray[np.uint8], batch_size: int = 16) -> NDArray[np.float32]:
        """Give the probability of every valid label of an actor in every image.

        Args:
            actor_name: Whose head is asked.
            images: Shape (B, H, W, 3), uint8, BGR.
            batch_size: Images in one forward pass.

        Returns:
            Shape (B, outputs), in [0, 1]: each label's sigmoid, so they need not add up to 1.

        Raises:
            CheckpointError: If the head's weights cannot be read.
        """
        head = self._head(actor_name)
        transform = evaluation_transform(head.preprocessing)
        parts = [np.zeros((0, len(head.manifest.labels)), np.float32)]
        for start in range(0, len(images), batch_size):
            resized = [resize_frame(image, head.preprocessing.size) for image in images[start : start + batch_size]]
            inputs = transform(torch.stack([to_tensor(image) for image in resized]).to(self.device))
            with torch.inference_mode():
                parts.append(torch.sigmoid(head.network(inputs)).cpu().numpy())
        return np.concatenate(parts)

    def _head(self, actor_name: str) -> LoadedHead:
        if actor_name not in self._loaded:
            network, manifest = load_head(head_path(self.folder, actor_name), self.taxonomy.actor(actor_name))
            self._loaded[actor_name] = LoadedHead(network.to(self.device), manifest, self._preprocessing[actor_name])
        return self._loaded[actor_name]
