"""Sentences that callers say: who speaks them, and what is told when nobody can."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.services.tts import speech_synthesis
from piopiy_pipeline.services.tts.speech_synthesis import SynthesisError, synthesize


@pytest.fixture
def flite() -> str:
    path = shutil.which("flite")
    assert path is not None, "the tests need flite: `make test` installs it, or says how"
    return path


def test_one_word_is_spoken_and_not_taken_for_a_file(flite: str) -> None:
    assert np.abs(synthesize("Yes", 16000).astype(int)).max() > 1000


def test_a_sentence_that_is_none_or_too_long_is_told() -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        synthesize("\n ", 16000)
    with pytest.raises(ValueError, match="cut it into turns"):
        synthesize("word " * 1000, 16000)


def test_without_flite_espeak_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_synthesis, "find_voice", lambda: "espeak-ng")
    speech = speech_bounds(synthesize("Good evening.", 8000), 8000)
    assert speech is not None
    assert 0.3 < (speech.end - speech.start) / 8000 < 2.0


def test_without_a_voice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_synthesis, "find_voice", lambda: None)
    with pytest.raises(SynthesisError, match="install flite"):
        synthesize("Hello.", 16000)


def test_a_voice_that_fails_or_never_ends_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    voice = tmp_path / "flite"
    voice.write_text("#!/bin/sh\necho 'no such voice' >&2\nexit 3\n")
    voice.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SynthesisError, match="flite failed: no such voice"):
        synthesize("Hello.", 16000)
    monkeypatch.setattr(speech_synthesis, "_SYNTHESIS_S", 0.2)
    voice.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(SynthesisError, match="did not finish"):
        synthesize("Hello.", 16000)
