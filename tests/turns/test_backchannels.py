"""What callers say while they listen, and what they say to be listened to."""

from __future__ import annotations

import pytest

from piopiy_pipeline.turns.backchannels import WordsOver, nearly_backchannel, stop_at, words_over


@pytest.mark.parametrize(
    "text",
    [
        "Mm-hmm.",
        "Uh-huh",
        "mhm",
        "Hmm",
        "Yeah, okay.",
        "I see.",
        "All right, got it!",
        "Ah. Oh, okay",
        "That's right.",
    ],
)
def test_who_listens_does_not_interrupt(text: str) -> None:
    assert words_over(text) is WordsOver.BACKCHANNEL


@pytest.mark.parametrize(
    "text", ["No, wait", "STOP", "hang on a second", "Yeah, no.", "well hold on", "Sorry?"]
)
def test_who_asks_for_a_stop_does(text: str) -> None:
    assert words_over(text) is WordsOver.STOP


@pytest.mark.parametrize("text", ["On Saturday", "yeah but I said five", "I see it", "right there", "42"])
def test_so_does_everything_else(text: str) -> None:
    assert words_over(text) is WordsOver.OTHER


@pytest.mark.parametrize("text", ["", "  ", "...", "-"])
def test_without_a_word_nothing_is_said(text: str) -> None:
    assert words_over(text) is WordsOver.NOTHING


@pytest.mark.parametrize(
    ("language", "text", "meaning"),
    [
        ("de", "Ja, genau.", WordsOver.BACKCHANNEL),
        ("de-DE", "Ach so", WordsOver.BACKCHANNEL),
        ("de", "Nein, Moment!", WordsOver.STOP),
        ("es", "Claro, claro", WordsOver.BACKCHANNEL),
        ("es", "Sí", WordsOver.OTHER),
        ("fr", "d’accord", WordsOver.BACKCHANNEL),
        ("hi", "ठीक है", WordsOver.BACKCHANNEL),
        ("hi", "नहीं", WordsOver.STOP),
        ("it", "Sì sì, capisco.", WordsOver.BACKCHANNEL),
        ("it", "No, aspetti!", WordsOver.STOP),
        ("pt", "Pois é, tá bom", WordsOver.BACKCHANNEL),
        ("pt", "Não, espere", WordsOver.STOP),
        ("nl", "Ja, precies.", WordsOver.BACKCHANNEL),
        ("nl", "Nee, wacht even", WordsOver.STOP),
        ("fi", "mhm", WordsOver.BACKCHANNEL),
        ("fi", "joo", WordsOver.OTHER),
    ],
)
def test_each_language_has_its_own(language: str, text: str, meaning: WordsOver) -> None:
    assert words_over(text, language) is meaning


def test_a_stop_deep_in_a_sentence_is_a_word_like_any_other() -> None:
    assert words_over("the bus that I take has no stop there") is WordsOver.OTHER


def test_a_stop_that_is_misspelled_by_a_letter_or_two_is_found() -> None:
    assert stop_at(["hold", "one", "please"], "en") == slice(0, 2)
    assert stop_at(["what"], "en") is None, "one short word is too soon like another"


def test_what_a_listener_says_is_found_although_it_is_misspelled() -> None:
    assert nearly_backchannel(["make", "sense"], "en")
    assert nearly_backchannel(["yeah", "bright"], "en")
    assert not nearly_backchannel(["five", "people"], "en")
