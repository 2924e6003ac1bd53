"""Texts that grow, told in part; and results that are bounded."""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.frames.frames import TTSTextFrame
from pipecat.utils.text.base_text_aggregator import TextType

from piopiy_pipeline.session.live_events import MAX_PARTIAL_CHARACTERS, LiveEvents, Partial, bounded
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual


def test_the_first_words_are_told_at_once_and_the_next_when_it_is_their_time() -> None:
    partial = Partial(every_s=0.25)
    partial.update("a")
    assert partial.take(10.0) == "a"
    partial.update("a table")
    assert partial.take(10.1) is None
    assert partial.due() == 10.25
    partial.update("a table for")
    assert partial.take(10.25) == "a table for"


def test_nothing_is_told_twice_nor_behind_the_whole() -> None:
    partial = Partial()
    partial.update("a")
    partial.take(1.0)
    partial.update("a")
    assert partial.due() is None
    partial.update("a table")
    partial.clear()
    assert partial.due() is None
    assert partial.take(9.0) is None


def test_an_estimate_that_came_too_soon_is_told_with_the_next_report_of_the_playout_and_by_no_timer() -> None:
    told: list[tuple[float, str]] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def report(event: str, data: dict[str, Any]) -> None:
            told.append((round(loop.time() - began, 3), data["text"]))

        live = LiveEvents(report, loop.time, lambda mark: None)
        for n, text in enumerate(("A", "A table", "A table for", "A table for two")):
            live.on_partly_heard(text)
            await asyncio.sleep(0.2 if n < 3 else 5.0)

    run_virtual(story)
    assert told == [(0.0, "A"), (0.4, "A table for")]


def test_of_an_endless_turn_the_end_is_told() -> None:
    partial = Partial()
    partial.update("x" * 5000 + "y")
    told = partial.take(0.0)
    assert told is not None
    assert len(told) == MAX_PARTIAL_CHARACTERS
    assert told.endswith("y")


def test_of_a_bot_whose_turns_are_never_over_no_more_is_kept_than_is_told() -> None:
    told: list[str] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        live = LiveEvents(lambda event, data: told.append(data["text"]), loop.time, lambda mark: None)
        words = [f"word{n}" for n in range(2000)]
        for word in words:
            live.on_heard(TTSTextFrame(word, TextType.WORD))
        live.on_heard(TTSTextFrame("", TextType.WORD))
        await asyncio.sleep(1)
        assert told[-1] == " ".join(words)[-MAX_PARTIAL_CHARACTERS:]
        kept = live._bot._parts
        assert len(kept) <= MAX_PARTIAL_CHARACTERS // len("word1")
        live.on_heard(TTSTextFrame("x" * 10**6, TextType.WORD))
        assert [len(part.text) for part in kept] == [MAX_PARTIAL_CHARACTERS]
        live.turn_over("bot")
        live.on_heard(TTSTextFrame("Yes?", TextType.WORD))
        await asyncio.sleep(1)
        assert told[-1] == "Yes?"

    run_virtual(story)


def test_a_result_is_told_as_json_has_it() -> None:
    assert bounded({"at": (1, 2), "ok": None}) == {"at": [1, 2], "ok": None}
    assert bounded(object).startswith("<class")


def test_of_a_long_result_the_beginning_is_told_within_the_limit_in_bytes() -> None:
    told = bounded({"text": "ä" * 5000}, limit=2000)
    assert isinstance(told, str)
    assert told.startswith('{"text": "ää')
    assert len(told.encode()) <= 2000
