"""`Providers`: a bot's STT, LLM and TTS, scripted, without a change to the bot.

    simulate(bot, caller, providers=Providers(
        stt=Transcripts(latency=0.3),
        llm=Replies("For how many?", (Tool("book", people=4), "Booked."), latency=Percentiles({50: 0.4, 95: 0.9})),
        tts=Voice(latency=0.15, faults={2: Disconnects()}),
    ))

The bot's callback makes its services as always, with any keys. Before its chain runs they are replaced, also those
in a list of services (`Action(stt=[a, b])`). What is None stays the bot's own. `from_environment()` and `build()` need
no key, model or playbook of a service that is scripted. The scripted services have pipecat's
own base classes, so that the rest of the chain, tool calls, interruptions and word times are as in production.

A speech-to-speech service is not replaced: its own class talks to a server of OpenAI's protocol, which says what the
LLM is to say, sounds as the TTS is to sound, and hears as the STT is to hear. So a test of a bot with three services
is a test of a bot with one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.providers import Kind, stand_ins
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.realtime.redirected_service import RedirectedServices
from piopiy_pipeline.testing.scripted.faults import Fault, FaultPlan
from piopiy_pipeline.testing.scripted.reply_script import Reply, ReplyScript
from piopiy_pipeline.testing.scripted.scripted_llm import Replies, ScriptedLLM
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT, Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS, Voice

__all__ = ["BoundProviders", "Providers"]


@dataclass(frozen=True, kw_only=True)
class Providers:
    """What stands in for the bot's providers. A value: it serves any number of calls.

    Attributes:
        stt: How the caller is transcribed; None keeps the bot's own STT.
        llm: What the LLM says and does, as `Replies` or a list of replies; None keeps the bot's own LLM.
        tts: How the bot sounds; None keeps the bot's own TTS.

    With a speech-to-speech service all three are about the server that its client talks to, unless the chain has an
    STT or a TTS beside it. `llm` is needed then.

    Raises:
        TypeError: Something is of another type.
    """

    stt: Transcripts | None = None
    llm: Replies | Sequence[Reply] | None = None
    tts: Voice | None = None

    def __post_init__(self) -> None:
        if isinstance(self.llm, (str, bytes)):
            raise TypeError("Providers: llm is a list of replies, one a turn, or Replies(...), not one text")
        self._replies()
        for name, kind in (("stt", Transcripts), ("tts", Voice)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"Providers: {name} is a {kind.__name__}, not {shown(value)}")

    def _replies(self) -> Replies | None:
        return self.llm if self.llm is None or isinstance(self.llm, Replies) else Replies(*self.llm)

    def bind(self, *, spoken: Spoken, seed: int = 0) -> BoundProviders:
        """Prepare one call.

        Args:
            spoken: Tells what the caller says.
            seed: The same seed gives the same latencies.

        Returns:
            What replaces the services in the call's chain, for its `Session` as `pipeline_hook`. It raises
            `StageError` if the chain has no service of a kind that is scripted.
        """
        return BoundProviders(self, self._replies(), spoken, seed)


class BoundProviders:
    """The providers of one call, whichever agents serve it one after another. `Providers.bind` makes it."""

    def __init__(self, providers: Providers, replies: Replies | None, spoken: Spoken, seed: int) -> None:
        kinds: list[_Kind] = []
        if (stt := providers.stt) is not None:
            texts = None if stt.texts is None else iter(stt.texts)
            ears = partial(ScriptedSTT, stt, spoken=spoken, texts=texts)
            kinds.append(_Kind("stt", STTService, ears, stt.faults))
        self._script = None if replies is None else ReplyScript(replies.turns, replies.otherwise)
        if replies is not None:
            model = partial(ScriptedLLM, replies, replies=self._script)
            kinds.append(_Kind("llm", LLMService, model, replies.faults))
        if (tts := providers.tts) is not None:
            kinds.append(_Kind("tts", TTSService, partial(ScriptedTTS, tts), tts.faults))
        self._kinds = kinds
        self._plans = {kind.name: FaultPlan(kind.faults) for kind in kinds}
        self._seed = seed
        self._begun = False
        unheard: dict[Kind, Callable[[], FrameProcessor]] = {
            "stt": lambda: ScriptedSTT(spoken=lambda start, end: ""),
            "llm": lambda: ScriptedLLM(Replies()),
            "tts": ScriptedTTS,
        }
        self._stand_ins = {kind.name: unheard[kind.name] for kind in kinds}
        self._redirected = None
        if replies is not None:
            self._redirected = RedirectedServices(
                replies, voice=providers.tts, ears=providers.stt, spoken=spoken, seed=seed
            )

    def __call__(self, chain: CallPipeline) -> None:
        """Put the scripted services into a chain. Raises `StageError` where it has none that they stand for."""
        begun, self._begun = self._begun, True
        if begun and self._script is not None:
            self._script.resume()  # the chain of another agent: its providers go on where they were
        own: set[str] = set()
        if self._redirected is not None:
            models = [stage for _, stage in _services(chain, LLMService) if is_realtime(stage)]
            hears, speaks = (not _services(chain, kind) for kind in (STTService, TTSService))
            for model in models:
                self._redirected.redirect(model, hears=hears, speaks=speaks)
            if models:
                own = {"llm", *(("stt",) if hears else ()), *(("tts",) if speaks else ())}
        for kind in self._kinds:
            if kind.name not in own:
                _put_in(chain, kind, self._seed, self._plans[kind.name])

    def needs_no_settings(self) -> None:
        """Have the bot's callback get services of the kinds that are scripted, whatever keys and models are here.

        It holds for the running task and for those that it makes from now on.
        """
        stand_ins.set(self._stand_ins)

    async def close(self) -> None:
        """End what serves the call's services."""
        if self._redirected is not None:
            await self._redirected.close()


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of provider that is scripted."""

    name: Kind
    base: type[FrameProcessor]
    make: Callable[..., FrameProcessor]
    faults: Mapping[int, Fault]


def _put_in(chain: CallPipeline, kind: _Kind, seed: int, plan: FaultPlan) -> None:
    services = _services(chain, kind.base)
    if not services:
        raise StageError(
            f"Providers: there is no {kind.base.__name__} in {' -> '.join(chain.names)} "
            f"that {kind.name} could stand for"
        )
    for number, (place, service) in enumerate(services):
        random = Random(f"{seed}:{kind.name}:{number}")
        place(service, kind.make(random=random, plan=plan, original=service))


Place = Callable[[FrameProcessor, FrameProcessor], object]
"""Puts the second where the first is."""


def _services(chain: CallPipeline, kind: type[FrameProcessor]) -> list[tuple[Place, FrameProcessor]]:
    """Return the services of a kind in this chain, each with what puts another in its place."""
    found: list[tuple[Place, FrameProcessor]] = []
    for name in chain.names:
        stage = chain[name]
        if isinstance(stage, ServiceSwitch):
            found += [(stage.replace, service) for service in stage.services if isinstance(service, kind)]
        elif isinstance(stage, kind):
            found.append((partial(_replace, chain, name), stage))
    return found


def _replace(chain: CallPipeline, name: str, old: FrameProcessor, other: FrameProcessor) -> None:
    chain.replace(name, other)
