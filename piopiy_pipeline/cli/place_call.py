"""Places a call of `piopiy call`: it carries a caller and their `GatewayLink` over a WebSocket, in real time.

It decides nothing. The link knows what is sent and heard, and `testing.line.callers` knows what a caller does and
when. The audio of both sides is saved as a stereo WAV.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from piopiy_pipeline.audio.wav import WavError
from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.carried_call import CarriedCall
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.stereo_recording import StereoRecording
from piopiy_pipeline.cli.target import CONNECT_S, Target, no_gateway
from piopiy_pipeline.signaling.caller import CallStart, parse_leg_event
from piopiy_pipeline.signaling.json_messages import UnknownMessage
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES, ProtocolError
from piopiy_pipeline.signaling.websocket import DirectClientConnection
from piopiy_pipeline.testing.line.callers import Caller

__all__ = ["place_call"]


async def place_call(
    target: Target,
    caller: Caller,
    start: CallStart,
    *,
    tell: Callable[[GatewayLink], None],
    limit_s: float = 300.0,
    tells_barge_in: bool = False,
    out: Path | None = None,
    hang_up: asyncio.Event | None = None,
) -> CallOutcome:
    """Dial, carry the call to its end, and return how it went.

    Args:
        target: The gateway, the agent and the caller's key.
        caller: What is said and done once the call is answered.
        start: The message that opens the call.
        tell: Called after everything that happens, at least once a frame; it must be quick.
        limit_s: The longest that the call may take, in seconds since dialling.
        tells_barge_in: Whether reports say how long the bot spoke on after an interruption.
        out: Where to save both sides, as a stereo WAV at the rate of the call. An older file stays if the
            dialling fails.
        hang_up: Setting it makes the caller hang up.

    Raises:
        Failed: There is no connection, or the recording cannot be written any more.
        BadInput: `out` cannot be written.
        CallerGaveUp: The caller waited for something that did not come.
    """
    try:
        recording = StereoRecording(out, start.rate) if out is not None else None
    except WavError as error:
        raise BadInput(str(error)) from None
    try:
        link = GatewayLink(start, limit_s=limit_s, tells_barge_in=tells_barge_in)
        socket = await _dial(target)
        call = CarriedCall(socket, link, tell, recording)
        socket.listen(
            on_text=partial(_on_text, call),
            on_binary=call.on_audio,
            on_close=lambda: call.on_lost(socket.close_reason or ""),
        )
        async with call:
            return await call.converse(caller, hang_up)
    except WavError as error:
        raise Failed(str(error)) from None
    finally:
        if recording is not None:
            await recording.close()


def _on_text(call: CarriedCall, data: bytes) -> None:
    try:
        event = parse_leg_event(data)
    except UnknownMessage:
        return  # of a newer gateway
    except ProtocolError as error:
        call.on_unreadable(str(error))
    else:
        call.on_event(event)


async def _dial(target: Target) -> DirectClientConnection:
    """Connect and shake hands. Raises `Failed` with a sentence that says what to do."""
    try:
        socket = await connect(
            target.call_url,
            create_connection=DirectClientConnection,
            additional_headers={"Authorization": f"Bearer {target.key}"},
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=CONNECT_S,
            proxy=None if target.is_loopback else True,
        )
    except InvalidStatus as error:
        raise Failed(_refusal(target, error)) from None
    except TimeoutError:
        raise Failed(f"{target.url} did not answer within {CONNECT_S:g} s") from None
    except (OSError, InvalidHandshake, WebSocketException) as error:
        raise no_gateway(target, error) from None
    assert isinstance(socket, DirectClientConnection)
    return socket


def _refusal(target: Target, error: InvalidStatus) -> str:
    status, body = error.response.status_code, bytes(error.response.body or b"")
    said = " ".join(body.decode("utf-8", "replace").split())[:200]
    because = f": {said}" if said else ""
    if status in (401, 403):
        return f"{target.url} refused the caller's key ({status}{because}); see --key and PIOPIY_CALLER_KEY"
    if status == 404:
        return f"{target.url} takes no calls at /call/{target.agent_id} ({status}{because})"
    return f"{target.url} refused the call ({status}{because})"
