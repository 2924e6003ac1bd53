"""Input audio ends at the stage; everything else passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import InputAudioRawFrame, TextFrame

from piopiy_pipeline.processors.caller_audio import InputAudioStop


def test_input_audio_goes_no_further_and_other_frames_do(run_live_chain: Callable[..., Any]) -> None:
    async def talk(chain: Any) -> None:
        await chain.send(InputAudioRawFrame(bytes(640), 16000, 1), TextFrame("hello"))
        await chain.downstream.until(lambda: bool(chain.downstream.of(TextFrame)))

    chain = run_live_chain(lambda: [InputAudioStop()], talk)
    assert chain.downstream.samples == 0
    assert [frame.text for frame in chain.downstream.of(TextFrame)] == ["hello"]


def test_whoever_asked_to_be_called_back_is_called_for_audio_too(run_live_chain: Callable[..., Any]) -> None:
    called: list[bool] = []

    async def talk(chain: Any) -> None:
        async def callback(*_: object) -> None:
            called.append(True)

        await chain.stages[0].queue_frame(InputAudioRawFrame(bytes(640), 16000, 1), callback=callback)

    chain = run_live_chain(lambda: [InputAudioStop()], talk)
    assert called == [True]
    assert chain.downstream.samples == 0
