"""A model that hears and speaks itself, by OpenAI's protocol and pipecat's own service. In virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import (
    Caller,
    OpenAIRealtimeServer,
    Replies,
    SimulatedCall,
    Transcripts,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import COUGH
from tests.support.virtual import PEOPLE, YES, spoken_s, texts

GREETING = "Good evening, how can I help you today?"
LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


class Case:
    """A call to a bot whose model is at a server of the test's."""

    def __init__(self, *replies: Any, ears: Transcripts | None = None, **options: Any) -> None:
        self.server = OpenAIRealtimeServer(Replies(*replies), ears=ears, **options)
        self.agent: VoiceAgent | None = None

    def service(self, **options: Any) -> OpenAIRealtimeLLMService:
        return OpenAIRealtimeLLMService(api_key="none", base_url=self.server.url, **options)

    def call(
        self,
        caller: Caller,
        *,
        agent: dict[str, Any] | None = None,
        seed: int = 0,
        watch: Callable[[VoiceAgent], None] = lambda _: None,
        action: dict[str, Any] | None = None,
        run: Callable[[VoiceAgent], Awaitable[Any]] | None = None,
    ) -> SimulatedCall:
        async def bot(call_id: str) -> None:
            async with self.server:
                self.agent = VoiceAgent(
                    **{"instructions": "Be brief.", "greeting": GREETING, **(agent or {})}
                )
                watch(self.agent)
                await self.agent.Action(llm=self.service(), **(action or {}))
                await (run or VoiceAgent.start)(self.agent)

        return simulate(bot, caller, seed=seed)

    @property
    def context(self) -> list[Any]:
        assert self.agent is not None
        assert self.agent.context is not None
        return self.agent.context.get_messages()


def test_a_whole_call() -> None:
    case = Case("A table for two.", "Goodbye.", ears=Transcripts(texts=["a table please", "yes"]))
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    said = [GREETING, "A table for two.", "Goodbye."]
    assert texts(call, "bot") == said
    assert texts(call, "user") == ["a table please", "yes"]
    kept = [message["content"] for message in case.context]
    assert kept == ["Be brief.", GREETING, "a table please", "A table for two.", "yes", "Goodbye."]
    assert [item.text() for item in case.server.session.items.values()] == kept[1:], (
        "the provider has it, too"
    )
    assert not call.of("interruption")
    assert not call.of("error")
    assert spoken_s(call) > 2.9, "and the caller has heard it"
    assert [turn.voice_to_voice is not None for turn in call.turns] == [False, True, True]
    assert case.server.session.heard_s > 10, "the caller's audio reaches the model, at its own rate"


def test_a_barge_in_is_told_the_provider_at_the_position_that_was_heard() -> None:
    case = Case(LONG, "Bye.", ears=Transcripts(texts=["a table please", "goodbye then"]))
    call = case.call(Caller().say(PEOPLE).interrupt(YES, after=1.5))
    session = case.server.session
    (cut,) = session.truncations
    begun = next(event.at for event in call.of("bot_audio") if event.at > 4)
    held = call.of("hold")[0].at
    assert abs(cut.audio_end_ms / 1000 - (held - begun)) <= 0.02, "the speech was held, and not heard on"
    assert cut.audio_end_ms / 1000 < 2, "although all of it was sent"
    said = texts(call, "bot")
    assert said[1]
    assert LONG.startswith(said[1])
    assert session.items[cut.item_id].speech is not None
    its_words, our_words = session.items[cut.item_id].text().split(), said[1].split()
    assert our_words == its_words[: len(our_words)]
    assert len(its_words) - len(our_words) <= 2
    assert said[2:] == ["Bye."]
    kinds = session.kinds()
    assert kinds[-2:] == ["conversation.item.truncate", "response.create"], "the answer knows what was heard"
    assert [m["content"] for m in case.context][-3:] == [said[1], "goodbye then", "Bye."]


def test_a_cough_over_the_answer_cuts_nothing() -> None:
    case = Case(LONG, ears=Transcripts(texts=["a table please", ""]))
    call = case.call(Caller().say(PEOPLE).interrupt(COUGH, after=1.5))
    assert texts(call, "bot") == [GREETING, LONG]
    assert call.of("hold")
    assert call.of("resume")
    assert not call.of("interruption")
    assert case.server.session.truncations == []
    assert case.server.session.count("response.create") == 2
