"""A capture listens at a provider's connection, and nothing that comes over it can make it end the call."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.capture import CallCapture, CapturedCall
from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.capture.tapped_connection import ConnectionTap, TappedConnection
from piopiy_pipeline.processors.keys import KeysToText

ODD = ['{"type": "audio", "delta": null}', '{"type": "audio", "delta": "é"}', '{"type": "audio", "delta": 7}']
NONE = ["no JSON", "[1, 2]", b"\xff\xfe"]


class Tap(ConnectionTap):
    """Reads audio as the taps of providers do, which rely on the protocol."""

    def received(self, number: int, message: dict[str, Any]) -> None:
        pcm = base64.b64decode(message.pop("delta"))
        self.note(number, "received", {**message, "audio": self._log.speech(pcm, 24_000)})


class Connection:
    """Sends these messages, and closes."""

    def __init__(self, messages: list[str | bytes]) -> None:
        self._messages = messages

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        for message in self._messages:
            yield message


@pytest.mark.parametrize("message", [*ODD, *NONE])
def test_a_message_that_is_not_what_the_protocol_says_goes_on_to_the_service(
    message: str | bytes, tmp_path: Path
) -> None:
    whole = '{"type": "audio", "delta": "AAAAAAAA"}'

    async def run() -> tuple[list[str | bytes], Path | None]:
        capture = CallCapture(tmp_path / "call.zip", CallInfo("a", "c", None, None, None, "stream"))
        log: CaptureLog = capture._log
        connection = TappedConnection(Connection([message, whole]), Tap(KeysToText(), log), 1)
        return [each async for each in connection], await capture.close()

    passed, path = asyncio.run(run())
    assert passed == [message, whole]
    assert path is not None
    noted = [line.data for line in CapturedCall(path).exchanges if line.kind == "received"]
    assert [sorted(data) for data in noted] == [["text"], ["audio", "type"]]
