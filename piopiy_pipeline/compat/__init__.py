"""Everything that this project uses of other packages beyond their documented interface, in one file for each
package.

A new release of such a package may rename what is used here without notice. So each file checks at import
that everything it uses is still there, and raises `CompatError` with the name of what is missing. Without
the check, the first call would fail instead, somewhere in the middle of a conversation.
pyproject.toml holds these packages to the minor version that the files were written for.
This is ground floor: the gateway's side and the agent's side may both import it, but only the agent's
side may import `compat.pipecat`.
"""

from __future__ import annotations

import dis
import inspect
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from types import FunctionType

__all__ = ["CompatError", "check_attributes", "check_parameters"]


class CompatError(RuntimeError):
    """An installed package lacks something that this project uses. It is no `ImportError`, which would be
    taken for an optional package that is not installed."""

    def __init__(self, package: str, missing: str, *, written_for: str, used_in: str) -> None:
        """Args:
        package: The name of the distribution, as pip knows it, or ``Python``.
        missing: What the installed version lacks, such as ``RTCRtpSender has no _ssrc``.
        written_for: The versions that this project was written for, such as ``>=1.16,<1.17``.
        used_in: The module that uses it, as its ``__name__``.
        """
        file = f"{used_in.replace('.', '/')}.py"
        remedy = f"use that Python, or change {file} for this one"
        try:
            version = platform.python_version() if package == "Python" else metadata.version(package)
        except metadata.PackageNotFoundError:
            version = "(unknown version)"
        if package != "Python":
            remedy = (
                f"install that with pip install '{package}{written_for}', or change {file} for this version"
            )
        super().__init__(
            f"{package} {version}: {missing}. piopiy_pipeline was written for {package}{written_for}: {remedy}"
        )


def check_attributes(
    package: str, needed: Iterable[tuple[object, str]], *, written_for: str, used_in: str
) -> None:
    """Check that classes, modules and objects have the attributes that are used of them.

    An attribute of a class may also be one that its ``__init__`` assigns to the instance.

    Args:
        package: The name of the distribution.
        needed: Pairs of an owner (class, module or object) and the name of an attribute.
        written_for: The versions that this project was written for.
        used_in: The module that uses them, as its ``__name__``.

    Raises:
        CompatError: At least one attribute is missing. The message names all of them.
    """
    missing = [f"{_name(owner)} has no {name}" for owner, name in needed if not _has(owner, name)]
    if missing:
        raise CompatError(package, ", ".join(missing), written_for=written_for, used_in=used_in)


def check_parameters(
    package: str, function: object, parameters: Iterable[str], *, written_for: str, used_in: str
) -> None:
    """Check that a function still takes the parameters that are passed to it.

    Args:
        package: The name of the distribution.
        function: The function or method.
        parameters: The names of the parameters. Order and further parameters do not matter.
        written_for: The versions that this project was written for.
        used_in: The module that uses them, as its ``__name__``.

    Raises:
        CompatError: It is no function, or a parameter is missing.
    """
    if not callable(function):
        raise CompatError(
            package, f"{_name(function)} cannot be called", written_for=written_for, used_in=used_in
        )
    taken = inspect.signature(function).parameters
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
    missing = [] if anything else [name for name in parameters if name not in taken]
    if missing:
        text = f"{_name(function)} has no parameter {', '.join(missing)}"
        raise CompatError(package, text, written_for=written_for, used_in=used_in)


def _has(owner: object, name: str) -> bool:
    if hasattr(owner, name):
        return True
    if not inspect.isclass(owner):
        return False
    makers = (vars(base).get("__init__") for base in owner.__mro__)
    return any(name in _assigned(maker) for maker in makers if inspect.isfunction(maker))


@cache
def _assigned(function: FunctionType) -> frozenset[str]:
    """Return the names of the attributes that a function assigns, of whatever object."""
    return frozenset(step.argval for step in dis.get_instructions(function) if step.opname == "STORE_ATTR")


def _name(owner: object) -> str:
    return str(getattr(owner, "__qualname__", None) or getattr(owner, "__name__", type(owner).__name__))
