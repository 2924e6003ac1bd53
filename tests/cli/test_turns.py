"""What is typed becomes a script: recordings first, then sentences; what is wrong with them is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.turns import load_script
from piopiy_pipeline.services.tts import speech_synthesis

RECORDING = Path(__file__).parents[1] / "audio" / "booking" / "03-yes.wav"


def test_each_recording_and_each_sentence_is_a_step() -> None:
    assert len(load_script([RECORDING], ["Good evening.", "Goodbye."], 16000).steps) == 3


def test_what_cannot_be_read_or_said_is_told_before_anybody_calls(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^\S*none\.wav: no such file"):
        load_script([tmp_path / "none.wav"], [], 16000)
    with pytest.raises(BadInput, match=r"^--say: .*nothing to say"):
        load_script([], [" "], 16000)


def test_without_a_voice_the_command_fails_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_synthesis, "find_voice", lambda: None)
    with pytest.raises(Failed, match=r"^--say: .*install flite"):
        load_script([], ["Nobody has said this before, either."], 16000)
