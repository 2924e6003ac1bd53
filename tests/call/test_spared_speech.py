"""What must not be interrupted is heard to its end, and nobody is told that it was cut off. In virtual time.

Keys interrupt at once, whatever the bot is saying: what must be heard is said again from where it was cut.
"""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.session import Call
from piopiy_pipeline.session.realtime.realtime_provider import HEARD_NO_MORE
from piopiy_pipeline.testing import Caller, Voice, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import LONG
from tests.support.realtime_providers import PROVIDERS
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import texts

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore:`LLMContext:DeprecationWarning"),
]


@pytest.mark.parametrize("name", list(PROVIDERS))
@pytest.mark.parametrize("speed", [None, 1.2], ids=["all has come", "more comes"])
def test_keys_over_what_must_be_heard_cut_nothing_off(name: str, speed: float | None) -> None:
    heard: list[bool] = []

    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            heard.append(await agent.say(LONG, interruptible=False))

        agent.on("answered", say)

    case = PROVIDERS[name]()("Table seven.", voice=Voice(speed=speed))
    call = case.call(
        Caller().pause(2.5).press("7#").pause(14),
        agent={"greeting": None, "dtmf": "text", "idle": False},
        watch=watch,
    )
    assert heard == [True]
    assert texts(call, "bot") == [LONG, "Table seven."], call.timeline()
    said: list[Any] = [one["content"] for one in case.context if one["role"] == "assistant"]
    assert said == [LONG, "Table seven."]
    session = case.server.session
    assert session.truncations == []
    assert not [one for one in session.received if HEARD_NO_MORE in str(one.body)]


@pytest.mark.parametrize("words", [True, False], ids=["words have times", "they have none"])
def test_with_three_services_too_its_words_are_no_part_of_the_answer_behind_it(words: bool) -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", dtmf="text", idle=False, call=call)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM(["Table seven."]), tts=ToneTTS(words=words))

        async def say(_: object) -> None:
            await agent.say(LONG, interruptible=False)

        agent.on("answered", say)
        await agent.start()

    call = simulate(bot, Caller().pause(2.5).press("7#").pause(14))
    *spared, answer = texts(call, "bot")
    assert " ".join(spared) == LONG, call.timeline()
    assert answer == "Table seven."
