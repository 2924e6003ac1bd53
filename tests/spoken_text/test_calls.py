"""Whole calls: the caller hears words, and the context, events and captions hold what the model wrote."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.testing import Caller, Providers, Replies, Transcripts, Voice, simulate
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

PRICE = "The room with breakfast costs $1,234.56 for the three nights, is that fine with you?"
SAID = (
    "The room with breakfast costs one thousand two hundred thirty-four dollars and fifty-six cents"
    " for the three nights, is that fine with you?"
)
S_PER_CHARACTER = 0.06


def in_a_call(
    answer: str, *, words: bool, cut_after: float | None = None, **options: Any
) -> tuple[SimulatedCall, list[dict[str, str]], list[str]]:
    """Return the call, the context at its end, and what the voice was asked to say."""
    contexts: list[list[dict[str, str]]] = []
    texts: list[str] = []

    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", **options)
        voice = ToneTTS(words=words)
        voice.add_event_handler("on_tts_request", lambda _, context_id, text: texts.append(text))
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=voice)
        await agent.start()
        assert agent.context is not None
        contexts.append(agent.context.get_messages())  # type: ignore[arg-type]

    caller = Caller().say(AUDIO / "booking/01-people.wav", text="a room please")
    if cut_after is not None:
        caller = caller.interrupt(AUDIO / "booking/03-yes.wav", text="yes", after=cut_after)
    call = simulate(
        bot,
        caller.pause(14).hangup(),
        providers=Providers(
            stt=Transcripts(), llm=Replies(answer, "Fine."), tts=Voice(seconds_per_character=S_PER_CHARACTER)
        ),
    )
    return call, contexts[0], texts


@pytest.mark.parametrize("words", [True, False])
def test_the_context_holds_what_the_model_wrote(words: bool) -> None:
    call, context, texts = in_a_call(PRICE, words=words)
    assert texts == [SAID]
    assert context[-1] == {"role": "assistant", "content": PRICE}
    partials = [each.data["text"] for each in call.events if each.kind == "bot_partial"]
    assert all(PRICE.startswith(text) for text in partials)


PRICE_DE = "Das Zimmer mit Frühstück kostet 1.234,56 € für drei Nächte, ist Ihnen das recht?"
SAID_DE = (
    "Das Zimmer mit Frühstück kostet eintausendzweihundertvierunddreißig Euro sechsundfünfzig"
    " für drei Nächte, ist Ihnen das recht?"
)


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize(
    ("language", "answer", "said", "at", "heard"),
    [
        ("en", PRICE, SAID, "dollars", "The room with breakfast costs"),
        ("de", PRICE_DE, SAID_DE, "vierund", "Das Zimmer mit Frühstück kostet"),
        ("en", "Please call +1 (555) 010-9999 tomorrow.", "", "nine", "Please call"),
    ],
)
def test_a_barge_in_in_the_middle_of_a_price_leaves_what_was_heard_before_it(
    language: str, answer: str, said: str, at: str, heard: str, words: bool
) -> None:
    spoken_text = SpokenText(language)
    said = said or spoken_text.read(answer)
    middle = (said.index(at) + 2) * S_PER_CHARACTER
    call, context, texts = in_a_call(answer, words=words, cut_after=middle, spoken_text=spoken_text)
    assert texts[0] == said
    cut = next(turn for turn in call.events if turn.kind == "bot_turn" and turn.data["interrupted"])
    assert cut.data["text"] == heard, call.timeline()
    assert heard in [message.get("content") for message in context]


@pytest.mark.parametrize("words", [True, False])
def test_a_barge_in_behind_a_price_leaves_the_price_as_it_was_written(words: bool) -> None:
    behind = (SAID.index("three nights") + 2) * S_PER_CHARACTER
    call, context, _ = in_a_call(PRICE, words=words, cut_after=behind)
    cut = next(turn for turn in call.events if turn.kind == "bot_turn" and turn.data["interrupted"])
    assert cut.data["text"].startswith("The room with breakfast costs $1,234.56 for"), call.timeline()
    assert PRICE.startswith(cut.data["text"])
    assert cut.data["text"] in [message.get("content") for message in context]


def test_a_text_of_which_nothing_is_said_is_in_the_context_all_the_same() -> None:
    answer = "Here you are. 😊 Use this:\n```python\nprint(1. )\n```\nThat is all."
    _, context, texts = in_a_call(answer, words=True)
    assert " ".join(" ".join(texts).split()) == "Here you are. Use this: That is all."
    assert "".join(context[-1]["content"].split()) == "".join(answer.split())


def test_it_can_be_turned_off() -> None:
    _, context, texts = in_a_call(PRICE, words=True, spoken_text=False)
    assert texts == [PRICE]
    assert context[-1]["content"] == PRICE


def test_an_author_sets_language_and_pronunciations() -> None:
    _, context, texts = in_a_call(
        "Siobhan zahlt 12,50 €.",
        words=True,
        spoken_text=SpokenText("de", pronunciations={"Siobhan": "Schiwon"}),
    )
    assert texts == ["Schiwon zahlt zwölf Euro fünfzig."]
    assert context[-1]["content"] == "Siobhan zahlt 12,50 €."


def test_what_is_no_choice_is_refused() -> None:
    with pytest.raises(TypeError, match="spoken_text is True, False or a SpokenText"):
        SpokenText.of("en")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='"de-AT"'):
        SpokenText("English")
