"""Google's realtime server as a test has it, driven by pipecat's real service and Google's real client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TranscriptionFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.testing import (
    Disconnects,
    GeminiLiveServer,
    Replies,
    Tool,
    Transcripts,
    Voice,
    run_virtual,
)
from tests.support.realtime_client import RATE, RealtimeClient, realtime_client

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import MODELS, gemini_service

pytestmark = pytest.mark.filterwarnings(
    "ignore:Setting `LiveConnectConfig.generation_config`"
)  # pipecat does so
SPEECH = (6000 * np.sin(np.arange(RATE) * 2 * np.pi * 220 / RATE)).astype(np.int16)
QUIET = np.zeros(RATE * 7 // 10, np.int16)


def with_server(
    test: Callable[[GeminiLiveServer, RealtimeClient], Awaitable[None]],
    *replies: Any,
    model: str = MODELS[0],
    **options: Any,
) -> None:
    async def run() -> None:
        async with (
            GeminiLiveServer(
                Replies(*replies, faults=options.pop("reply_faults", None)), **options
            ) as server,
            realtime_client(gemini_service(server.url, model)) as client,
        ):
            await test(server, client)

    run_virtual(run)


async def ask(client: RealtimeClient, **more: Any) -> LLMContext:
    context = LLMContext([{"role": "user", "content": "Hello?"}], **more)
    await client.push(LLMContextFrame(context))
    return context


def words(client: RealtimeClient) -> str:
    return "".join(frame.text for frame in client.of(TTSTextFrame)).strip()


@pytest.mark.parametrize("model", MODELS)
def test_it_speaks_what_its_script_says(model: str) -> None:
    async def test(server: GeminiLiveServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: words(client) == "Good day to you.")
        await client.until(lambda: client.of(LLMFullResponseEndFrame))
        assert client.spoken_s == pytest.approx(0.06 * len("Good day to you. "), abs=0.01)
        assert server.session.setup["model"] == model

    with_server(test, "Good day to you.", model=model)


def test_it_hears_speech_and_answers() -> None:
    async def test(server: GeminiLiveServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: words(client) == "Good day.")
        await client.say(np.concatenate((QUIET, SPEECH, QUIET)))
        await client.until(lambda: words(client).endswith("For how many?"))
        await client.until(lambda: client.of(TranscriptionFrame))
        assert client.of(TranscriptionFrame)[0].text == "a table please"
        assert server.session.heard_s == pytest.approx(2.4, abs=0.1)

    with_server(test, "Good day.", "For how many?", ears=Transcripts(texts=["a table please"]))


def test_a_tool_is_called_and_its_result_answered() -> None:
    async def test(server: GeminiLiveServer, client: RealtimeClient) -> None:
        async def book(params: FunctionCallParams, people: int) -> None:
            """Book."""
            await params.result_callback({"booked": people})

        await ask(client, tools=[book])
        await client.until(lambda: words(client) == "Booked.")
        roles = [one["role"] for one in server.session.conversation()]
        assert roles == ["system", "user", "assistant", "tool", "assistant"]

    with_server(test, (Tool("book", people=4), "Booked."))


def test_speech_over_an_answer_interrupts_it_and_the_model_knows_all_that_was_sent() -> None:
    async def test(server: GeminiLiveServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: client.spoken_s > 1)
        await client.say(SPEECH)
        await client.until(lambda: client.of(InterruptionFrame))
        said = server.session.conversation()[-1]["content"]
        assert len(said) == pytest.approx(client.spoken_s / 0.06, abs=8)

    with_server(test, "one two three four five six seven eight nine ten " * 3, voice=Voice(speed=1.0))


def test_a_client_that_comes_back_finds_its_conversation() -> None:
    async def test(server: GeminiLiveServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: len(server.sessions) == 2)
        await client.until(lambda: server.session.setup)
        assert server.session.setup["session_resumption"]["handle"]
        assert server.session.conversation()[1] == {"role": "user", "content": "Hello?"}

    with_server(test, "one two three four", "And on.", reply_faults={1: Disconnects(after=0.5)})
