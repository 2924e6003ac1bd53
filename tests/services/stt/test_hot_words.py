"""Near misses become the author's words, and common words stay what they are."""

import pytest

from piopiy_pipeline.services.stt.hot_words import HotWords
from piopiy_pipeline.services.stt.moonshine_files import common_words

MENU = ("Margherita", "Quattro Stagioni", "Holloway", "Siobhan", "Tiramisu", "Bruschetta", "Baxter")


@pytest.fixture(scope="module")
def hot_words() -> HotWords:
    return HotWords(MENU, common=common_words("en"))


def _repaired(hot_words: HotWords, text: str, sure: float = 0.6) -> str:
    words, _ = hot_words.repair([(word, sure) for word in text.split()])
    return " ".join(word for word, _ in words)


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("a Margarita, please.", "a Margherita, please."),
        ("two quatro stagiony and a beer.", "two Quattro Stagioni and a beer."),
        ("My name is Hollaway.", "My name is Holloway."),
        ("My name is hollow way.", "My name is Holloway."),
        ("The tira misu!", "The Tiramisu!"),
        ("brusketta first", "Bruschetta first"),
        ("Under the name of Backster.", "Under the name of Baxter."),
    ],
)
def test_a_near_miss_becomes_the_hot_word(hot_words: HotWords, heard: str, meant: str) -> None:
    assert _repaired(hot_words, heard) == meant


@pytest.mark.parametrize(
    "heard",
    [
        "I would like a table for four at the back.",
        "Better late than never, my brother said.",
        "A Margherita for Holloway, please.",
        "quarter past eleven on the station",
        "hello, always hello",
    ],
)
def test_a_sentence_without_a_near_miss_stays_as_it_is(hot_words: HotWords, heard: str) -> None:
    assert _repaired(hot_words, heard) == heard


@pytest.mark.parametrize(
    ("hot_word", "heard"),
    [
        ("Fiona", "phone"),
        ("Mai", "may"),
        ("Sunny", "sunday"),
        ("Forte", "forty"),
        ("Sven", "seven"),
        ("Tou", "two"),
    ],
)
def test_a_common_word_is_no_name(hot_word: str, heard: str) -> None:
    assert _repaired(HotWords([hot_word], common=common_words("en")), heard) == heard


def test_what_was_repaired_is_told_with_the_doubt_of_what_was_heard() -> None:
    words, repaired = HotWords(["Holloway"]).repair([("Miss", 0.9), ("hollow", 0.5), ("way?", 0.8)])
    assert words == [("Miss", 0.9), ("Holloway?", 0.5)]
    assert repaired == [("hollow way?", "Holloway")]


def test_a_hot_word_without_letters_is_an_error() -> None:
    with pytest.raises(ValueError, match="'42'"):
        HotWords(["42"])
