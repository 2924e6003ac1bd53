"""Values that are collected, and text chats, with providers that follow OpenAI's protocol in a dialect of theirs."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest

from piopiy_pipeline.testing import Caller, CallerLine
from tests.collect.test_realtime_collecting import CollectingCase, CollectingGeminiCase, ask_code, ears
from tests.session.realtime.test_realtime_chat import Chat
from tests.support.collected_kinds import EACH, Kind
from tests.support.collecting import VOICE, say, value_of
from tests.support.realtime_calls import GREETING, Case
from tests.support.realtime_providers import GrokCase, InworldCase, VoiceLiveCase
from tests.support.virtual import texts

WORK: dict[str, tuple[type[Case], dict[str, Any]]] = {
    "grok, our turns": (GrokCase, {"turns": 0.5}),
    "inworld": (InworldCase, {}),
    "inworld, our turns": (InworldCase, {"turns": 0.5}),
    "inworld, at once": (InworldCase, {"interruption": "immediate"}),
    "voice live": (VoiceLiveCase, {}),
    "voice live, our turns": (VoiceLiveCase, {"turns": 0.5}),
    "voice live, at once": (VoiceLiveCase, {"interruption": "immediate"}),
}


def collecting(kind: type[Case], *replies: Any, **options: Any) -> CollectingCase:
    class Collecting(CollectingCase, kind):  # type: ignore[misc,valid-type]
        pass

    return Collecting(*replies, **options)


@pytest.mark.parametrize(("kind", "action"), WORK.values(), ids=WORK)
def test_a_value_is_collected_and_then_the_turns_are_the_models_again(
    kind: type[Case], action: dict[str, Any]
) -> None:
    case = collecting(kind, "You are welcome.", texts=["four one five seven", "yes", "thank you"])
    call = case.collect(ask_code, say("1", "2", "3"), action=action)
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot") == [
        "What is your code?",
        "I have 4 1 5 7. Is that right?",
        "You are welcome.",
    ]
    assert not call.of("error")
    assert not [message.body for message in case.server.session.sent if message.kind == "error"]


MAKERS: dict[str, tuple[type[Case] | None, dict[str, Any]]] = {
    "grok, our turns": WORK["grok, our turns"],
    "inworld": WORK["inworld"],
    "voice live": WORK["voice live"],
    "gemini, ears of one's own": (None, {}),
}


@EACH
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
def test_each_kind_of_value_wrong_then_corrected_and_cut_off(kind: Kind, maker: str) -> None:
    """The wrong answer comes over the question, and the correction over what is read back.

    The model fails when it is asked to read an answer: it has no reply. Then the caller is asked again.
    """
    answers = [kind.wrong, *kind.corrected]

    async def caller(line: CallerLine) -> None:
        for text, over in zip(answers, cycle((True, False)), strict=False):
            await (line.speech(after=0.5) if over else line.my_turn())
            await line.say(VOICE, text=text)
        await line.my_turn()
        await line.pause(2)

    made, action = MAKERS[maker]
    if made is None:
        case: CollectingCase = CollectingGeminiCase(texts=[])
        action = {"stt": ears(*answers)}
    else:
        case = collecting(made, texts=answers)
    call = case.collect(kind.form, caller, action=action)
    assert value_of(case.outcomes) == kind.value, call.timeline()
    assert texts(call, "user") == answers
    assert not call.of("error")


@pytest.mark.parametrize("kind", [InworldCase, VoiceLiveCase])
def test_a_secret_is_taken_out_of_the_conversation(kind: type[Case]) -> None:
    case = collecting(kind, texts=["four one five seven", "yes"])
    call = case.collect(lambda call: ask_code(call, redact=True), say("1", "2").pause(3))
    assert value_of(case.outcomes) == "4157"
    known = str(case.server.session.conversation())
    assert "four one" not in known
    assert "4 1 5 7" not in known
    assert "[redacted]" in known
    assert not call.of("error")


def test_a_provider_that_ends_turns_and_answers_by_itself_is_refused() -> None:
    case = collecting(GrokCase, texts=["hello"])
    case.collect(ask_code, Caller().pause(2))
    assert "GrokRealtimeLLMService answers each turn of the caller by itself, as its turns are set up" in str(
        case.outcomes[0]
    )


def test_a_chat_with_voice_live() -> None:
    class VoiceLiveChat(Chat, VoiceLiveCase):
        pass

    chat = VoiceLiveChat("For how many?", "It is booked.")
    call = chat.chat(Caller().say("A table please").say("For two"))
    assert chat.said == [GREETING, "A table please", "For how many?", "For two", "It is booked."]
    assert not call.of("error")


@pytest.mark.parametrize("kind", [GrokCase, InworldCase])
def test_a_chat_with_a_model_that_does_not_write_is_refused(kind: type[Case]) -> None:
    class MuteChat(Chat, kind):  # type: ignore[misc,valid-type]
        pass

    call = MuteChat("Hello.").chat(Caller().say("Hello"))
    assert "hears and speaks, and does not chat" in call.end_detail
