"""`SpokenText`: has a TTS say what a model writes as a person would read it out.

What the context holds, and what captions, transcripts and events show, stays as the model wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from loguru import logger
from pipecat.frames.frames import Frame, InterruptionFrame, LLMFullResponseStartFrame, TTSSpeakFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.arguments import check_kind, check_language, shown
from piopiy_pipeline.compat.frame_taps import watch_processed, watch_taken
from piopiy_pipeline.compat.word_alignment import (
    Parts,
    add_text_transform,
    align_words,
    keep_unspoken_text,
    speaks_tokens,
    use_text_aggregator,
)
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.offload import offload
from piopiy_pipeline.spoken_text.alignment import SpokenForm
from piopiy_pipeline.spoken_text.word_aggregator import WordAggregator

if TYPE_CHECKING:
    from piopiy_pipeline.spoken_text.answer_reader import AnswerReader
    from piopiy_pipeline.spoken_text.recognizer import Recognizer

__all__ = ["SpokenText"]

_LANGUAGE = re.compile(r"[A-Za-z]{2}(?![A-Za-z])(?:[-_][A-Za-z]{2,4}\b)?")
_VOICE = re.compile(r"([a-z]{2}[-_][A-Z]{2})[-_].*|([a-z]{2}(?:-[a-z]{2})?)(?:\+.*)?")
"""Names of voices that say their language: en_US-joe-medium, de-DE-KatjaNeural, en-us, de+f3."""
_loaded: set[str] = set()


class SpokenText:
    """Writes out for a TTS what is written for the eye: markdown, numbers, prices, dates, addresses, abbreviations.

    `VoiceAgent` has one unless it is told otherwise. One can serve many calls.

    Args:
        language: The language of the bot, such as ``"en"``, ``"en-GB"`` or ``"de"``. None: that of the TTS, as its
            settings or the name of its voice say; English if they do not.
        pronunciations: What is said for words of your own: ``{"Siobhan": "shi vawn"}``. Whole words, in small
            or capital letters.

    Raises:
        ValueError: The language is none, or a word is empty.
        TypeError: An argument is of the wrong kind.

    Example:
        ```python
        tts = PiperTTSService()
        SpokenText("en", pronunciations={"Siobhan": "shi vawn"}).apply_to(tts)
        ```
    """

    def __init__(
        self, language: str | None = None, *, pronunciations: Mapping[str, str] | None = None
    ) -> None:
        if language is not None:
            check_language("SpokenText: language", language)
        words = 'a dict of words and how they are said, such as {"Siobhan": "shi vawn"}'
        check_kind("pronunciations", pronunciations, (Mapping, type(None)), words)
        for word, said in (pronunciations or {}).items():
            if not (isinstance(word, str) and isinstance(said, str)):
                raise TypeError(f"pronunciations must be {words}, of texts, not {word!r}: {shown(said)}")
        if language is not None and not _LANGUAGE.fullmatch(language):
            raise ValueError(f'language={shown(language)}: it is a code such as "en", "en-GB" or "de"')
        self.language = language
        self._pronunciations = dict(pronunciations or {})
        if not all(word.strip() for word in self._pronunciations):
            raise ValueError("pronunciations: a word is empty")
        self._recognizers: dict[str, Recognizer] = {}

    @property
    def is_own(self) -> bool:
        """Whether an author has said how texts are read: a language, or words."""
        return self.language is not None or bool(self._pronunciations)

    def apply_to(self, tts: FrameProcessor) -> None:
        """Have a TTS, or each of a `ServiceSwitch`, say texts in this way. Call it before the call runs.

        Args:
            tts: A pipecat TTS service, or a switch of them.
        """
        for service in getattr(tts, "services", (tts,)):
            if isinstance(service, TTSService):
                SpokenTextTransform(self).bind(service)

    @staticmethod
    async def use(choice: SpokenText | None, tts: FrameProcessor) -> None:
        """Do what `load` and `apply_to` do, if there is one."""
        if choice is not None:
            await choice.load(tts)
            choice.apply_to(tts)

    @classmethod
    def of(cls, choice: SpokenText | bool) -> SpokenText | None:
        """Return what an author has chosen: their own, the default for True, none for False.

        Raises:
            TypeError: It is none of them.
        """
        if not isinstance(choice, SpokenText | bool):
            raise TypeError(f"spoken_text is True, False or a SpokenText, not {shown(choice)}")
        return cls() if choice is True else choice or None

    async def load(self, tts: FrameProcessor | None = None) -> None:
        """Load what the language of a TTS needs, off the loop: the first time a few tenths of a second.

        Args:
            tts: A TTS service or a switch of them. None: for the language of this object.
        """
        services = getattr(tts, "services", (tts,)) if tts is not None else (None,)
        for language in {self.language_of(service) for service in services}:
            if language not in _loaded:
                await offload(_load, language)

    def load_blocking(self) -> None:
        """Do as `load` does for the language of this object, without an event loop."""
        _load(self.language_of(None))

    def language_of(self, service: object) -> str:
        """Return the language that a service is to speak."""
        if self.language is not None:
            return self.language
        settings = getattr(service, "settings", None)
        return _language_of(getattr(settings, "language", None), getattr(settings, "voice", None))

    def read(self, text: str) -> str:
        """Return how a text is said. For tests, and to try things out."""
        from piopiy_pipeline.spoken_text.answer_reader import AnswerReader  # as in `recognizer`

        return AnswerReader().read(text, self.recognizer(self.language_of(None))).spoken

    def recognizer(self, language: str) -> Recognizer:
        """Return what reads a language with the author's pronunciations."""
        from piopiy_pipeline.spoken_text.recognizer import (
            Recognizer,  # num2words, babel: loaded ahead by `load`
        )

        found = self._recognizers.get(language)
        if found is None:
            found = self._recognizers[language] = Recognizer(language, self._pronunciations)
        return found


class SpokenTextTransform:
    """What `SpokenText` is for one voice: a text transform of pipecat that remembers the answer in progress.

    Args:
        spoken_text: What to do.
    """

    def __init__(self, spoken_text: SpokenText) -> None:
        from piopiy_pipeline.spoken_text.answer_reader import AnswerReader

        self._spoken_text = spoken_text
        self._language: object = None
        self._service: TTSService | None = None
        self._answer = AnswerReader()
        self._aside: AnswerReader | None = None
        self._form = SpokenForm("", "", ())

    def bind(self, service: TTSService) -> None:
        """Become a transform of this voice."""
        add_text_transform(service, self)
        self.watch(service)

    def watch(self, service: TTSService) -> None:
        """Follow the answers of a voice that has this transform."""
        self._service = service
        if speaks_tokens(service):
            use_text_aggregator(service, WordAggregator())
        keep_unspoken_text(service, self._is_silent)
        align_words(service, self._parts)
        watch_taken(service, self._before, LLMFullResponseStartFrame, InterruptionFrame, TTSSpeakFrame)
        watch_processed(service, self._after, TTSSpeakFrame)

    async def __call__(self, text: str, text_type: str) -> str:
        """Return how a sentence, or a piece of one, is said.

        What cannot be read is said as it is: pipecat would say nothing of it.
        """
        try:
            self._form = self._read(text)
        except Exception:  # noqa: BLE001  a rule or a library that fails must not make the bot silent
            logger.opt(exception=True).error("a text is said as it is written: {!r}", text[:200])
            self._form = SpokenForm(text, text, ())
        return self._form.spoken

    def _read(self, text: str) -> SpokenForm:
        recognizer = self._spoken_text.recognizer(self._spoken_text.language_of(self._service))
        reader = self._aside or self._answer
        if self._service is not None and speaks_tokens(self._service):  # its blanks keep the pieces apart
            body = text.strip()
            at = text.find(body) if body else len(text)
            spoken = reader.read(body, recognizer).spoken if body else ""
            return SpokenForm(text, text[:at] + spoken + text[at + len(body) :], ())
        return reader.read(text, recognizer)

    def _before(self, service: TTSService, frame: Frame) -> None:
        match frame:
            case LLMFullResponseStartFrame():
                self._aside = None  # of a text that was cut off, nobody tells that it was processed
                self._answer.begin()
            case InterruptionFrame():
                self._answer.begin()
            case TTSSpeakFrame():  # said in the middle of an answer, perhaps
                from piopiy_pipeline.spoken_text.answer_reader import AnswerReader

                self._aside = AnswerReader()

    def _after(self, service: TTSService, frame: TTSSpeakFrame) -> None:
        self._aside = None

    def _is_silent(self, text: str) -> bool:
        form = self._form
        return form.written == text and bool(text.strip()) and not form.spoken.strip()

    def _parts(self, written: str, spoken: str | None) -> Parts | None:
        form = self._form
        if not form.spans or not written.endswith(form.written):
            return None
        if spoken is not None and spoken.rstrip() != form.spoken.rstrip():
            return None  # another transform has changed it as well
        ahead = written[: len(written) - len(form.written)]
        if ahead.strip():
            return None
        return [*([(ahead, "")] if ahead else []), *form.word_parts()]


def _load(language: str) -> None:
    from piopiy_pipeline.spoken_text.answer_reader import AnswerReader
    from piopiy_pipeline.spoken_text.recognizer import Recognizer

    recognizer = Recognizer(language, {})
    try:
        AnswerReader().read("Call +1 212 555 0123: 4.50 on 2026-11-29, 5 km 😊", recognizer)
    except Exception as error:  # noqa: BLE001  a library knows the language in part: no call may fail for that
        logger.warning("not all numbers are written out in {}: {}", language, error_text(error))
    _loaded.add(language)


@lru_cache(200)
def _language_of(language: object, voice: object) -> str:
    """Return the language that the settings of a voice say."""
    if isinstance(language, str) and _LANGUAGE.match(str(language)):
        found = _LANGUAGE.match(str(language))
        assert found is not None
        return found[0]
    if isinstance(voice, str) and (named := _VOICE.fullmatch(voice)):
        return named[1] or named[2]
    return "en"
