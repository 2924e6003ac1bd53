"""How well the offline voices know when each of their words begins, by forced alignment with pocketsphinx.

    pip install pocketsphinx
    python benchmarks/word_times.py           20 sentences, both voices
    python benchmarks/word_times.py --json    one JSON object as the last line

The aligner is told the words and finds them in the audio, to 10 ms. *In proportion* is what a voice without word times
would have to do: to spread the words over the audio by their letters. A sentence that it cannot align is left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from piopiy_pipeline.services.tts.espeak_worker import EspeakVoice
from piopiy_pipeline.services.tts.piper_files import find_piper_voice
from piopiy_pipeline.services.tts.piper_worker import PiperVoices

RATE = 16_000
QUIET_S = 0.2
SENTENCES = (
    "A table for four people on Friday at seven in the evening.",
    "We are open from nine in the morning until ten at night.",
    "I am sorry, we are closed on Sunday, but Monday is fine.",
    "How can I help you today?",
    "May I have your name and your telephone number, please?",
    "Your table is booked for tomorrow at half past eight.",
    "There is a garden behind the house where you can sit outside.",
    "Do you want to change the time or the number of guests?",
    "The kitchen closes at ten, so please come before nine.",
    "Thank you for calling, and have a very good day.",
    "If you would like to speak with a person, just say so.",
    "The train leaves every twenty minutes from the main station.",
    "Please wait a moment while I look for a free table.",
    "I did not understand that, could you say it again?",
    "We have vegetarian dishes, and fish every Friday.",
    "Children under six years eat for free with their parents.",
    "Is there anything else that I can do for you?",
    "The weather will be warm and sunny until the weekend.",
    "It takes about fifteen minutes to walk from the church.",
    "You can pay in cash or with a card, as you like.",
)
Words = list[tuple[str, float]]
Found = dict[str, Any]


def piper(voices: PiperVoices) -> Callable[[str], tuple[bytes, Words]]:
    files = find_piper_voice()

    def say(text: str) -> tuple[bytes, Words]:
        pcm, words = b"", Words()
        for read in voices.read(files, text):
            start = len(pcm) / 2 / RATE
            sentence, begun, _ = voices.begin(files, read, 1.0, RATE)
            assert sentence
            for chunk, latents in sentence.chunks(RATE):
                pcm += begun if chunk.first else voices.decode(files, latents, chunk, RATE)
            words += [(word, start + at) for word, at in sentence.words]
        return pcm, words

    return say


def align(aligner: Any, pcm: bytes, text: str) -> list[float] | None:
    """Return the second at which each word begins, or None where the aligner does not find them."""
    quiet = bytes(2 * int(QUIET_S * RATE))
    words = re.sub(r"[^a-z' ]", "", text.lower()).split()
    aligner.set_align_text(" ".join(words))
    aligner.start_utt()
    aligner.process_raw(quiet + pcm + quiet, full_utt=True)
    aligner.end_utt()
    found = [each for each in aligner.seg() or () if each.word[0] not in "<[("]
    if [re.sub(r"\(\d+\)", "", each.word) for each in found] != words:
        return None
    return [each.start_frame / 100 - QUIET_S for each in found]


def measure(aligner: Any, say: Callable[[str], tuple[bytes, Words]]) -> Found:
    """Return how far off the times of the words are, in ms."""
    own: list[float] = []
    letters: list[float] = []
    for text in SENTENCES:
        pcm, words = say(text)
        wanted = align(aligner, pcm, text)
        if wanted is None:
            continue
        own += [at - right for (_, at), right in zip(words, wanted, strict=True)]
        sizes = np.cumsum([0, *(len(word) + 1 for word, _ in words)])
        seconds = len(pcm) / 2 / RATE
        letters += [size / sizes[-1] * seconds - right for size, right in zip(sizes, wanted, strict=False)]
    return {"words": len(own), **_error("", own), **_error("in_proportion_", letters)}


def _error(name: str, off: list[float]) -> Found:
    ms = np.array(off) * 1e3
    return {
        f"{name}mean_ms": round(float(ms.mean()), 1),
        f"{name}median_ms": round(float(np.median(np.abs(ms))), 1),
        f"{name}p95_ms": round(float(np.percentile(np.abs(ms), 95)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        pocketsphinx = import_module("pocketsphinx")
    except ImportError:
        parser.error("it aligns with pocketsphinx: pip install pocketsphinx")
    aligner = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", bestpath=False)
    espeak = EspeakVoice()
    voices: dict[str, Callable[[str], tuple[bytes, Words]]] = {
        "piper": piper(PiperVoices()),
        "espeak": lambda text: espeak.speak(text, "en-us", 165, 50, RATE),
    }
    rows = {name: measure(aligner, say) for name, say in voices.items()}
    for name, row in rows.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        print(json.dumps({"benchmark": "word_times", "rows": rows}))


if __name__ == "__main__":
    main()
