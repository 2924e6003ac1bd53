"""The recogniser is told of every value of every slot, in sentences that make sense."""

from pathlib import Path

from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.model import PLACEHOLDER
from piopiy_pipeline.services.playbook.phrases import expected_phrases

PHRASES = expected_phrases(load_playbook(Path(__file__).parents[3] / "examples" / "front_desk.yaml"))


def test_no_placeholder_is_left() -> None:
    assert not [phrase for phrase in PHRASES if PLACEHOLDER.search(phrase)]


def test_every_kind_of_value_comes_up() -> None:
    text = " ".join(PHRASES)
    for value in ("twenty people", "thursday", "tonight", "quarter to nine", "half past six", "seven p m"):
        assert value in text


def test_plain_phrases_weigh_as_much_as_ones_with_values() -> None:
    assert PHRASES.count("when are you open") > 1


def test_the_number_of_sentences_is_bounded() -> None:
    assert len(PHRASES) < 5_000
