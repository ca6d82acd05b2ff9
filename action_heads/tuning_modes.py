"""How much of a head's network may be trained, and the names of the backbones; both appear in head files."""

from common.errors import CheckpointError
from common.files import nearest

CLASSIFIER, NORMS, LAST_STAGE, ALL = "classifier", "norms", "layer4", "all"
TUNING_MODES = {
    CLASSIFIER: "the last layer only, by logistic regression on cached features",
    NORMS: "the last layer and all normalization layers",
    LAST_STAGE: "the last layer and the last stage",
    ALL: "everything, as published",
}

BACKBONE_NAMES = ("efficientnet_lite0", "resnet34")


def check_backbone(name: str, where: str) -> None:
    """Check that a backbone is known, without loading what builds it.

    Args:
        name: Its name.
        where: What names it, for the message.

    Raises:
        CheckpointError: If there is no such backbone, naming those that exist.
    """
    if name not in BACKBONE_NAMES:
        raise CheckpointError(f"{where}: unknown backbone {name!r}; {nearest(name, BACKBONE_NAMES)}")
