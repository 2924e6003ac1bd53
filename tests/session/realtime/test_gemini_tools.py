"""What a model is told of results that came while no session stood, with no session."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from piopiy_pipeline.compat import gemini_calls, gemini_session
from piopiy_pipeline.compat.gemini_calls import ToolResult
from piopiy_pipeline.session.realtime.gemini_tools import GeminiTools


async def nothing() -> None:
    """Send nothing: no session knows the call."""


def result(name: str, *, wanted: bool) -> ToolResult:
    return ToolResult(name, name, {}, known=False, wanted=wanted, awaited=False, send=nothing)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_result_that_a_session_was_told_is_told_no_second_time_when_the_next_one_fails(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    told: list[str] = []
    fails = [False, True, False]  # the sends, one after the other

    async def note(service: Any, text: str) -> bool:
        if fails.pop(0):
            return False
        told.append(text)
        return True

    async def ask() -> None:
        told.append("asked")

    async def run() -> None:
        service = SimpleNamespace(_session=None)
        tools = GeminiTools(service, begins=lambda: None, awaits=lambda: None, ask=ask)
        tools._keep(result("first", wanted=wanted), result("second", wanted=False))
        await tools.goes_on()
        assert told == ["[Function first returned {}]"]
        await tools.goes_on()

    monkeypatch.setattr(gemini_session, "note", note)
    for taps in ("lead_tools", "name_calls"):
        monkeypatch.setattr(gemini_calls, taps, lambda *_, **__: None)
    asyncio.run(run())
    asked = ["asked"] if wanted else []
    assert told == ["[Function first returned {}]", "[Function second returned {}]", *asked]
