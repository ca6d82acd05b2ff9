"""Joins the stages: tags clips, trains and scores the parts, and provides the command line.

    from pipeline import ActorActionTagger, TaggerConfig

The public names are loaded when they are first used, so importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import TaggerConfig
    from pipeline.results import ClipResult
    from pipeline.tagger import ActorActionTagger

__version__ = "0.1.0"
__all__ = ["ActorActionTagger", "ClipResult", "TaggerConfig", "__version__"]

_MODULES = {
    "ActorActionTagger": "pipeline.tagger",
    "ClipResult": "pipeline.results",
    "TaggerConfig": "pipeline.config",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
