"""The speech model out of the wheel for another machine: by the real pip and uv, from a folder for a registry."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from piopiy_pipeline.services.stt import moonshine_download
from piopiy_pipeline.services.stt.moonshine_download import SHA256, DownloadFailed, download_speech_model

NAME = "moonshine_voice-0.0.73"
INFO = f"{NAME}.dist-info"
METADATA = "Metadata-Version: 2.1\nName: moonshine-voice\nVersion: 0.0.73\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-manylinux_2_34_x86_64\n"


def installed_model() -> Path:
    spec = find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("moonshine-voice has no wheel for this machine")
    return Path(spec.submodule_search_locations[0]) / "assets" / "tiny-en"


def registry_with(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip and uv find one wheel, for a machine that may not be this one, and nothing else."""
    wheel = folder / f"{NAME}-py3-none-manylinux_2_34_x86_64.whl"
    with ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"moonshine_voice/assets/tiny-en/{name}", content)
        archive.writestr(f"{INFO}/METADATA", METADATA)
        archive.writestr(f"{INFO}/WHEEL", WHEEL)
        archive.writestr(f"{INFO}/RECORD", "")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("UV_CACHE_DIR", str(folder / "cache"))


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_model_is_taken_out_of_another_machines_wheel(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = installed_model()
    if tool == "uv":  # which makes environments without pip
        monkeypatch.setattr(moonshine_download, "find_spec", lambda _: None)
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    elif find_spec("pip") is None:
        pytest.skip("this environment has no pip")
    registry_with(tmp_path, {name: (model / name).read_bytes() for name in SHA256}, monkeypatch)
    folder = download_speech_model(tmp_path / "share" / "tiny-en")
    assert sorted(path.name for path in folder.iterdir()) == sorted(SHA256)
    assert (folder / "tokenizer.bin").read_bytes() == (model / "tokenizer.bin").read_bytes()


def test_other_files_than_the_known_ones_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry_with(tmp_path, dict.fromkeys(SHA256, b"something else"), monkeypatch)
    with pytest.raises(
        DownloadFailed, match=r"holds another encoder_model\.ort than expected: nothing was kept"
    ):
        download_speech_model(tmp_path / "tiny-en")
    assert not (tmp_path / "tiny-en").exists()


def test_a_registry_without_the_wheel_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(DownloadFailed, match=r"^moonshine-voice==0\.0\.73 cannot be had: [^\n]+$"):
        download_speech_model(tmp_path / "tiny-en")
