"""Words are found in the phonemes, though a phonemizer joins some and splits others."""

from piopiy_pipeline.services.tts.phoneme_words import word_positions


def _found(sentence: str, *words: str) -> list[str | None]:
    places = word_positions(list(sentence), [list(word) for word in words])
    return [None if place is None else sentence[place : place + 3] for place in places]


def test_a_word_begins_with_its_stress() -> None:
    assert _found("ɐ tˈeɪbəl fɔːɹ fˈɔːɹ.", "ˈeɪ", "tˈeɪbəl", "fɔːɹ", "fˈɔːɹ") == ["ɐ t", "tˈe", "fɔː", "fˈɔ"]


def test_two_words_that_are_spoken_as_one() -> None:
    assert _found("aʊt ʌvðə hˈaʊs", "ˈaʊt", "ʌv", "ðə", "hˈaʊs") == ["aʊt", "ʌvð", "ðə ", "hˈa"]


def test_a_number_that_is_spoken_as_several_words() -> None:
    assert _found("æt sˈɛvən θˈɜːɾi ɑːn fɹˈaɪdeɪ", "æt", "sˈɛvən θˈɜːɾi", "ˈɑːn", "fɹˈaɪdeɪ") == [
        "æt ",
        "sˈɛ",
        "ɑːn",
        "fɹˈ",
    ]


def test_a_dash_is_not_spoken() -> None:
    assert _found("jˈɛs nˈoʊ", "jˈɛs", "", "nˈoʊ") == ["jˈɛ", None, "nˈo"]


def test_nothing_is_found_where_nothing_is_spoken() -> None:
    assert _found("...", "jˈɛs") == [None]
    assert _found("jˈɛs", "") == [None]
    assert _found("") == []
