"""The version of this package, in a module of its own: whoever needs it need not import the package."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
