"""Words are pronounced as the dictionary says, and as they are spelt where it says nothing."""

from pathlib import Path

import pytest

from piopiy_pipeline.services.lexicon import pronunciations, sound_out


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("bake", "B EY K"),
        ("shine", "SH AY N"),
        ("piopiy", "P IH AA P IH IY"),
        ("station", "S T AE SH AH N"),
        ("qua", "K W AH"),
    ],
)
def test_sounds_out_a_spelling(word: str, phones: str) -> None:
    assert sound_out(word) == phones


def test_knows_all_variants_of_the_dictionary_and_tells_what_it_guessed(tmp_path: Path) -> None:
    dictionary = tmp_path / "words.dict"
    dictionary.write_text("a AH\na(2) EY\ntable T EY B AH L\n")
    found, guessed = pronunciations(["a", "table", "trattoria"], dictionary)
    assert found["a"] == ["AH", "EY"]
    assert guessed == ["trattoria"]
    assert found["trattoria"]


def test_a_word_without_letters_has_no_sound(tmp_path: Path) -> None:
    dictionary = tmp_path / "words.dict"
    dictionary.write_text("a AH\n")
    assert pronunciations(["''"], dictionary) == ({}, [])
