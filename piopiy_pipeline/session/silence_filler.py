"""`SilenceFiller`: lets a caller who waits hear something, and asks one who says nothing.

The shell of `SilenceGuard` and `IdleCaller`, which decide.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger
from pipecat.frames.frames import OutputAudioRawFrame

from piopiy_pipeline.arguments import check_kind, check_seconds, check_sentence
from piopiy_pipeline.audio.tones import working_sound
from piopiy_pipeline.audio.wav import WavError, read_wav
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.offload import offload
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.default_lines import Phrases
from piopiy_pipeline.session.idle_caller import IdleCaller
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.silence_guard import Filling, SilenceGuard
from piopiy_pipeline.session.speaker import Speaker
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["Filler", "SilenceFiller"]

PIECE_S = 0.2
SOUND_LASTS_S = 0.6
"""What is heard for this long after a sound was sent is the sound."""
MAKE_WAY_S = 0.2
"""How long a sound waits until an answer that was begun ahead is dropped."""
GOODBYE_S = 15.0
"""How long the last words to a caller who says nothing may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler:
    """What a caller hears who waits.

    Attributes:
        says: A sentence, or the path of a WAV file. None: a sentence in the language of the voice, "One moment,
            please." in English. An empty text: only the sound.
        answer_s: It is said when the model has had nothing to say for this long, in seconds.
        tool_s: It is said when a tool has run for this long, in seconds.
        sound: Whether a small sound is made at least every two seconds as long as the caller waits.

    Raises:
        ValueError: A time is not more than 0, or `says` is a text that names a WAV file.
        TypeError: A value is of the wrong kind.
    """

    says: str | Path | None = None
    answer_s: float = 1.5
    tool_s: float = 1.2
    sound: bool = True

    def __post_init__(self) -> None:
        for name in ("answer_s", "tool_s"):
            check_seconds(f"Filler: {name}", getattr(self, name))
        check_sentence("Filler: says", self.says)
        check_kind("Filler: sound", self.sound, bool, "True or False")


class SilenceFiller:
    """Fills the silences of one call.

    Args:
        state: The call.
        monitor: Knows what is heard.
        speaker: Says sentences.
        output: Plays sounds.
        filler: What a caller hears who waits; None: nothing.
        idle: What a caller is asked who says nothing, and last the goodbye. Empty: nobody is asked.
        idle_timeout_s: The call ends when nobody has spoken for this long; None: never.
        phrases: What is said if the author has not said what.
        has_voice: Whether there is a TTS.
        model_speaks: Whether there is a model that speaks itself. Without a TTS it says the filler while a tool runs,
            and the caller hears the sound alone while the model itself is what they wait for.
    """

    def __init__(
        self,
        state: CallState,
        monitor: CallMonitor,
        *,
        speaker: Speaker,
        output: BotOutput,
        filler: Filler | None,
        idle: Sequence[str],
        idle_timeout_s: float | None,
        phrases: Phrases,
        has_voice: bool,
        model_speaks: bool,
    ) -> None:
        self._state = state
        self._monitor = monitor
        self._speaker = speaker
        self._output = output
        self._own_words = filler is None or filler.says is not None
        says = None if filler is None else phrases.filler if filler.says is None else filler.says
        can_say = has_voice or model_speaks
        self._says = says if can_say or isinstance(says, Path) else None
        made = has_voice or isinstance(says, Path)  # by somebody who has nothing else to do
        self._recording: bytes | None = None
        self._sending: asyncio.Task[None] | None = None
        self._guard = monitor.guard = SilenceGuard(
            answer_s=filler.answer_s if filler and made else float("inf"),
            tool_s=filler.tool_s if filler else 0,
            sentence=bool(self._says),
            sound=filler is not None and filler.sound,
        )
        self._idle = IdleCaller(idle_timeout_s, idle if can_say else ())

    async def prepare(self) -> None:
        """Read the author's recording, if there is one."""
        if isinstance(self._says, Path):
            try:
                pcm = await offload(read_wav, self._says, self._state.link.bot_rate)
            except WavError as error:
                logger.error("the filler cannot be read: {}", error)
            else:
                self._recording = pcm.tobytes()

    def speak_as(self, phrases: Phrases, *, idle: bool) -> None:
        """Speak another language from now on: what the author has not worded, and with `idle` the questions."""
        if not self._own_words and self._says:
            self._says = phrases.filler
        if idle:
            self._idle.reword(phrases.idle)

    def due(self) -> float | None:
        """Return when `check` will have something to do about a caller who waits."""
        return self._guard.due(ready=self._ready or not self._answers)

    def check(self, now: float) -> None:
        """Fill a silence that has lasted long enough, and ask a caller who has said nothing for long enough."""
        if self._state.answered_at is None:
            return
        control = self._state.control
        held = self._state.held_turns is not None and self._state.held_turns.waits_for_caller
        away = control.on_hold or control.transferring or held
        recovering = self._state.recovery.is_recovering
        unheard = self._monitor.unheard_words or self._monitor.owed_final
        owes = self._answers or self._ready or recovering or unheard
        waits = owes and not (away or self._monitor.speaking or self._output.has_unheard)
        filling = self._guard.check(now, waits=waits, ready=self._ready or not self._answers)
        if filling is Filling.SENTENCE:
            self._fill_with_sentence()
        elif filling is Filling.SOUND:
            self._play(working_sound(self._state.link.bot_rate), interruptible=False)
        if not held:  # whoever holds the turns asks again themselves, in bounded time
            self._ask_idle(now, busy=self._state.recovery.busy or self._ready or away)

    @property
    def _answers(self) -> bool:
        """Whether the model or a tool is at it."""
        return self._state.recovery.answer_open or self._guard.tools_running

    @property
    def _ready(self) -> bool:
        return self._state.recovery.sentence_announced or self._state.utterances.pending

    # ------------------------------------------------------------------ a caller who waits

    def _fill_with_sentence(self) -> None:
        if self._recording is not None:
            self._play(self._recording)
            return
        if not isinstance(self._says, str):
            return
        self._monitor.filling += 1
        self._monitor.filler_text = self._says.strip()
        self._speaker.say(self._says, into_context=False).add_done_callback(self._filled)

    def _play(self, pcm: bytes, *, interruptible: bool = True) -> None:
        if self._sending is not None and not self._sending.done():
            return
        self._monitor.filling += 1
        rate = self._state.link.bot_rate
        lasts_s = len(pcm) / 2 / rate + SOUND_LASTS_S
        asyncio.get_running_loop().call_later(lasts_s, self._filled)
        self._sending = self._state.spawn(self._send(pcm, rate, interruptible), "filler")

    async def _send(self, pcm: bytes, rate: int, interruptible: bool) -> None:
        if (make_way := self._speaker.before_speech) is not None:
            try:
                async with asyncio.timeout(MAKE_WAY_S):
                    await make_way()  # an answer begun ahead would keep the sound back with its own
            except TimeoutError:
                logger.debug("a voice does not drop an answer that was begun ahead")
        step = 2 * int(PIECE_S * rate)
        for at in range(0, len(pcm), step):
            frame = OutputAudioRawFrame(pcm[at : at + step], rate, 1)
            frame.interruptible = interruptible  # the recovery from a failure interrupts, and is to be heard
            await self._output.queue_frame(frame)

    def _filled(self, _: object = None) -> None:
        self._monitor.filling -= 1

    # ------------------------------------------------------------------ a caller who says nothing

    def _ask_idle(self, now: float, *, busy: bool) -> None:
        quiet_s = now - self._monitor.spoke_at
        step = self._idle.check(quiet_s, caller_spoke_at=self._monitor.caller_spoke_at, busy=busy)
        if step is None:
            return
        if not step.last:
            logger.info("the caller has said nothing for {:.0f} s and is asked", quiet_s)
            self._speaker.say(step.line)
        else:
            self._state.spawn(self._say_goodbye(step.line), "idle_goodbye")

    async def _say_goodbye(self, line: str) -> None:
        detail = f"nobody spoke for {self._idle.timeout_s:g} s"
        if tools := self._state.recovery.running_tools:
            detail += f", and the tool {', '.join(tools)} had not returned"
        spoke_at = self._monitor.caller_spoke_at
        if line:
            with contextlib.suppress(TimeoutError):
                await self._speaker.say_goodbye(line, within_s=GOODBYE_S)
            if self._monitor.caller_spoke_at > spoke_at:
                logger.info("the caller speaks after all: the call goes on")
                return
        self._state.finish(EndReason.IDLE_TIMEOUT, detail[:500])
