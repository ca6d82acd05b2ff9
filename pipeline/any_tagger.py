"""What every tagger does, and the one that a configuration names: the two stages, or another system."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import UserError
from pipeline.config import TaggerConfig

if TYPE_CHECKING:  # they import numpy, which must not delay the start of the workers
    from a2d.taxonomy import Taxonomy
    from pipeline.results import Weights
    from pipeline.tagger import TaggedClip


class Tagger(Protocol):
    """Says of clips who does what in them."""

    @property
    def taxonomy(self) -> "Taxonomy":
        """Actors and labels."""

    @property
    def weights(self) -> "Weights":
        """SHA-256 of every file that determines a result."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The other settings that determine a result, by name, among them `label_threshold`, a number or `auto`."""

    def describe_weights(self) -> str:
        """Describe in one line what is used."""

    def tag_all(self, clips: Iterable[Path]) -> "Iterator[TaggedClip]":
        """Tag clips in order; one that cannot be read gives a result with status `error`."""


def open_tagger(config: TaggerConfig) -> Tagger:
    """Load the tagger that a configuration names.

    Raises:
        UserError: If something that it names is missing or wrong.
    """
    if config.system:
        from pipeline.rival_tagger import RivalTagger

        return RivalTagger.from_config(config)
    from pipeline.tagger import ActorActionTagger

    return ActorActionTagger.from_config(config)


TWO_STAGES_ONLY = {
    "detector": "--detector",
    "heads": "--heads",
    "confirmation": "--confirmation",
    "thresholds": "--thresholds",
    "image_size": "--imgsz",
    "confidence": "--conf",
    "backend": "--backend",
    "precision": "--precision",
    "calibration": "--calibration",
    "batch_size": "--batch-size",
    "stride": "--stride",
    "reuse_below": "--reuse-below",
    "loop_filter": "--skip-loop-filter",
    "until_sure": "--until-sure",
    "label_threshold": "--label-threshold",
}
"""Settings that another system has no use for, or that its file has, and their options."""


def check_options(config: TaggerConfig, without_boxes: Mapping[str, object]) -> None:
    """Check that a run with another system does not ask for what only the two stages have.

    Args:
        config: Of the run.
        without_boxes: Values of options that need boxes or gates, by name.

    Raises:
        UserError: If one is given, or a setting of the two stages.
    """
    if not config.system:
        return
    given = [name for name, value in without_boxes.items() if value]
    if given:
        raise UserError(f"{given[0]} needs the boxes or gates of the two stages, which --system {config.system} lacks")
    standard = TaggerConfig()
    given = [option for name, option in TWO_STAGES_ONLY.items() if getattr(config, name) != getattr(standard, name)]
    if given:
        raise UserError(f"{given[0]} is a setting of the two stages: leave it out with --system {config.system}")
