"""Values of a caller who goes on in another language while they are asked for one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from piopiy_pipeline.collect import NotCollected, collect_date, collect_digits
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage
from piopiy_pipeline.testing import AgentLoss, Replies, ScriptedLLM, SimulatedCall, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.session.languages.test_call_languages import Voice, talk
from tests.support.collecting import Form
from tests.support.services import ScriptedSTT

pytest.importorskip("py3langid")


def collected(form: Form, *words: str, losses: Sequence[AgentLoss] = ()) -> tuple[list[Any], SimulatedCall]:
    outcomes: list[Any] = []

    async def bot(call: Call) -> None:
        languages = {"en": None, "de": SpokenLanguage(voice="katja")}
        agent = VoiceAgent(instructions="Be brief.", languages=languages, call=call)

        async def fill_in(_: object) -> None:
            try:
                outcomes.append((await form(call)).value)
            except NotCollected as error:
                outcomes.append(error.why)

        agent.on("answered", fill_in)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM(Replies(otherwise="Aha.")), tts=Voice([]))
        await agent.start()

    return outcomes, simulate(bot, talk(*words), by="text", losses=losses)


async def ask_code(call: Call) -> Any:
    return await collect_digits(call, prompt="What is your code?", length=4, read_back=True)


GERMAN = ("Guten Tag, meine Nummer ist vier eins fünf sechs", "nein, sieben nicht sechs", "ja genau")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_who_goes_on_in_german_is_read_and_asked_in_german(number: int) -> None:
    losses = [AgentLoss("user_turn", 0.05, number=number)] if number else []
    outcomes, call = collected(ask_code, *GERMAN, losses=losses)
    assert outcomes[-1] == "4157"
    call.assert_said("Ich habe 4157. Ist das richtig?")
    assert "I have" not in call.said
    assert "sorry" not in call.said
    assert len(call.of("agent_lost")) == len(losses)


def test_and_back_again() -> None:
    words = (
        "Guten Tag, meine Nummer ist vier eins fünf sechs",
        "Sorry, I would rather speak English with you.",
    )
    outcomes, call = collected(ask_code, *words, "no, seven not six", "yes")
    assert outcomes == ["4157"]
    call.assert_said("I have 4157. Is that right?")


def test_one_foreign_word_changes_nothing() -> None:
    outcomes, call = collected(ask_code, "Danke", "four one five seven", "yes")
    assert outcomes == ["4157"]
    assert not call.of("language")


def test_a_language_whose_dates_cannot_be_read_leaves_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "piopiy_pipeline.collect.functions.needs_dateparser", lambda language: language == "de"
    )
    outcomes, call = collected(
        lambda call: collect_date(call, prompt="Which day?", today=date(2026, 11, 29)),
        "Guten Tag, ich möchte gerne einen Tisch reservieren.",
        "Friday the fourth of December",
        "yes",
    )
    assert outcomes == [date(2026, 12, 4)]
    assert not call.of("error")
