"""A simulated call that loses its agent: what the next one knows, what the caller hears, and what is no longer done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.testing.simulated_agents import TAKEOVER_S
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.scripted_bot import BOOKING, PROVIDERS, booking_caller, create_session, words_of

pytestmark = pytest.mark.usefixtures("either_bot")

FOUR = BOOKING[0]


def at_the_end(call: Any) -> None:
    call.assert_ended("agent_hangup")
    call.assert_no_error()


def test_the_call_goes_on_after_a_quarter_of_a_second_in_its_conversation() -> None:
    call = simulate(
        create_session, booking_caller(), providers=PROVIDERS, losses=[AgentLoss("user_turn", 0.1)]
    )
    [lost], [resumed] = call.of("agent_lost"), call.of("agent_resumed")
    assert resumed.at - lost.at == pytest.approx(TAKEOVER_S)
    assert [turn.number for turn in call.turns] == [0, 1, 2, 3], "no greeting again, no turn twice"
    assert call.turns[1].bot.startswith("On which day")
    call.assert_tool("book_table", people=4)
    at_the_end(call)


def test_the_same_loss_gives_the_same_events() -> None:
    def hash_of(seed: int) -> str:
        losses = [AgentLoss("answered", after_s=5.5), AgentLoss("tool", after_s=0.1)]
        return simulate(
            create_session, booking_caller(), providers=PROVIDERS, losses=losses, seed=seed
        ).event_hash()

    assert hash_of(3) == hash_of(3)


def test_what_the_lost_agent_had_sent_ahead_is_not_heard() -> None:
    call = simulate(
        create_session, booking_caller(), providers=PROVIDERS, losses=[AgentLoss("bot_audio", 0.5, number=2)]
    )
    [lost] = call.of("agent_lost")
    at = round(lost.at * call.rate)
    silent = call.bot_audio[at + call.rate // 50 : at + round(TAKEOVER_S * call.rate)]
    assert not silent.any()
    at_the_end(call)


def test_what_is_said_and_pressed_while_nobody_has_the_call_is_kept_for_the_next_agent() -> None:
    keys: list[str] = []

    async def bot(call: Call) -> None:
        call.on("dtmf", lambda digits: keys.append(digits))
        await create_session(call.info.call_id)

    async def caller(line: CallerLine) -> None:
        await line.at(1.4)
        await line.say(FOUR, text=words_of(FOUR), wait=False)
        await line.at(1.5)
        await line.press("7")
        await line.my_turn()

    call = simulate(bot, caller, providers=PROVIDERS, losses=[AgentLoss("answered", after_s=1.4)])
    call.assert_understood("I would like to book a table for four people")
    assert keys == ["7"]


def test_nothing_of_four_seconds_that_come_at_once_is_dropped_before_it_is_heard() -> None:
    recording = AUDIO / "booking_at_once/01-everything.wav"
    words = "Hello, I would like to book a table for two people on Friday at seven, please."
    providers = Providers(stt=Transcripts(), llm=Replies(otherwise="Very well."), tts=Voice())
    warnings: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""), llm=ScriptedLLM(Replies()), tts=ScriptedTTS()
        )
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.at(1.4)
        await line.say(recording, text=words)
        await line.my_turn()

    sink = logger.add(lambda line: warnings.append(line.record["message"]), level="WARNING")
    try:
        call = simulate(bot, caller, providers=providers, losses=[AgentLoss("answered", after_s=5.3)])
    finally:
        logger.remove(sink)
    assert call.of("agent_resumed")
    call.assert_understood(words)
    assert not [line for line in warnings if "VAD" in line]


def test_several_losses_one_soon_after_the_other() -> None:
    losses = [AgentLoss("user_turn"), AgentLoss("agent_lost", after_s=TAKEOVER_S + 0.02), AgentLoss("tool")]
    call = simulate(create_session, booking_caller(), providers=PROVIDERS, losses=losses)
    assert len(call.of("agent_lost")) == 3
    at_the_end(call)


def test_a_caller_who_hangs_up_while_nobody_has_the_call_ends_it() -> None:
    async def caller(line: CallerLine) -> None:
        await line.at(1.1)

    call = simulate(create_session, caller, providers=PROVIDERS, losses=[AgentLoss(after_s=1.0)])
    call.assert_ended("caller_hangup")
    assert call.duration_s == pytest.approx(1.1, abs=0.03)


def test_a_lost_agent_does_nothing_more() -> None:
    done: list[str] = []

    async def slow(params: FunctionCallParams) -> None:
        """Do something slow."""
        await asyncio.sleep(1.0)
        done.append("slow")
        await params.result_callback({"done": True})

    async def bot(call: Call) -> None:
        async def beside() -> None:
            await asyncio.sleep(9.0)  # it is lost after 7.8 s
            done.append("beside")

        if call.resumed is None:
            beside_it = asyncio.create_task(beside())
            call.on("end", lambda end: done.append(f"end {beside_it}"))
        agent = VoiceAgent(instructions="Be brief.", tools=[slow], call=call, filler=None)
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""), llm=ScriptedLLM(Replies()), tts=ScriptedTTS()
        )
        await agent.start()

    providers = Providers(
        stt=Transcripts(latency=0.3), llm=Replies((Tool("slow"), "It may be done.")), tts=Voice()
    )
    caller = Caller().say(FOUR, text=words_of(FOUR)).until("may be done")
    simulate(bot, caller, providers=providers, losses=[AgentLoss("tool", after_s=0.5)])
    assert done == []


@pytest.mark.three_services("there is one service")
def test_a_model_of_a_list_goes_on_where_the_script_is() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, filler=None)
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""),
            llm=[ScriptedLLM(Replies()), ScriptedLLM(Replies())],
            tts=ScriptedTTS(),
        )
        await agent.start()

    providers = Providers(stt=Transcripts(latency=0.3), llm=Replies("First.", "Second."), tts=Voice())
    caller = (
        Caller().say(FOUR, text=words_of(FOUR)).until("First").say(FOUR, text=words_of(FOUR)).until("Second")
    )
    simulate(bot, caller, providers=providers, losses=[AgentLoss("bot_stopped", 0.5)]).assert_no_error()


def test_mistakes_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="losses: 4 are too many"):
        simulate(create_session, booking_caller(), losses=[AgentLoss()] * 4)
    with pytest.raises(ValueError, match="a recording is of one agent"):
        simulate(create_session, booking_caller(), losses=[AgentLoss()], record=tmp_path)
    with pytest.raises(TypeError, match="losses must be a list of AgentLoss, not 3"):
        simulate(create_session, booking_caller(), losses=[3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="AgentLoss: after_s must be 0 seconds or more"):
        AgentLoss("tool", after_s=-1)


@pytest.mark.parametrize("after_s", [0.0, 0.2, 1.0, 2.4])
def test_a_bot_that_was_saying_goodbye_hangs_up_all_the_same(after_s: float) -> None:
    losses = [AgentLoss("tool_result", after_s=after_s, number=2)]
    call = simulate(create_session, booking_caller(), providers=PROVIDERS, losses=losses)
    assert call.of("agent_lost")
    call.assert_said("goodbye")
    at_the_end(call)


def test_the_texts_of_a_scripted_stt_go_on_where_they_were_with_the_next_agent() -> None:
    ears = Transcripts(texts=["one", "two", "three"])
    providers = Providers(stt=ears, llm=Replies("First.", "Second.", "Third."), tts=Voice())
    caller = Caller().say(FOUR).say(FOUR).say(FOUR)
    losses = [AgentLoss("bot_turn", 0.3, number=2)]
    call = simulate(create_session, caller, providers=providers, losses=losses)
    assert len(call.of("agent_resumed")) == 1
    assert [event.data["text"] for event in call.of("user_turn")] == ["one", "two", "three"]
