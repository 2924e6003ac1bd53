"""`from piopiy.services.deepgram.stt import DeepgramSTTService`: pipecat's services under Piopiy's name.

A module below this package is pipecat's of the same name, the very same object, so that a class is
one class whichever way it was imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_OURS = f"{__name__}."
_THEIRS = "pipecat.services."


class _PipecatsModule(MetaPathFinder, Loader):
    """Finds `piopiy.services.x` where `pipecat.services.x` is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_OURS) or find_spec(_theirs(fullname)) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Put pipecat's module in the place of the empty one that the import system has made."""
        sys.modules[module.__name__] = import_module(_theirs(module.__name__))


def _theirs(name: str) -> str:
    return _THEIRS + name.removeprefix(_OURS)


if not any(isinstance(finder, _PipecatsModule) for finder in sys.meta_path):
    # In front: a file finder would load pipecat's file a second time, under the other name.
    sys.meta_path.insert(0, _PipecatsModule())
