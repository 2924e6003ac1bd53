"""What a collection says by itself: each phrase, in each language."""

from __future__ import annotations

import dataclasses
import string

import pytest

from piopiy_pipeline.collect import CollectPhrases, collect_phrases_in
from piopiy_pipeline.collect.collection import Collection
from piopiy_pipeline.collect.digits import DigitsReader

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")
FIELDS = [field.name for field in dataclasses.fields(CollectPhrases)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_each_phrase_with_the_value_where_it_belongs(language: str) -> None:
    phrases, english = collect_phrases_in(language), collect_phrases_in("en")
    for name in FIELDS:
        said = getattr(phrases, name)
        assert said.strip(), name
        fields = [field for _, field, _, _ in string.Formatter().parse(said) if field]
        assert fields == (["value"] if "{value}" in getattr(english, name) else []), name
        assert said[-1] in ".?", name
        assert language == "en" or said != getattr(english, name), name


def test_a_country_has_its_own_words() -> None:
    assert "CEP" in collect_phrases_in("pt-BR").address_town
    assert collect_phrases_in("pt_BR") is collect_phrases_in("pt-br")
    assert collect_phrases_in("fr-CA") is collect_phrases_in("fr")
    assert collect_phrases_in("xx").check == collect_phrases_in("en").check


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_bot_says_is_no_answer_to_it(language: str) -> None:
    """An echo of the bot's own words on the line gives no value and agrees to nothing."""
    phrases = collect_phrases_in(language)
    for name in FIELDS:
        text = getattr(phrases, name).replace("{value}", "")
        reader = DigitsReader(language, least=1, most=8)
        form = Collection(reader, prompt="?", phrases=phrases, read_back=True)
        form.begin()
        form.was_heard()
        form.hear(text)
        assert reader.state() == DigitsReader(language, least=1, most=8).state(), (name, text)
