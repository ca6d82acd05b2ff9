"""How much of a head's network may be trained, and the names of the backbones; both appear in head files."""

import re

from common.errors import CheckpointError
from common.files import nearest

CLASSIFIER, NORMS, LAST_STAGE, ALL = "classifier", "norms", "layer4", "all"
TUNING_MODES = {
    CLASSIFIER: "the last layer only, by logistic regression on cached features",
    NORMS: "the last layer and all normalization layers",
    LAST_STAGE: "the last layer and the last stage",
    ALL: "everything, as published",
}

BACKBONE_NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "resnet34")
TIMM_PREFIX = "timm:"
TIMM_NAME = re.compile(rf"{TIMM_PREFIX}[A-Za-z0-9_.]{{1,100}}")


def check_backbone(name: str, where: str) -> None:
    """Check that a backbone is known, or may be one of timm's, without loading what builds it.

    Args:
        name: Its name.
        where: What names it, for the message.

    Raises:
        CheckpointError: If there is no such backbone, naming those that exist.
    """
    if name not in BACKBONE_NAMES and not TIMM_NAME.fullmatch(name):
        others = [*BACKBONE_NAMES, f"{TIMM_PREFIX}NAME"]
        raise CheckpointError(f"{where}: unknown backbone {name!r}; {nearest(name, others)}")
