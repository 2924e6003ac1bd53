"""The script of a call from the command line, the same for `piopiy call` and `piopiy simulate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.signals import unwinds_when_ended
from piopiy_pipeline.services.tts.speech_synthesis import SynthesisError
from piopiy_pipeline.testing.line.callers import Caller
from piopiy_pipeline.testing.line.turn_taking import Habits
from piopiy_pipeline.testing.line.utterance_audio import load_recording

__all__ = ["load_script"]


@unwinds_when_ended()
def load_script(
    wavs: Sequence[Path],
    sentences: Sequence[str],
    rate: int,
    *,
    interrupt_s: float | None = None,
    habits: Habits | None = None,
    quote: bool = False,
    typed: bool = False,
) -> Caller:
    """Make the caller who says the recordings and then the sentences, a turn each.

    Args:
        wavs: WAV files.
        sentences: Sentences for a synthetic voice.
        rate: The sample rate of the call in Hz.
        interrupt_s: Speak this long into each answer, in seconds, or after it if it is shorter; None: after it.
        habits: When the caller speaks and hangs up.
        quote: Whether the name of a sentence is its beginning in quotation marks, and not all of it.
        typed: Whether sentences are typed, and need no voice.

    Raises:
        BadInput: Something cannot be read or spoken.
        Failed: There is no voice to speak a sentence.
    """
    caller = Caller(habits=habits or Habits())
    turns: list[Path | str] = [*wavs, *sentences]
    for what in turns:
        try:
            if not typed or isinstance(what, Path):
                load_recording(what, rate)  # a mistake in it is reported before anybody calls
        except SynthesisError as error:
            raise Failed(f"--say: {error}") from None
        except ValueError as error:
            raise BadInput(str(error) if isinstance(what, Path) else f"--say: {error}") from None
        name = _quoted(what) if quote and isinstance(what, str) else None
        if interrupt_s is None:
            caller = caller.say(what, name=name)
        else:
            caller = caller.interrupt(what, after=interrupt_s, name=name, insist=False)
    return caller


def _quoted(text: str, limit: int = 40) -> str:
    """Return a sentence in quotation marks, cut to about `limit` characters."""
    short = " ".join(text.split())
    return f"“{short if len(short) <= limit else short[: limit - 1] + '…'}”"
