"""The language model is a proper one, and text comes to it as the recogniser would write it."""

import pytest

from piopiy_pipeline.services.language_model import arpa, normalise, number_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A table for 4, please!", "a table for four please"),
        ("at 7:30 PM", "at seven thirty pm"),
        ("at 7:00", "at seven"),
        ("I’d like that", "i'd like that"),
        ("room 007", "room zero zero seven"),
        ("'quoted' co-op", "quoted co op"),
    ],
)
def test_normalises_to_words(text: str, words: str) -> None:
    assert normalise(text) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (45, "forty five"),
        (110, "one hundred ten"),
        (2005, "two thousand five"),
    ],
)
def test_says_numbers(number: int, words: str) -> None:
    assert number_words(number) == words


def _sections(text: str) -> dict[str, list[list[str]]]:
    sections: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("\\"):
            name = line
        elif line.strip():
            sections.setdefault(name, []).append(line.split())
    return sections


def test_probabilities_of_a_history_sum_to_one() -> None:
    sections = _sections(arpa(["a table for four", "a table for two", "yes"], ["the", "table"]))
    unigrams = {word: 10 ** float(p) for p, word, _ in sections["\\1-grams:"]}
    backoff = {word: 10 ** float(b) for _, word, b in sections["\\1-grams:"]}
    bigrams = {(a, b): 10 ** float(p) for p, a, b, _ in sections["\\2-grams:"]}
    assert sum(unigrams.values()) == pytest.approx(1.0, abs=1e-3)
    for history in ("a", "for", "table"):
        follow = {b: p for (a, b), p in bigrams.items() if a == history}
        rest = sum(p for word, p in unigrams.items() if word not in follow)
        # Witten-Bell as interpolation: what is seen has the backoff's share in it already.
        assert sum(follow.values()) + backoff[history] * rest == pytest.approx(1.0, abs=1e-2)


def test_a_phrase_given_twice_weighs_twice() -> None:
    def share(phrases: list[str]) -> float:
        lines = _sections(arpa(phrases))["\\1-grams:"]
        return next(10 ** float(p) for p, word, _ in lines if word == "yes")

    assert share(["yes", "yes", "no"]) > share(["yes", "no"])


def test_needs_a_phrase() -> None:
    with pytest.raises(ValueError, match="at least one phrase"):
        arpa([])
