"""The process of piper: it makes a clause's latents and word times, and decodes latents, a second at a time.

It is a process of its own because piper's phonemizer has global state, and because it computes: a second of speech
takes some 40 ms of a core. Nothing is kept between two requests but the voices that are loaded, so any worker can go
on where another died, and a caller that wants to stop just does not ask for the next chunk (`piper_chunks.py`).

piper is GPL-3 and an optional extra: https://github.com/OHF-Voice/piper1-gpl. Nothing of pipecat is imported here.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import soxr
from numpy.typing import NDArray

from piopiy_pipeline.services.tts.encoded_sentence import EncodedSentence, PhonemeSentence
from piopiy_pipeline.services.tts.piper_chunks import Chunk
from piopiy_pipeline.services.tts.piper_files import PiperVoiceFiles
from piopiy_pipeline.services.tts.piper_voice import MAX_PHONEMES, LoadedPiperVoice
from piopiy_pipeline.services.workers.worker_loop import announce_share, serve

__all__ = ["MAX_TEXT", "PiperVoices"]

MAX_TEXT = 2_000
"""Characters in one request."""
MAX_VOICES = 2
"""Voices that stay loaded, of about 100 MB each; the one that was not used for longest goes."""
FADE_S = 0.004
"""Seconds over which a sentence is faded in and out, so that no click is heard where it is cut."""


class PiperVoices:
    """The voices that are loaded in this process, and what they are asked for."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[PiperVoiceFiles, LoadedPiperVoice] = OrderedDict()

    def load(self, files: PiperVoiceFiles) -> None:
        """Load a voice, if it is not loaded.

        Raises:
            ValueError: The files are not the voice that they should be.
            OSError: They cannot be read.
        """
        self._voice(files)

    def read(self, files: PiperVoiceFiles, text: str) -> list[PhonemeSentence]:
        """Find the sentences of a text, with their phonemes and words.

        Args:
            files: The voice.
            text: What to say, at most `MAX_TEXT` characters.

        Raises:
            ValueError: The text is too long, or the voice is not what it should be.
            OSError: The voice cannot be read.
        """
        if len(text) > MAX_TEXT:
            raise ValueError(f"{len(text)} characters at once; at most {MAX_TEXT} are taken")
        return self._voice(files).read(text)

    def begin(
        self, files: PiperVoiceFiles, said: str | PhonemeSentence, speed: float, rate: int
    ) -> tuple[EncodedSentence | None, bytes, list[PhonemeSentence]]:
        """Encode a sentence, and decode its first chunk: in one request, so that the first audio need not wait for
        other calls' requests twice.

        Args:
            files: The voice.
            said: A sentence; or a text, as for `read`, which begins with its first sentence.
            speed: How fast; 1 is the voice's own speed, 2 twice as fast.
            rate: The sample rate of the audio in Hz.

        Returns:
            The sentence, None if nothing is said; PCM16 mono; and the further sentences of the text.

        Raises:
            ValueError: As for `read`.
            OSError: As for `read`.
        """
        voice = self._voice(files)
        announce_share(0)
        waiting = [said] if isinstance(said, PhonemeSentence) else self.read(files, said)
        if not waiting:
            return None, b"", []
        announce_share(len(waiting[0].phonemes) / MAX_PHONEMES)
        sentence = voice.encode(waiting[0], speed)
        chunk, latents = next(sentence.chunks(rate))
        return sentence, self.decode(files, latents, chunk, rate), waiting[1:]

    def decode(self, files: PiperVoiceFiles, latents: NDArray[np.float32], chunk: Chunk, rate: int) -> bytes:
        """Make the audio of a chunk.

        Args:
            files: The voice.
            latents: Those that the chunk asks for, of shape ``[channels, frames]``.
            chunk: Which chunk it is.
            rate: The sample rate of the result in Hz.

        Returns:
            PCM16 mono.
        """
        voice = self._voice(files)
        announce_share(0)
        audio = voice.decode(latents)[chunk.skip : chunk.skip + chunk.samples]
        if rate != voice.sample_rate:
            audio = soxr.resample(audio, voice.sample_rate, rate)
        size = chunk.out[1] - chunk.out[0]
        audio = audio[chunk.out[0] : chunk.out[1]]
        audio = np.pad(audio, (0, size - len(audio)))  # a resampler may end a sample early
        fade = min(int(FADE_S * rate), size)
        if chunk.first and fade:
            audio[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        if chunk.last and fade:
            audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        return (np.clip(audio, -1, 1) * 32_767).astype("<i2").tobytes()

    def _voice(self, files: PiperVoiceFiles) -> LoadedPiperVoice:
        voice = self._loaded.get(files)
        if voice is None:
            while len(self._loaded) >= MAX_VOICES:
                self._loaded.popitem(last=False)
            voice = self._loaded[files] = LoadedPiperVoice(files)
        self._loaded.move_to_end(files)
        return voice


def main() -> None:
    """Answer requests until the parent process has gone."""
    voices = PiperVoices()
    serve({"load": voices.load, "begin": voices.begin, "decode": voices.decode})


if __name__ == "__main__":
    main()
