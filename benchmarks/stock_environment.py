"""An environment with stock pipecat and nothing of this project, for benchmarks that compare with it, or with a peer.

It is made by pip (or uv, where it is installed) in a folder of its own, and takes the versions of this environment
wherever both have a package: what is compared is pipecat with its own transport, VAD and observers, and not
two versions of onnxruntime.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["LIVEKIT", "make_environment", "make_stock_environment"]

PIPECAT = "pipecat-ai[websocket]==1.14.0"
LIVEKIT = ("livekit-agents==1.8.9", "soundfile", "soxr")
"""LiveKit Agents, and what the recordings are read with."""
LIMIT_S = 900.0


def make_stock_environment(folder: Path, *, more: Sequence[str] = ()) -> str:
    """Make the environment below `folder`.

    Args:
        folder: An empty folder; the environment takes several hundred MB there.
        more: Packages beside it.

    Returns:
        The path of its interpreter.

    Raises:
        subprocess.CalledProcessError: It could not be installed; what pip said is on stderr.
        subprocess.TimeoutExpired: That took more than a quarter of an hour.
    """
    constraints = folder / "constraints.txt"
    constraints.write_text(
        "".join(
            f"{name}=={package.version}\n"
            for package in importlib.metadata.distributions()
            if (name := package.metadata["Name"]) not in ("piopiy-pipeline", "pipecat-ai")
        )
    )
    return make_environment(folder / "stock", [PIPECAT, *more], constraints)


def make_environment(place: Path, packages: Sequence[str], constraints: Path | None = None) -> str:
    """Make an environment with some packages, and with uvloop if this one has it.

    Args:
        place: The folder that it becomes.
        packages: What is installed, as pip takes it.
        constraints: A file of versions that pip keeps to.

    Returns:
        The path of its interpreter.

    Raises:
        subprocess.CalledProcessError: It could not be installed; what pip said is on stderr.
        subprocess.TimeoutExpired: That took more than a quarter of an hour.
    """
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=LIMIT_S)
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wanted = [*packages, *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
    if importlib.util.find_spec("uv"):
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    kept = ["-c", str(constraints)] if constraints else []
    subprocess.run([*install, *kept, *wanted], check=True, timeout=LIMIT_S)
    return str(python)
