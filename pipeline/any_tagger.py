"""What every tagger does, and the one that a configuration names: the two stages, or another system."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from a2d.taxonomy import Taxonomy
from common.errors import UserError
from pipeline.config import TaggerConfig
from pipeline.results import Weights

if TYPE_CHECKING:
    from pipeline.tagger import TaggedClip


class Tagger(Protocol):
    """Says of clips who does what in them."""

    @property
    def taxonomy(self) -> Taxonomy:
        """Actors and labels."""

    @property
    def weights(self) -> Weights:
        """SHA-256 of every file that determines a result."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The other settings that determine a result, by name, among them `label_threshold`."""

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


def check_options(config: TaggerConfig, without_boxes: Mapping[str, object]) -> None:
    """Check that a run with another system does not ask for what only the two stages have.

    Args:
        config: Of the run.
        without_boxes: Values of options that need boxes or gates, by name.

    Raises:
        UserError: If one is given.
    """
    given = [name for name, value in without_boxes.items() if value]
    if config.system and given:
        raise UserError(f"{given[0]} needs the boxes or gates of the two stages, which --system {config.system} lacks")
