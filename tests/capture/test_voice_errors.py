"""A voice that fails in a call fails in its replay, in whatever way its service reports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import ErrorFrame, Frame

from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, replay, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import YES

FAULT = "the stream broke off"


class Fails(ToneTTS):
    """Fails at the first text: the greeting, which nobody begins ahead."""

    def __init__(self) -> None:
        super().__init__()
        self._texts = 0

    async def fail(self) -> Frame | None:
        raise NotImplementedError

    async def run_tts(self, text: str, context_id: str) -> Any:
        self._texts += 1
        if self._texts == 1:
            if (frame := await self.fail()) is not None:
                yield frame
            return
        async for frame in super().run_tts(text, context_id):
            yield frame


class Yields(Fails):
    async def fail(self) -> Frame:
        return ErrorFrame(FAULT)


class Pushes(Fails):
    async def fail(self) -> None:
        await self.push_error(FAULT)


class Raises(Fails):
    async def fail(self) -> None:
        raise ConnectionError(FAULT)


def bot_with(voice: Callable[[], ToneTTS]) -> Any:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good evening.", error_line="Sorry.", call=call)
        llm = ScriptedLLM(["For how many?", "For how many people?"])
        await agent.Action(stt=ScriptedSTT(["a table please"]), llm=llm, tts=voice())
        await agent.start()

    return bot


def happened(capture: CapturedCall) -> list[tuple[str, Any]]:
    kinds = ("error", "user_turn", "bot_turn")
    return [(event.kind, event.data.get("text")) for event in capture.events if event.kind in kinds]


@pytest.mark.parametrize("voice", [Yields, Pushes, Raises])
def test_an_error_of_a_voice_is_noted_once_and_happens_again_in_a_replay(
    voice: type[Fails], tmp_path: Path
) -> None:
    simulate(bot_with(voice), Caller().say(YES).pause(6).hangup(), record=tmp_path / "call.zip")
    capture = CapturedCall(tmp_path / "call.zip")
    errors = [line for line in capture.exchanges if (line.stage, line.kind) == ("tts", "error")]
    assert [FAULT in line.data["message"] for line in errors] == [True]
    assert ("error", None) in happened(capture)
    again = replay(capture, bot_with(ToneTTS))  # which does not fail by itself
    assert happened(again.replayed) == happened(capture)
