"""What an interruption leaves in the context, with voices that tell their words and voices that do not."""

from __future__ import annotations

import pytest

from piopiy_pipeline.testing import Caller, Providers, Replies, Transcripts, Voice, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

pytestmark = pytest.mark.usefixtures("either_bot")

LONG = (
    "We have a table by the window. Another one is out on the terrace, under the old trees. Which one is it?"
)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("words", [True, False])
def test_the_context_holds_what_was_heard_of_an_answer_that_was_cut_off(words: bool, eager: bool) -> None:
    contexts: list[list[dict[str, str]]] = []

    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.")
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS(words=words), eager=eager)
        await agent.start()
        assert agent.context is not None
        contexts.append(agent.context.get_messages())  # type: ignore[arg-type]

    caller = (
        Caller()
        .say(AUDIO / "booking/01-people.wav", text="a table please")
        .interrupt(AUDIO / "booking/03-yes.wav", text="yes", after=3.0)
        .pause(3)
        .hangup()
    )
    providers = Providers(
        stt=Transcripts(), llm=Replies(LONG, "Fine."), tts=Voice(seconds_per_character=0.06)
    )
    call = simulate(bot, caller, providers=providers)
    cut = next(turn for turn in call.events if turn.kind == "bot_turn" and turn.data["interrupted"])
    heard = cut.data["text"]
    assert LONG.startswith(heard), call.timeline()
    assert 30 < len(heard) < 65, f"about 3.2 s of it were heard, at 60 ms a letter: {heard!r}"
    assert heard in [m.get("content") for m in contexts[0]]
