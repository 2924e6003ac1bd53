"""STT, LLM and TTS that answer at once, on LiveKit Agents' own base classes: `instant_services` for that side.

They run in an environment that holds nothing of pipecat.
"""

# mypy: ignore-errors
# LiveKit Agents is not installed where this project is checked.

from __future__ import annotations

import re

import numpy as np
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, function_tool, llm, stt, tts

from benchmarks.instant_script import LONG, SECONDS_A_CHARACTER, SHORT, Tally, voice

__all__ = ["InstantLLM", "InstantSTT", "InstantTTS", "book_table"]


@function_tool
async def book_table(people: int) -> dict:
    """Book a table.

    Args:
        people: How many people come.
    """
    return {"booked": True, "people": people}


class InstantSTT(stt.STT):
    """Gives a final transcript when it is flushed, which the session does when the VAD says that the caller stopped."""

    def __init__(self, tally: Tally) -> None:
        capabilities = stt.STTCapabilities(streaming=True, interim_results=False, manual_flush=True)
        super().__init__(capabilities=capabilities)
        self.tally = tally

    async def _recognize_impl(self, buffer, *, language, conn_options):
        raise NotImplementedError

    def stream(self, *, language=None, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS):
        return _Transcripts(stt=self, conn_options=conn_options)


class _Transcripts(stt.RecognizeStream):
    async def _run(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, self._FlushSentinel):
                self._stt.tally.utterances += 1
                words = stt.SpeechData(language="en", text="A table for two.")
                final = stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[words])
                self._event_ch.send_nowait(final)


class InstantLLM(llm.LLM):
    """Streams the script's next answer word by word, without a pause."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally
        self.turns = 0
        self.tool_called = False

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        model = self._llm
        after_tool, model.tool_called = model.tool_called, False
        model.turns += not after_tool
        name = f"answer_{model.turns}"
        if not after_tool and model.turns % 2 == 0:
            model.tally.tools += 1
            model.tool_called = True
            call = llm.FunctionToolCall(
                name="book_table", arguments='{"people": 4}', call_id=f"call_{model.turns}"
            )
            self._say(name, llm.ChoiceDelta(role="assistant", tool_calls=[call]))
            return
        model.tally.answers += 1
        for word in re.findall(r"\S+\s*", SHORT if after_tool else LONG):
            self._say(name, llm.ChoiceDelta(role="assistant", content=word))

    def _say(self, name: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=name, delta=delta))


class InstantTTS(tts.TTS):
    """Speaks with a recorded voice, 60 ms for each character: a sentence at once, in pieces of 100 ms."""

    def __init__(self, tally: Tally, rate: int) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=rate, num_channels=1)
        self.tally = tally

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Speech(tts=self, input_text=text, conn_options=conn_options)


class _Speech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        rate = self._tts.sample_rate
        pcm = np.resize(voice(rate), int(SECONDS_A_CHARACTER * len(self.input_text) * rate)).tobytes()
        self._tts.tally.spoken_s += len(pcm) / 2 / rate
        output_emitter.initialize(
            request_id="instant", sample_rate=rate, num_channels=1, mime_type="audio/pcm", frame_size_ms=100
        )
        step = rate // 10 * 2
        for at in range(0, len(pcm), step):
            output_emitter.push(pcm[at : at + step])
        output_emitter.flush()
