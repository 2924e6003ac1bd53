"""`CallLanguages`: notices which language the caller of one call speaks, and has STT, TTS and model follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.call import LanguageChange
from piopiy_pipeline.compat.frame_taps import watch_taken
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.hand_off.hand_off_setup import voice_change_of
from piopiy_pipeline.session.languages.language_evidence import LanguageEvidence, word_count
from piopiy_pipeline.session.languages.language_guess import guess_language, is_installed, load_guesser
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage, base_of, name_of

__all__ = ["CallLanguages"]

MAX_CHANGES = 6
"""A call changes its language no more often: who mixes two gets one of them."""
PART = "language"


class CallLanguages:
    """The languages of one call. Make it before the pipeline runs.

    Args:
        state: The call.
        pipeline: Its stages.
        context: Its conversation.
        languages: Those of the bot, the first one first.
        say: Says a sentence.
        tell: Tells a model that keeps the conversation itself of a message.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        context: LLMContext,
        languages: Mapping[str, SpokenLanguage],
        *,
        say: Callable[[str], Any],
        tell: Callable[[Any], Any] = lambda message: None,
    ) -> None:
        self._state = state
        self._context = context
        self._languages = languages
        self._by_base = {base_of(code): code for code in languages}
        self._first = next(iter(languages))
        self._say = say
        self._tell = tell
        self._voice = voice_change_of(state, pipeline)
        self._voice.begins_in = self._first
        self._voice.watch(self._spoken)
        for how in languages.values():
            self._voice.check(how.voice)
        self._evidence = LanguageEvidence(tuple(self._by_base), base_of(self._first))
        self._turn: list[str] = []
        self._changes = 0
        self._of_caller = self._first
        self.current = self._kept or self._first
        """The language in which the call is: the caller's, or that of the persona who has the call."""
        if not is_installed():
            logger.warning(
                "languages: only what the STT reports counts, because the words of a caller tell their language with "
                "the extra 'languages' only: pip install 'piopiy-pipeline[languages]'"
            )
        user = pipeline.find(LLMUserAggregator)
        if isinstance(user, LLMUserAggregator):
            watch_taken(user, self._heard, TranscriptionFrame)
        state.events.on("user_turn", self._turn_over)
        state.events.on("answered", self._begin)
        state.checkpoints.parts[PART] = lambda: None if self._of_caller == self._first else self._of_caller

    async def _begin(self, _: object) -> None:
        """Load the model, and go on in the language in which another instance has left the call."""
        if self._kept:
            await self._follow(self._kept, again=True)
        await load_guesser()

    @property
    def _kept(self) -> str:
        """The caller's language at the instance that had the call before; empty if it was the first one."""
        kept = self._state.checkpoints.kept_part(PART)
        return kept if isinstance(kept, str) and kept in self._languages else ""

    async def _heard(self, stage: FrameProcessor, frame: Frame) -> None:
        """Take words of the caller before they are in the conversation, so that their answer is in their language."""
        if not isinstance(frame, TranscriptionFrame) or not frame.text.strip():
            return
        self._turn.append(frame.text)
        text = " ".join(self._turn)
        reported = base_of(str(frame.language)) if frame.language else None
        guess = guess_language(text, self._by_base)
        wanted = self._evidence.heard(word_count(text), reported=reported, guess=guess)
        if wanted is None or self._changes >= MAX_CHANGES:
            return
        self._changes += 1
        await self._change(self._by_base[wanted], "reported" if reported == wanted else "words")

    def _turn_over(self, _: object) -> None:
        self._turn.clear()
        self._evidence.turn_over()

    async def _change(self, language: str, how: str) -> None:
        before = self.current
        await self._follow(language)
        note: Any = {"role": "developer", "content": self._note(language)}
        self._context.add_message(note)
        self._tell(note)
        self._state.add_language(LanguageChange(language, before, how))
        if says := self._languages[language].says:
            self._say(says)

    def _note(self, language: str) -> str:
        name = name_of(language)
        own = self._languages[language].instructions
        return own or f"The caller speaks {name}. Answer in {name} from now on."

    async def _follow(self, language: str, *, again: bool = False) -> None:
        self._of_caller = language
        self._state.language_note = "" if language == self._first else self._note(language)
        spoken = None if language == self._first else language
        await self._voice.follow(self._languages[language].voice, spoken, again=again)

    def _spoken(self, language: str | None) -> None:
        """Note what is spoken from now on."""
        base = base_of(language or self._first)
        self.current = self._by_base.get(base, self.current)
        self._evidence.changed(base)
