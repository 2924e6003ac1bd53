"""How words are pronounced: the recogniser's dictionary, and spelling rules for what it lacks.

A restaurant's name is rarely in a dictionary. Leaving it out would make the recogniser deaf to it,
so its pronunciation is guessed from its letters, and the caller of `pronunciations` is told which
ones were guessed. The phones are those of CMUdict (http://www.speech.cs.cmu.edu/cgi-bin/cmudict).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["pronunciations", "sound_out"]

_VARIANT = re.compile(r"\(\d+\)$")

# Longest spellings first; "$" is the end of the word.
_RULES: tuple[tuple[str, str], ...] = (
    ("tion$", "SH AH N"), ("sion$", "ZH AH N"), ("ture$", "CH ER"), ("ough", "AO"), ("augh", "AO"),
    ("eigh", "EY"), ("igh", "AY"), ("tch", "CH"), ("dge", "JH"), ("sch", "SH"), ("eau", "OW"),
    ("ous$", "AH S"), ("ies$", "IY Z"), ("ing$", "IH NG"), ("air", "EH R"), ("ear", "IH R"),
    ("oor", "AO R"), ("our", "AO R"), ("ew", "UW"), ("ow$", "OW"), ("ow", "AW"), ("ou", "AW"),
    ("oo", "UW"), ("oi", "OY"), ("oy", "OY"), ("ai", "EY"), ("ay", "EY"), ("au", "AO"), ("aw", "AO"),
    ("ea", "IY"), ("ee", "IY"), ("ei", "EY"), ("ey$", "IY"), ("ie$", "IY"), ("ie", "IY"), ("oa", "OW"),
    ("oe", "OW"), ("ue$", "UW"), ("ui", "UW"), ("ar", "AA R"), ("er", "ER"), ("ir", "ER"), ("ur", "ER"),
    ("or", "AO R"), ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"), ("wh", "W"), ("gh", "G"),
    ("ck", "K"), ("ng", "NG"), ("qu", "K W"), ("kn", "N"), ("wr", "R"), ("bb", "B"), ("cc", "K"),
    ("dd", "D"), ("ff", "F"), ("gg", "G"), ("ll", "L"), ("mm", "M"), ("nn", "N"), ("pp", "P"),
    ("rr", "R"), ("ss", "S"), ("tt", "T"), ("zz", "T S"), ("ce", "S EH"), ("ci", "S IH"), ("cy", "S IY"),
    ("ge", "JH EH"), ("gi", "JH IH"), ("y$", "IY"), ("o$", "OW"), ("a$", "AH"), ("i$", "IY"),
    ("u$", "UW"), ("a", "AE"), ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH"), ("f", "F"), ("g", "G"),
    ("h", "HH"), ("i", "IH"), ("j", "JH"), ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"), ("o", "AA"),
    ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("u", "AH"), ("v", "V"), ("w", "W"),
    ("x", "K S"), ("y", "Y"), ("z", "Z"),
)  # fmt: skip
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_LONG_VOWEL = re.compile(r"([aeiou])([bcdfgklmnprstvz])e$")


def sound_out(word: str) -> str:
    """Guess the phones of a word from its spelling; they are separated by spaces."""
    word = re.sub(r"[^a-z]", "", word.lower())
    phones: list[str] = []
    at = 0
    while at < len(word):
        if magic := _LONG_VOWEL.match(word, at):  # the silent e of "make"
            consonant = {"c": "S", "g": "JH"}.get(magic[2]) or sound_out(magic[2])
            phones += [_LONG[magic[1]], consonant]
            break
        for spelling, sound in _RULES:
            body = spelling.rstrip("$")
            if word.startswith(body, at) and (body == spelling or at + len(body) == len(word)):
                phones += sound.split()
                at += len(body)
                break
    return " ".join(phones)


def pronunciations(words: Iterable[str], dictionary: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Look up how words are pronounced, and guess it for words that the dictionary does not have.

    The dictionary is read once, line by line. If the process kept all its 135,000 words for the hundred that
    it needs,
    that would cost 40 MB.

    Args:
        words: The words, in lower case.
        dictionary: A file in the format of CMUdict.

    Returns:
        The pronunciations of each word as phones separated by spaces, and a list of the words whose
        pronunciation was
        guessed.
    """
    wanted = set(words)
    found: dict[str, list[str]] = {}
    with dictionary.open(encoding="utf-8") as lines:
        for line in lines:
            entry, _, phones = line.rstrip("\n").partition(" ")
            word = _VARIANT.sub("", entry)
            if word in wanted:
                found.setdefault(word, []).append(phones.strip())
    guessed = sorted(word for word in wanted - found.keys() if sound_out(word))
    found |= {word: [sound_out(word)] for word in guessed}
    return found, guessed
