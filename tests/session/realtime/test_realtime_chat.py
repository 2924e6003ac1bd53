"""A text chat with a bot whose model hears and speaks: its provider's session is told to write."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams, LLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    GeminiLiveServer,
    SimulatedCall,
    Tool,
    simulate,
)
from piopiy_pipeline.testing.realtime.scripted_model import Endless
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.services import ScriptedSTT, ToneTTS

KINDS: dict[str, Any] = {
    "alone": dict,
    "our turns": lambda: {"turns": "smart"},
    "at once": lambda: {"interruption": "immediate"},
    "a voice of its own": lambda: {"tts": ToneTTS()},
    "ears of its own": lambda: {"stt": ScriptedSTT([])},
}


class Chat(Case):
    """A chat with a bot whose model is at a server of the test's."""

    def chat(self, caller: Any, *, losses: Any = (), agent: Any = None, action: Any = None) -> SimulatedCall:
        async def bot(call: Call) -> None:
            if not self.server.address:
                await self.server.start()
            made = VoiceAgent(**{"instructions": "Be brief.", "greeting": GREETING, **(agent or {})})
            self.agents.append(made)
            await made.Action(llm=self.make_service(), **(action or {}))
            await made.start()

        return simulate(bot, caller, by="text", losses=losses)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_whole_chat(kind: Any) -> None:
    chat = Chat("For how many?", "It is booked.")
    call = chat.chat(Caller().say("A table please").say("For two"), action=kind())
    said = [GREETING, "A table please", "For how many?", "For two", "It is booked."]
    assert chat.said == said
    session = chat.server.session
    assert session.config.body["output_modalities"] == ["text"]
    assert [item.text() for item in session.items.values()] == said, "the provider has the greeting, too"
    assert not session.heard_s
    assert not call.of("error")
    assert not call.bot_audio.any()


def test_tools_run_and_the_bot_hangs_up_when_its_goodbye_was_shown() -> None:
    async def bye(params: FunctionCallParams) -> None:
        """End the chat."""
        await chat.agents[-1].hangup()
        await params.result_callback({"ok": True})

    chat = Chat((Tool("bye"), "So long, and thank you for everything."))
    call = chat.chat(Caller().say("Bye"), agent={"tools": [bye]})
    call.assert_tool("bye")
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert "".join(event.data["text"] for event in call.of("shown")).strip().endswith("for everything.")


def test_what_was_shown_of_an_answer_is_what_the_provider_knows_of_it() -> None:
    async def caller(line: CallerLine) -> None:
        await line.say("Go on.")
        await line.pause(1.5)
        await line.say("Stop.", wait=True)
        await line.my_turn()

    chat = Chat(LONG, "Bye.", reply_faults={1: Endless(text_speed=1.0)})
    call = chat.chat(caller, agent={"greeting": None})
    shown = "".join(event.data["text"] for event in call.of("shown"))
    going, stopping = [turn for turn in call.turns if turn.user]
    assert shown.startswith(going.bot)
    assert 3 <= len(going.bot.split()) < 20
    assert going.interrupted
    assert (stopping.user, stopping.bot) == ("Stop.", "Bye.")
    assert [one["content"] for one in chat.server.session.conversation()[1:]] == [
        "Go on.",
        going.bot,
        "Stop.",
        "Bye.",
    ]


def test_an_agent_that_is_lost_is_followed_by_one_that_knows_the_chat() -> None:
    chat = Chat("One.", "Two.")
    call = chat.chat(
        Caller().say("first").pause(2).say("second"), losses=[AgentLoss("bot_turn", number=2, after_s=0.2)]
    )
    assert len(call.of("agent_resumed")) == 1
    assert chat.said == [GREETING, "first", "One.", "second", "Two."]


def test_keys_are_a_turn() -> None:
    chat = Chat("Thank you.")
    chat.chat(Caller().press("12#").pause(3), agent={"greeting": None, "dtmf": "text"})
    assert chat.said == ["12", "Thank you."]


class GeminiChat(Chat):
    """The same with Google's model."""

    make_server = GeminiLiveServer
    model = "models/gemini-live-2.5-flash-preview"

    def make_service(self, **options: Any) -> LLMService[Any]:
        pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
        from tests.support.gemini_calls import gemini_service

        return gemini_service(self.server.url, self.model)


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
def test_a_model_of_googles_that_writes_chats() -> None:
    chat = GeminiChat("For how many?", "It is booked.")
    call = chat.chat(Caller().say("A table please").say("For two"))
    assert chat.said == [GREETING, "A table please", "For how many?", "For two", "It is booked."]
    assert chat.server.session.setup["generation_config"]["response_modalities"] == ["TEXT"]
    assert not call.of("error")


def test_a_model_of_native_audio_is_refused_in_a_sentence() -> None:
    chat = GeminiChat("Hello.")
    chat.model = "models/gemini-2.5-flash-native-audio"
    call = chat.chat(Caller().say("Hello"))
    assert "answers in speech alone" in call.end_detail
    assert not call.of("answered")
