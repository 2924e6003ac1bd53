"""Turns that are left to an STT that tells of none: the caller is heard all the same, and the log says why late."""

from __future__ import annotations

from loguru import logger
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Replies, ScriptedLLM, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ToneTTS
from tests.support.virtual import PEOPLE, YES, info, texts


def test_an_stt_without_turn_events_does_not_make_a_bot_deaf_where_they_are_asked_for() -> None:
    warnings: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle=False)
        stt = ScriptedSTT(Transcripts(texts=("four people", "on Friday", "yes")))
        llm = ScriptedLLM(Replies("On which day?", "Good.", otherwise="Anything else?"))
        await agent.Action(stt=stt, llm=llm, tts=ToneTTS(), turns=ExternalUserTurnStrategies())
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.pause(0.5)
        await line.say(PEOPLE)
        await line.pause(0.5)
        await line.say(YES)
        await line.until("which day")
        await line.say(YES)
        await line.until("good")

    sink = logger.add(lambda line: warnings.append(str(line)), level="WARNING", format="{message}")
    try:
        call = simulate(bot, caller, info=info())
    finally:
        logger.remove(sink)
    assert texts(call, "user") == ["four people on Friday", "yes"]
    assert texts(call, "bot") == ["On which day?", "Good."]
    assert [line for line in warnings if "no turn" in line] == [
        line for line in warnings if line.startswith("ScriptedSTT has sent words and no turn for 2 s")
    ]
    assert sum("no turn" in line for line in warnings) == 1, "it is said once"
