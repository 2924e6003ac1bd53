"""OpenAI's realtime server as a test has it, driven by pipecat's real service over a real WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.testing import (
    Disconnects,
    Endless,
    OpenAIRealtimeServer,
    Refused,
    Replies,
    Tool,
    Transcripts,
    Voice,
    run_virtual,
)
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_real
from tests.support.realtime_client import RATE, RealtimeClient, realtime_client

SPEECH = (6000 * np.sin(np.arange(RATE) * 2 * np.pi * 220 / RATE)).astype(np.int16)
QUIET = np.zeros(RATE * 7 // 10, np.int16)


def service(server: OpenAIRealtimeServer, **audio: Any) -> OpenAIRealtimeLLMService:
    """pipecat's own class; only the address is not OpenAI's."""
    given = {"transcription": events.InputAudioTranscription(), **audio}
    properties = events.SessionProperties(
        instructions="Be brief.", audio=events.AudioConfiguration(input=events.AudioInput(**given))
    )
    settings = OpenAIRealtimeLLMService.Settings(session_properties=properties)
    return OpenAIRealtimeLLMService(api_key="none", base_url=server.url, settings=settings)


async def ask(client: RealtimeClient, context: LLMContext | None = None) -> LLMContext:
    context = context or LLMContext([])
    await client.push(LLMContextFrame(context))
    return context


def words(client: RealtimeClient) -> str:
    return "".join(frame.text for frame in client.of(TTSTextFrame)).strip()


def with_server(
    test: Callable[[OpenAIRealtimeServer, RealtimeClient], Awaitable[None]], *replies: Any, **options: Any
) -> None:
    faults: Mapping[int, Fault] | None = options.pop("reply_faults", None)
    audio = options.pop("audio", {})
    clock = options.pop("clock", run_virtual)

    async def run() -> None:
        server = OpenAIRealtimeServer(Replies(*replies, faults=faults), **options)
        async with server, realtime_client(service(server, **audio)) as client:
            await test(server, client)

    clock(run)


@pytest.mark.parametrize("clock", [run_virtual, run_real])
def test_it_speaks_what_its_script_says(clock: Any) -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: words(client) == "Good day to you.")
        await client.until(lambda: client.of(LLMFullResponseEndFrame))
        assert client.spoken_s == pytest.approx(0.06 * len("Good day to you. "), abs=0.01)
        assert server.session.kinds()[0] == "session.update"
        assert server.session.config.body["instructions"] == "Be brief."

    with_server(test, "Good day to you.", clock=clock)


def test_in_virtual_time_a_minute_of_speech_takes_no_minute() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: client.spoken_s > 50, limit_s=70)

    with_server(test, "long " * 200, voice=Voice(speed=1.0))


def test_it_hears_where_speech_starts_and_stops_and_answers() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: words(client) == "Good day.")
        await client.say(np.concatenate((QUIET, SPEECH, QUIET)))
        await client.until(lambda: words(client).endswith("For how many?"))
        assert [frame.text for frame in client.of(TranscriptionFrame)] == ["a table please"]
        assert len(client.of(ProposedUserStartedSpeakingFrame)) == 2, "up and down"
        assert len(client.of(ProposedUserStoppedSpeakingFrame)) == 2
        started = next(one for one in server.session.sent if one.kind == "input_audio_buffer.speech_started")
        assert 300 <= started.body["audio_start_ms"] <= 700
        assert server.session.conversation()[-2:] == [
            {"role": "user", "content": "a table please"},
            {"role": "assistant", "content": "For how many?"},
        ]

    with_server(test, "Good day.", "For how many?", ears=Transcripts(texts=["a table please"]))


def test_a_tool_is_called_and_the_answer_goes_on_with_its_result() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        async def book(params: FunctionCallParams, people: int) -> None:
            """Book."""
            await params.result_callback({"booked": people})

        context = await ask(client, LLMContext([], tools=[book]))
        await client.until(lambda: server.sessions and server.session.count("conversation.item.create"))
        context.add_message({"role": "tool", "tool_call_id": "call_2", "content": "{}"})
        await server_continues(server)
        await client.until(lambda: words(client) == "Booked.")
        assert [one["role"] for one in server.session.conversation()] == [
            "system",
            "assistant",
            "tool",
            "assistant",
        ]
        assert server.session.config.body["tools"][0]["name"] == "book"

    async def server_continues(server: OpenAIRealtimeServer) -> None:
        await server.session.receive({"type": "response.create"})

    with_server(test, (Tool("book", people=4), "Booked."))


def test_speech_over_an_answer_cancels_it_and_a_truncation_cuts_what_the_model_knows() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: client.spoken_s > 1)
        await client.say(SPEECH)
        await client.push(InterruptionFrame())
        await client.until(lambda: server.session.truncations)
        done = next(one for one in server.session.sent if one.kind == "response.done")
        assert done.body["response"]["status"] == "cancelled"
        assert done.body["response"]["status_details"]["reason"] == "turn_detected"
        cut = server.session.truncations[0]
        said = server.session.items[cut.item_id].text()
        assert len(said) == pytest.approx(cut.audio_end_ms / 1000 / 0.06, abs=6)

    with_server(test, "one two three four five six seven eight nine ten " * 3, voice=Voice(speed=1.0))


def test_what_openai_refuses_is_refused() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: words(client) == "Good day.")
        await client.until(lambda: server.session.response is None)
        item = next(iter(server.session.items))
        refusals: list[tuple[dict[str, Any], str]] = [
            ({"type": "conversation.item.truncate", "item_id": item, "audio_end_ms": 9000}, "invalid_value"),
            (
                {"type": "conversation.item.truncate", "item_id": "no", "audio_end_ms": 1},
                "item_truncate_invalid_item_id",
            ),
            ({"type": "response.cancel"}, "response_cancel_not_active"),
            ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
            ({"type": "nonsense"}, "invalid_value"),
        ]
        for refused, code in refusals:
            await server.session.receive({"content_index": 0, **refused})
            assert server.session.sent[-1].body["error"]["code"] == code

    with_server(test, "Good day.")


@pytest.mark.parametrize(
    "fault", [Disconnects(after=0.5), Refused(500)], ids=["the connection is lost", "the answer fails"]
)
def test_faults_meet_the_answer_they_are_for(fault: Fault) -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        if isinstance(fault, Disconnects):
            await client.until(lambda: server.sessions and server.session.closed.is_set())
            assert 0 < client.spoken_s < 1.5
        else:
            await client.until(lambda: client.of(ErrorFrame))

    with_server(
        test, "one two three four five six seven eight", reply_faults={1: fault}, voice=Voice(speed=2)
    )


def test_an_endless_answer_goes_on_until_it_is_cancelled() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: client.spoken_s > 30)
        await server.session.cancel("client_cancelled")
        assert server.session.response is None

    with_server(test, "again and again", reply_faults={1: Endless()}, voice=Voice(speed=20))


def test_a_connection_can_be_refused() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await client.until(lambda: client.of(ErrorFrame))
        assert "503" in client.of(ErrorFrame)[0].error
        assert not server.sessions

    with_server(test, "Good day.", faults={1: Refused(503)})


def test_a_text_in_quotes_is_said_as_it_is() -> None:
    async def test(server: OpenAIRealtimeServer, client: RealtimeClient) -> None:
        await ask(client)
        await client.until(lambda: words(client) == "From the script.")
        await client.until(lambda: server.session.response is None)
        create = events.ResponseCreateEvent(
            response=events.ResponseProperties(instructions='Say exactly: "Still there?"')
        )
        await server.session.receive(create.model_dump(exclude_none=True))
        await client.until(lambda: words(client).endswith("Still there?"))

    with_server(test, "From the script.")
