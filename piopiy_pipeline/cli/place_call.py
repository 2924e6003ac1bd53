"""Places a call of `piopiy call`: it carries a caller and their `GatewayLink` over a WebSocket, in real time.

It decides nothing. The link knows what is sent and heard, and `testing.line.callers` knows what a caller does
and
when. The audio of both sides is saved as a stereo WAV.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from piopiy_pipeline.audio.growing_wav import GrowingWav, Piece
from piopiy_pipeline.audio.wav import WavError
from piopiy_pipeline.cli.call_report import CallOutcome, PlacedSound
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.offload import Lane
from piopiy_pipeline.signaling.caller import CallStart, parse_leg_event
from piopiy_pipeline.signaling.json_messages import UnknownMessage
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES, ProtocolError
from piopiy_pipeline.signaling.websocket import DirectClientConnection
from piopiy_pipeline.testing.line.callers import Caller, CallerLine

__all__ = ["StereoRecording", "place_call"]

_CONNECT_S = 10.0
_SAVE_EVERY_S = 1.0
_SAVE_BEHIND_S = 2.0  # audio may still come for this long after its place in the recording has passed


class StereoRecording:
    """Saves both sides of a call as a stereo WAV. It writes off the event loop, a second at a time."""

    def __init__(self, path: Path, rate: int) -> None:
        """Create the file at once, so that a bad path is an error before the call.

        Args:
            path: The file. An older one is replaced.
            rate: The sample rate of both sides in Hz.

        Raises:
            WavError: The file cannot be created.
        """
        self._file = GrowingWav(path, rate, replace=True, mode=0o666)
        self._waiting: dict[str, list[Piece]] = {"left": [], "right": []}
        self._behind = round(_SAVE_BEHIND_S * rate)
        self._write([], 0)
        self._lane = Lane("recording", threads=1, limit=100)

    def save(self, sounds: list[PlacedSound], position: int) -> asyncio.Future[None]:
        """Queue audio to be written.

        Args:
            sounds: What was said and heard since the last time.
            position: How far the call has come, in samples.
        """
        return self._lane.submit(self._write, sounds, position - self._behind)

    async def close(self) -> None:
        """Write the rest and close the file. Raises `WavError` when, for example, the disk is full."""
        try:
            await self._lane.run(self._finish)
        finally:
            self._lane.close()

    def _write(self, sounds: list[PlacedSound], final: int) -> None:
        """Write everything before the position `final`. The rest is held back, because it may still change."""
        for side, position, pcm in sounds:
            self._waiting[side].append((position, pcm.astype("<i2").tobytes()))
        due = [[piece for piece in pieces if piece[0] < final] for pieces in self._waiting.values()]
        try:
            self._file.write(final, *due)
        except OSError as error:
            raise WavError(f"{self._file.path}: cannot be written ({error.strerror or error})") from None
        for pieces in self._waiting.values():
            pieces[:] = [piece for piece in pieces if _end(piece) > final]

    def _finish(self) -> None:
        ends = [_end(piece) for pieces in self._waiting.values() for piece in pieces]
        try:
            self._write([], max(ends, default=0))
        finally:
            self._file.close()


def _end(piece: Piece) -> int:
    position, pcm = piece
    return position + len(pcm) // 2


class _CallerConnection:
    """One connection to a gateway, its link, and the timer that sends the caller's frames."""

    def __init__(
        self,
        socket: DirectClientConnection,
        link: GatewayLink,
        tell: Callable[[GatewayLink], None],
        recording: StereoRecording | None,
    ) -> None:
        self._socket = socket
        self._link = link
        self._tell = tell
        self._recording = recording
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._save_at = self._loop.time() + _SAVE_EVERY_S

    async def __aenter__(self) -> Self:
        self._socket.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)
        self._turn()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._socket.close()
        if self._recording is not None:
            self._recording.save(self._link.take_sounds(), self._link.position)

    async def wait_over(self) -> None:
        """Wait until the call has ended. An error that occurred meanwhile is raised here."""
        await asyncio.shield(self._over)

    def hang_up(self) -> None:
        """Make the caller hang up."""
        self._carry(self._link.hang_up)

    def _on_text(self, data: bytes) -> None:
        try:
            event = parse_leg_event(data)
        except UnknownMessage:
            return  # of a newer gateway
        except ProtocolError as error:
            self._carry(partial(self._link.on_unreadable, str(error)))
        else:
            self._carry(partial(self._link.on_message, event))

    def _on_binary(self, data: bytes) -> None:
        self._carry(partial(self._link.on_audio, data))

    def _on_close(self) -> None:
        self._carry(partial(self._link.on_lost, self._socket.close_reason or ""))

    def _turn(self) -> None:
        self._carry(self._link.tick)

    def _carry(self, happen: Callable[[], None]) -> None:
        """Call a method of the link, then send what the link wants to send."""
        if self._over.done():
            return
        try:
            now = self._loop.time()
            happen()
            for message in self._link.take_messages():
                if isinstance(message, str):
                    self._socket.post_text(message)
                else:
                    self._socket.post_binary(message)
            self._tell(self._link)
            self._save(now)
        except Exception as error:  # noqa: BLE001  raised where the call is awaited
            self._over.set_exception(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._link.over:
            self._over.set_result(None)
        else:
            self._timer = self._loop.call_at(self._link.next_due, self._turn)

    def _save(self, now: float) -> None:
        if now < self._save_at:
            return
        self._save_at = now + _SAVE_EVERY_S
        sounds = self._link.take_sounds()
        if self._recording is not None:
            self._recording.save(sounds, self._link.position).add_done_callback(self._saved)

    def _saved(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()) and not self._over.done():
            self._over.set_exception(error)


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
        out: Where to save both sides, as a stereo WAV at the rate of the call.
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
        async with (
            await _dial(target) as socket,
            _CallerConnection(socket, link, tell, recording) as connection,
        ):
            ending = asyncio.ensure_future(connection.wait_over())
            calling = asyncio.ensure_future(_call(link, caller))
            asked = asyncio.ensure_future((hang_up or asyncio.Event()).wait())
            try:
                await asyncio.wait({ending, calling, asked}, return_when=asyncio.FIRST_COMPLETED)
                if not ending.done():
                    connection.hang_up()
                await ending
                if calling.done():
                    calling.result()
            finally:
                for task in (asked, calling, ending):
                    task.cancel()
                await asyncio.wait({asked, calling, ending})
    except WavError as error:
        raise Failed(str(error)) from None
    finally:
        if recording is not None:
            await recording.close()
    assert link.outcome is not None
    return link.outcome


async def _call(link: GatewayLink, caller: Caller) -> None:
    await link.answered.wait()
    await caller(CallerLine(link))


async def _dial(target: Target) -> DirectClientConnection:
    """Connect and shake hands. Raises `Failed` with a sentence that says what to do."""
    try:
        socket = await connect(
            target.call_url,
            create_connection=DirectClientConnection,
            additional_headers={"Authorization": f"Bearer {target.key}"},
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=_CONNECT_S,
            proxy=None if target.is_loopback else True,
        )
    except InvalidStatus as error:
        raise Failed(_refusal(target, error)) from None
    except TimeoutError:
        raise Failed(f"{target.url} did not answer within {_CONNECT_S:g} s") from None
    except (OSError, InvalidHandshake, WebSocketException) as error:
        # asyncio words its own text around the system's, with the address once more.
        number = error.errno if isinstance(error, OSError) else None
        what = os.strerror(number) if number else str(error)
        raise Failed(
            f"no gateway at {target.url} ({what}); start one with `piopiy dev`, or name it with --url"
        ) from None
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
