"""The connection to a recorded speech-to-speech model: what the caller's sounds do to an answer under way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.testing.replaying.answers import AnswerBook, Part
from piopiy_pipeline.testing.replaying.order_of_parts import OrderOfParts
from piopiy_pipeline.testing.replaying.realtime_book import RealtimeBook
from piopiy_pipeline.testing.replaying.recorded_connection import CUT_S, Inbox, RecordedModel
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

KEEPS = {"type": "server_vad", "interrupt_response": False}
CUTS = {"type": "server_vad", "interrupt_response": True}


def said_at_a_sound(session: dict[str, Any]) -> list[str]:
    """Return the types of what the provider says when a sound comes into an answer, with such a session."""

    async def run() -> list[str]:
        book = AnswerBook([], now=lambda: 0.0)
        recorded = RealtimeBook([], lambda rate: np.zeros(0, np.int16), book)
        model = RecordedModel(recorded, book, OrderOfParts(), pytest.fail)
        connection = model.connect()
        await connection.send(json.dumps({"type": "session.update", "session": session}))
        model.tell(Part(0.0, "message", {"type": "response.created", "response": {"id": "one"}}))
        model.tell(Part(0.1, "message", {"type": "input_audio_buffer.speech_started"}))
        await asyncio.sleep(1.1 * CUT_S)
        await connection.close()
        return [json.loads(text)["type"] async for text in connection]

    opened = ["session.created", "session.updated", "response.created"]
    said = run_virtual(run)
    assert said[:3] == opened
    return said[3:]


@pytest.mark.parametrize(
    "place",
    [lambda found: {"audio": {"input": {"turn_detection": found}}}, lambda found: {"turn_detection": found}],
    ids=["OpenAI and Inworld", "Voice Live and Grok"],
)
def test_a_sound_cancels_an_answer_only_if_the_session_has_it_so(place: Any) -> None:
    started = "input_audio_buffer.speech_started"
    assert said_at_a_sound(place(KEEPS)) == [started]
    assert said_at_a_sound(place(CUTS)) == [started, "response.done"]


def test_a_client_that_cuts_an_answer_off_by_itself_does_so_before_it_is_told_of_it() -> None:
    """As over a network, where its message is under way when the provider's own comes."""

    async def run() -> list[str]:
        book = AnswerBook([], now=lambda: 0.0)
        model = RecordedModel(
            RealtimeBook([], lambda rate: np.zeros(0, np.int16), book), book, OrderOfParts(), pytest.fail
        )
        connection = model.connect()
        model.tell(Part(0.0, "message", {"type": "response.created", "response": {"id": "one"}}))
        why: list[str] = []
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "response.created":
                model.tell(Part(0.1, "message", {"type": "input_audio_buffer.speech_started"}))
            elif message["type"] == "input_audio_buffer.speech_started":
                await asyncio.sleep(CUT_S / 2)  # what was heard is asked for before
                await connection.send(json.dumps({"type": "response.cancel"}))
            elif message["type"] == "response.done":
                why.append(message["response"]["status_details"]["reason"])
                await asyncio.sleep(CUT_S)
                await connection.close()
        return why

    assert run_virtual(run) == ["client_cancelled"]


def test_what_a_message_leads_to_begins_before_the_next_one_of_the_same_time_is_there() -> None:
    async def run() -> list[str]:
        inbox, happened = Inbox(), []
        for text in ("the caller's words", "the answer", None):
            inbox.put(text)
        while (text := await inbox.get()) is not None:
            happened.append(text)
            asyncio.get_running_loop().call_soon(happened.append, f"what {text} led to")
        assert await inbox.get() is None
        return happened

    first, second = "the caller's words", "the answer"
    assert asyncio.run(run()) == [first, f"what {first} led to", second, f"what {second} led to"]
