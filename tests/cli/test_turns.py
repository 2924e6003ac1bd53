"""The script of a call: recordings first, then sentences, each with the bounds of its speech."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from piopiy_pipeline.cli import turns
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.turns import load_script, synthesize

RECORDING = Path(__file__).parents[1] / "audio" / "booking" / "03-yes.wav"


@pytest.fixture
def flite() -> str:
    path = shutil.which("flite")
    assert path is not None, "the tests need flite: `make test` installs it, or says how"
    return path


@pytest.mark.parametrize("rate", [8000, 16000])
def test_recordings_come_before_sentences_and_each_knows_where_it_speaks(flite: str, rate: int) -> None:
    script = load_script([RECORDING], ["Good evening.", "Goodbye."], rate, telephone=False)
    assert [turn.name for turn in script] == ["03-yes.wav", "“Good evening.”", "“Goodbye.”"]
    for turn in script:
        assert 0 <= turn.speech.start < turn.speech.end <= turn.pcm.size
        assert 0.2 < (turn.speech.end - turn.speech.start) / rate < 2.0


def test_one_word_is_spoken_and_not_taken_for_a_file(flite: str) -> None:
    assert np.abs(synthesize("Yes", 16000).astype(int)).max() > 1000


def test_a_telephones_turn_has_been_through_g711() -> None:
    (plain,) = load_script([RECORDING], [], 8000, telephone=False)
    (telephone,) = load_script([RECORDING], [], 8000, telephone=True)
    assert telephone.pcm.size == plain.pcm.size
    assert len(np.unique(telephone.pcm)) <= 255 < len(np.unique(plain.pcm))


def test_a_sentence_that_is_none_or_too_long_is_told() -> None:
    with pytest.raises(BadInput, match="nothing to say"):
        synthesize("\n ", 16000)
    with pytest.raises(BadInput, match="cut it into turns"):
        synthesize("word " * 1000, 16000)


def test_without_flite_espeak_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "find_voice", lambda: "espeak-ng")
    (turn,) = load_script([], ["Good evening."], 8000, telephone=True)
    assert 0.3 < (turn.speech.end - turn.speech.start) / 8000 < 2.0


def test_without_a_voice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "find_voice", lambda: None)
    with pytest.raises(Failed, match="install flite"):
        synthesize("Hello.", 16000)


def test_a_voice_that_fails_or_never_ends_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    voice = tmp_path / "flite"
    voice.write_text("#!/bin/sh\necho 'no such voice' >&2\nexit 3\n")
    voice.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Failed, match="flite failed: no such voice"):
        synthesize("Hello.", 16000)
    monkeypatch.setattr(turns, "_SYNTHESIS_S", 0.2)
    voice.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(Failed, match="did not finish"):
        synthesize("Hello.", 16000)
