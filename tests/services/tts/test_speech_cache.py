"""What was said lately is kept, up to a number of bytes."""

from piopiy_pipeline.services.tts.local_tts import SpeechPiece
from piopiy_pipeline.services.tts.speech_cache import SpeechCache


def _speech(size: int) -> list[SpeechPiece]:
    return [SpeechPiece(bytes(size), ())]


def test_what_was_not_said_for_longest_goes_first() -> None:
    cache = SpeechCache(100)
    for key in "abcd":
        cache.put(key, _speech(25))
    assert cache.get("a")
    cache.put("e", _speech(25))
    assert [key for key in "abcde" if cache.get(key)] == ["a", "c", "d", "e"]
    assert cache.size == 100


def test_the_same_clause_counts_once() -> None:
    cache = SpeechCache(100)
    cache.put("a", _speech(20))
    cache.put("a", _speech(10))
    assert cache.size == 10


def test_a_speech_does_not_drive_out_everything_else() -> None:
    cache = SpeechCache(100)
    cache.put("greeting", _speech(20))
    cache.put("speech", _speech(80))
    assert cache.get("greeting")
    assert cache.get("speech") is None


def test_hits_and_misses_are_counted() -> None:
    cache = SpeechCache(100)
    cache.get("a")
    cache.put("a", _speech(20))
    cache.get("a")
    assert (cache.hits, cache.misses) == (1, 1)
