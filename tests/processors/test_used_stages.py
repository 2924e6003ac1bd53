"""A service that was in a call of another event loop is refused in a sentence, in simulations and replays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.testing import Caller, replay
from tests.support.realtime_calls import Case
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, texts

HYBRIDS: dict[str, Callable[[], dict[str, Any]]] = {
    "stt": lambda: {"stt": ScriptedSTT(["a table please"])},
    "tts": lambda: {"tts": ToneTTS(words=True)},
}


@pytest.mark.parametrize("kind", HYBRIDS)
def test_a_service_that_is_made_for_each_call_is_replayed(kind: str, tmp_path: Path) -> None:
    case = Case("For how many?", texts=["a table please"])
    call = case.call(Caller().say(PEOPLE), action=HYBRIDS[kind](), record=tmp_path)
    case.action = HYBRIDS[kind]()
    replayed = replay(next(tmp_path.iterdir()), case.bot)
    assert replayed.differences == []
    assert texts(call, "bot")[-1] == "For how many?"


@pytest.mark.parametrize("kind", HYBRIDS)
def test_a_service_that_was_in_another_call_is_refused(kind: str, tmp_path: Path) -> None:
    case = Case("For how many?", texts=["a table please"])
    case.call(Caller().say(PEOPLE), action=HYBRIDS[kind](), record=tmp_path)
    end = replay(next(tmp_path.iterdir()), case.bot).differences[0]
    assert "at " in str(end.now)
    assert f"{kind!r} has been in another call: make services and stages in the callback" in str(end.now)
