"""Keeps the audio of a greeting, so that it begins at once in the next call.

The first text that a voice says in a call is the same in each call of most bots. Its audio, with the times of
its words, is kept by the voice's class, its settings and options, the sample rate and the text: so it is never
another voice's. It is kept only if the whole of it was made without an error: not of a call that has ended meanwhile,
and not over a connection that was lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import is_dataclass, replace
from enum import Enum
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp
from pydantic import BaseModel

from piopiy_pipeline.compat.frame_taps import watch_pushes
from piopiy_pipeline.compat.pipecat import intercept_tts, pushes_stop_frames, skip_context_hooks
from piopiy_pipeline.compat.waiting_sound import before_connection_closes
from piopiy_pipeline.services.failover.switch import ServiceSwitch

__all__ = ["LIMIT_BYTES", "GreetingAudio", "keep_greeting"]

LIMIT_BYTES = 16_000_000
"""Audio that is kept in a process: about five minutes at 24,000 Hz."""
_PLAIN = (str, int, float, bool, type(None), Enum, BaseModel)
_OWN = ("_id", "_name", "_event_handlers")
"""What differs from one instance to the next, and says nothing about its sound."""

Piece = TTSAudioRawFrame | WordTimestamp


class GreetingAudio:
    """The audio of greetings, bounded in bytes; the one that was not said for longest goes first.

    Args:
        limit: How many bytes of audio are kept.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[str, tuple[int, tuple[Piece, ...]]] = OrderedDict()

    def get(self, key: str) -> tuple[Piece, ...] | None:
        """Return what is kept under this key, or None."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: str, pieces: tuple[Piece, ...]) -> None:
        """Keep audio. What is longer than a quarter of the limit, or has no sound, is not kept."""
        size = sum(len(piece.audio) for piece in pieces if isinstance(piece, TTSAudioRawFrame))
        if not 0 < size <= self._limit // 4 or key in self._kept:
            return
        self._size += size
        self._kept[key] = size, pieces
        while self._size > self._limit:
            self._size -= self._kept.popitem(last=False)[1][0]


_kept: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, GreetingAudio] = weakref.WeakKeyDictionary()
"""By event loop: an agent has one, and each simulation."""


def keep_greeting(stage: FrameProcessor) -> None:
    """Have a voice say the first text of a call from what is kept, if the same voice has said it before.

    Args:
        stage: The voice, or a switch of several, before it runs.
    """
    for service in stage.services if isinstance(stage, ServiceSwitch) else (stage,):
        if isinstance(service, TTSService):
            _GreetingTap(service)


class _GreetingTap:
    """Keeps, or plays, the first text that one voice says."""

    def __init__(self, service: TTSService) -> None:
        self._service = service
        self._options = _options(service)
        self._context: str | None = None  # of the first text; empty once it is over
        self._key = ""
        self._pieces: list[Piece] = []
        self._played: set[str] = set()
        intercept_tts(service, run_tts=self.run_tts, append=self.append)
        skip_context_hooks(service, self._played)
        before_connection_closes(service, self._give_up)
        watch_pushes(service, self._pushed, ErrorFrame)

    # The service's own methods are looked up when they are called: a replay changes the service's class.

    def _run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        run_tts: Any = type(self._service).run_tts
        return run_tts(self._service, text, context_id)  # type: ignore[no-any-return]

    async def _append(self, context_id: str | None, frame: Frame | WordTimestamp | None) -> None:
        await type(self._service).append_to_audio_context(self._service, context_id, frame)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Play what is kept, or do what the service's own method does."""
        if self._context is None:
            kept = _kept.setdefault(asyncio.get_running_loop(), GreetingAudio())
            self._key = self._key_of(text)
            pieces = kept.get(self._key)
            if pieces is not None:
                self._context = ""
                async for frame in self._play(pieces, context_id):
                    yield frame
                return
            self._context = context_id
        elif context_id == self._context:
            self._context = ""  # more than one text
        async for frame in self._run_tts(text, context_id):
            yield frame

    async def append(self, context_id: str | None, frame: Frame | WordTimestamp | None) -> None:
        """Do what the service's own method does, and note it."""
        if context_id and context_id == self._context:
            self._note(frame)
        await self._append(context_id, frame)

    def _give_up(self) -> None:
        """Keep nothing of a text of which no more comes."""
        if self._context:
            self._context = ""
            self._pieces.clear()

    def _pushed(self, service: TTSService, frame: ErrorFrame) -> None:
        if frame.processor is service:  # not one that passes on its way up
            self._give_up()

    def _note(self, frame: Frame | WordTimestamp | None) -> None:
        match frame:
            case TTSAudioRawFrame():  # as it came: pipecat joins the halves of a sample in the frame itself
                self._pieces.append(TTSAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
            case WordTimestamp():
                self._pieces.append(frame)
            case ErrorFrame():
                self._give_up()
            case None:
                self._context = ""
                kept = _kept.setdefault(asyncio.get_running_loop(), GreetingAudio())
                kept.put(self._key, tuple(self._pieces))

    async def _play(self, pieces: tuple[Piece, ...], context_id: str) -> AsyncGenerator[Frame | None, None]:
        service = self._service
        self._played.add(context_id)
        if not service.audio_context_available(context_id):
            await service.create_audio_context(context_id)
            await self._append(context_id, TTSStartedFrame(context_id=context_id))
        for piece in pieces:
            if isinstance(piece, WordTimestamp):
                await self._append(context_id, replace(piece, context_id=context_id))
            else:
                yield TTSAudioRawFrame(
                    piece.audio, piece.sample_rate, piece.num_channels, context_id=context_id
                )
        if not pushes_stop_frames(service):
            await self._append(context_id, TTSStoppedFrame(context_id=context_id))

    def _key_of(self, text: str) -> str:
        settings = sorted((name, repr(value)) for name, value in vars(self._service.settings).items())
        parts = (self._options, settings, self._service.sample_rate, text)
        return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()


def _options(service: TTSService) -> list[tuple[str, str]]:
    """Return everything that was said about a service when it was made, as far as it is plain data."""
    kind = type(service)
    found: list[tuple[str, str]] = [("", f"{kind.__module__}.{kind.__qualname__}")]
    for name, value in sorted(vars(service).items()):
        if name not in _OWN and _is_plain(value):
            found.append((name, repr(value)))
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(item) for item in value)
    return isinstance(value, _PLAIN) or (is_dataclass(value) and not isinstance(value, type))
