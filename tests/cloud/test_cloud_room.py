"""`CloudRoom` beside LiveKit's client, in virtual time: without a server, and with a participant of the test's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("livekit.rtc", reason="pip install 'piopiy-pipeline[cloud]'")

from livekit import rtc

from piopiy_pipeline.gateway.cloud.cloud_room import CloudRoom
from piopiy_pipeline.testing import run_virtual


class Participant:
    """The bot in the room. Each key takes a moment until the server has it, the first one longer."""

    def __init__(self) -> None:
        self.sent = ""

    async def publish_dtmf(self, *, code: int, digit: str) -> None:
        await asyncio.sleep(0.02 if self.sent else 0.1)
        self.sent += digit


def room_of(bot: Participant, monkeypatch: pytest.MonkeyPatch) -> CloudRoom:
    listener: Any = SimpleNamespace()
    monkeypatch.setattr(rtc.Room, "local_participant", bot)
    return CloudRoom(listener, rate=16_000)


def test_keys_are_sent_in_the_order_in_which_they_were_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        bot = Participant()
        room = room_of(bot, monkeypatch)
        room.press("12")
        room.press("34#")
        await asyncio.sleep(1.0)
        assert bot.sent == "1234#"
        await room.leave()

    run_virtual(story)
