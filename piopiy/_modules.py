"""Finds `piopiy.x.y` where pipecat's module of today, or ours, is.

A module is the very module that it leads to. A package, and a module whose names have changed, is a view: a
module of its own in which each name is the object that it leads to, so that nothing is set on pipecat's packages.
Nothing is imported before it is asked for. What is gone is an error that names its successor.

It stands in a file of its own, and not in the package's: where PyPI's package `piopiy` was installed after this
one, its `__init__.py` is the package's, and each of the packages here asks for this module by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from piopiy._moved import EMPTY, GONE, GONE_NAMES, MOVED, RENAMED, VIEWS, WHY

__all__ = ["PublishedModules", "View", "install", "stand_in"]

_FACE = "piopiy."
_WITH_SERVICES = ("pipecat.services.",)  # whose packages showed the names of their modules


class View(ModuleType):
    """A module whose names are those of others."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name == "__all__":
            return self.__dir__()
        if path := RENAMED.get(self.__name__, {}).get(name):
            module, _, now = path.rpartition(".")
            return getattr(import_module(module), now)
        if successor := GONE_NAMES.get(self.__name__, {}).get(name):
            raise ImportError(
                f"{name} of {self.__name__} is gone. Use {successor} instead.", name=self.__name__
            )
        if _leads_to(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        failed: ImportError | None = None
        for target in _by_kind(targets_of(self.__name__), name):
            try:
                module_of = import_module(target)
            except ImportError as error:  # of a provider whose SDK is not here
                failed = failed or _with_extra(self.__name__, target, error)
                continue
            if hasattr(module_of, name):
                return getattr(module_of, name)
        if failed is not None:
            raise ImportError(
                f"{self.__name__} has no {name} without more packages: {failed}"
            ) from failed.__cause__
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        names: set[str] = set(RENAMED.get(self.__name__, ()))
        for target in targets_of(self.__name__):
            try:
                names |= {name for name in dir(import_module(target)) if not name.startswith("_")}
            except ImportError:
                continue
        return sorted(names)


class PublishedModules(MetaPathFinder, Loader):
    """The finder, and the loader of what it finds."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module below `piopiy` is found, or None for one of a file of this package.

        Raises:
            ModuleNotFoundError: There is no such module any more. The message names its successor.
        """
        if not fullname.startswith(_FACE):
            return None
        if gone := _gone(fullname):
            why = WHY.get(gone, "is gone from the pipecat of today.")
            raise ModuleNotFoundError(f"{fullname} {why} Use {GONE[gone]} instead.", name=fullname)
        if _leads_to(fullname) is None:
            return None
        return ModuleSpec(fullname, self, is_package=is_view(fullname))

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the empty module of a view; the import system makes the others."""
        return View(spec.name) if is_view(spec.name) else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module itself in the place of the empty one that the import system has made."""
        name = module.__name__
        if isinstance(module, View):
            module.__doc__ = (
                f"What `{name}` of Piopiy's SDK leads to: {', '.join(targets_of(name)) or 'modules'}."
            )
        else:
            place = str(_leads_to(name))
            try:
                sys.modules[name] = import_module(place)
            except ImportError as error:
                raise _with_extra(name, place, error) from error


def targets_of(name: str) -> tuple[str, ...]:
    """Return the modules in which the names of a view are looked up."""
    if name in VIEWS:
        return VIEWS[name]
    if name in EMPTY:
        return ()
    target = _place_of(name)
    found = _spec_of(target)
    if found is None or not target.startswith(_WITH_SERVICES):
        return (target,)
    modules = [
        file.stem if file.is_file() else file.name
        for folder in found.submodule_search_locations or ()
        for file in sorted(Path(folder).iterdir())
        if not file.name.startswith("_") and (file.suffix == ".py" or (file / "__init__.py").is_file())
    ]
    return (target, *(f"{target}.{module}" for module in modules))


def is_view(name: str) -> bool:
    """Return whether a module that is found is a view."""
    if name in VIEWS or name in EMPTY:
        return True
    found = _spec_of(_place_of(name))
    return found is not None and found.submodule_search_locations is not None


def install() -> None:
    """Have the modules found from now on. In front: a file finder would load pipecat's files a second time."""
    if not any(isinstance(finder, PublishedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, PublishedModules())


def stand_in(name: str) -> None:
    """Put what a package leads to in its place. See the file of any package here."""
    install()
    spec = PublishedModules().find_spec(name, None)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = View(name)
    module.__spec__, module.__loader__, module.__path__ = spec, spec.loader, []
    sys.modules[name] = module


def _with_extra(name: str, place: str, error: ImportError) -> ImportError:
    """Return the error of a provider whose SDK is not here, with what installs it."""
    if not place.startswith(_WITH_SERVICES) or (error.name or "").startswith("pipecat"):
        return error
    provider = place.split(".")[2].replace("_", "-")
    for package in ("piopiy-pipeline", "pipecat-ai"):
        try:
            extras = metadata.metadata(package).get_all("Provides-Extra") or []
        except metadata.PackageNotFoundError:
            continue
        if provider in extras:
            told = ImportError(f"{name}: {error}: pip install '{package}[{provider}]'", name=name)
            told.__cause__ = error
            return told
    return error


def _by_kind(targets: Sequence[str], name: str) -> list[str]:
    """Return the modules, first that of the kind of service which the name has: `OpenAILLMService` is in `llm`."""
    return sorted(targets, key=lambda target: target.rpartition(".")[2] not in name.lower())


def _gone(name: str) -> str | None:
    """Return the module that is gone, this one or one that it is in, or None."""
    return next((above for above in _self_and_above(name) if above in GONE), None)


def _leads_to(name: str) -> str | None:
    """Return the module that this one is, the name of a view for itself, or None: there is none."""
    if name in VIEWS or name in EMPTY:
        return name
    if _gone(name):
        return None
    place = _place_of(name)
    try:
        return place if _spec_of(place) is not None else None
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            return None  # its package is not there
        raise


def _spec_of(place: str) -> ModuleSpec | None:
    """Return where a module is found. One that a program has put there by hand is where it is."""
    module = sys.modules.get(place)
    if module is not None and getattr(module, "__spec__", None) is None:
        return ModuleSpec(place, None, is_package=hasattr(module, "__path__"))
    return find_spec(place)


def _place_of(name: str) -> str:
    for above in _self_and_above(name):
        if above in MOVED:
            return MOVED[above] + name.removeprefix(above)
    return f"pipecat.{name.removeprefix(_FACE)}"


def _self_and_above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 1, -1)]


install()
