"""Makes a small language model in ARPA format from the phrases that a bot's author expects.

The model is a trigram with Witten-Bell backoff: it prefers what the author wrote, and still accepts other
sentences
of the same words. Common words of the language get a small share of the unigrams (`BACKGROUND_SHARE`). So
speech
about something else is recognised as other words, which a playbook answers with its fallback, and not as the
nearest numbers and weekdays.

The ARPA format: https://cmusphinx.github.io/wiki/arpaformat/. Witten-Bell: Witten and Bell 1991,
"The zero-frequency problem", method C.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

__all__ = ["COMMON_PHRASES", "arpa", "normalise", "number_words"]

BACKGROUND_SHARE = 0.15
"""Share of the unigrams' probability that common words get. 0.1 to 0.3 made no difference to expected sentences."""

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = [
    "_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
]  # fmt: skip

COMMON_PHRASES: tuple[str, ...] = (
    "yes",
    "yes please",
    "yeah",
    "yep",
    "sure",
    "okay",
    "all right",
    "that's right",
    "that is right",
    "correct",
    "no",
    "nope",
    "no thanks",
    "no thank you",
    "please",
    "thanks",
    "thank you",
    "thank you very much",
    "hello",
    "hi",
    "good morning",
    "good evening",
    "goodbye",
    "bye",
    "bye bye",
    "sorry",
    "excuse me",
    "pardon",
    "could you repeat that",
    "can you say that again",
    "hold on",
    "one moment",
    "um",
    "uh",
)
"""Phrases that callers say to any bot. Each is in every model once."""


def number_words(number: int) -> str:
    """Return a number in words as it is said: `45` is "forty five".

    Args:
        number: A whole number from 0 to 9999.

    Raises:
        ValueError: The number is out of range.
    """
    if not 0 <= number <= 9999:
        raise ValueError(f"{number}: only 0 to 9999 can be said")
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, one = divmod(number, 10)
        return _TENS[tens] + (f" {_ONES[one]}" if one else "")
    size, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    many, rest = divmod(number, size)
    return f"{number_words(many)} {word}" + (f" {number_words(rest)}" if rest else "")


def normalise(text: str) -> str:
    """Write a text as the recogniser would: lower case, only words and apostrophes, numbers in words."""
    text = text.lower().replace("’", "'")
    text = re.sub(r"\b(\d{1,2}):(\d\d)\b", _clock, text)
    text = re.sub(r"\d+", lambda match: f" {_number(match.group())} ", text)
    text = re.sub(r"[^a-z' ]+", " ", text)
    words = (word.strip("'") for word in text.split())
    return " ".join(word for word in words if word)


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    return f"{number_words(hour)} {number_words(minute) if minute else ''}"


def _number(digits: str) -> str:
    if len(digits) > 4 or (digits[0] == "0" and len(digits) > 1):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return number_words(int(digits))


def arpa(sentences: Iterable[str], background: Sequence[str] = ()) -> str:
    """Return a trigram model of sentences, as a text in ARPA format.

    Args:
        sentences: Normalised sentences. A sentence that is given twice counts twice.
        background: Words that share `BACKGROUND_SHARE` of the unigrams' probability evenly.

    Raises:
        ValueError: There is no sentence.
    """
    grams: tuple[Counter[tuple[str, ...]], ...] = (Counter(), Counter(), Counter())
    for sentence in sentences:
        words = ("<s>", *sentence.split(), "</s>")
        for n in (1, 2, 3):
            grams[n - 1].update(words[i : i + n] for i in range(len(words) - n + 1))
    ones, twos, threes = grams
    if not ones:
        raise ValueError("a language model needs at least one phrase")

    total = sum(ones.values()) - ones["<s>",]
    share = BACKGROUND_SHARE if background else 0.0
    behind = frozenset(background)
    unigram = {
        word: (1 - share) * ones[word,] / total + (share / len(behind) if word in behind else 0.0)
        for word in sorted({word for (word,) in ones} | behind)
    }
    unigram["<s>"] = 0.0  # it is never predicted, only a history

    seen: Counter[tuple[str, ...]] = Counter()
    kinds: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for table in (twos, threes):
        for gram, count in table.items():
            seen[gram[:-1]] += count
            kinds[gram[:-1]] += 1
    # How much of a history's probability goes to what has not followed it yet.
    leave = {history: kinds[history] / (kinds[history] + seen[history]) for history in seen}

    bigram = {
        (a, b): (1 - leave[a,]) * count / seen[a,] + leave[a,] * unigram[b] for (a, b), count in twos.items()
    }
    trigram = {
        (a, b, c): (1 - leave[a, b]) * count / seen[a, b] + leave[a, b] * bigram[b, c]
        for (a, b, c), count in threes.items()
    }

    lines = ["\\data\\", f"ngram 1={len(unigram)}", f"ngram 2={len(bigram)}", f"ngram 3={len(trigram)}"]
    lines += ["", "\\1-grams:"]
    lines += [f"{_log(p)} {word} {_log(leave.get((word,), 1.0))}" for word, p in unigram.items()]
    lines += ["", "\\2-grams:"]
    lines += [f"{_log(p)} {a} {b} {_log(leave.get((a, b), 1.0))}" for (a, b), p in sorted(bigram.items())]
    lines += ["", "\\3-grams:"]
    lines += [f"{_log(p)} {a} {b} {c}" for (a, b, c), p in sorted(trigram.items())]
    return "\n".join([*lines, "", "\\end\\", ""])


def _log(probability: float) -> str:
    return f"{math.log10(max(probability, 1e-9)):.4f}"
