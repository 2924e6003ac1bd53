"""The shell that carries a `ScriptedCaller` over a WebSocket, in real time, and saves what was said.

There is nothing to decide here: see `caller` for what a caller does and when.
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
from piopiy_pipeline.cli.caller import PlacedSound, ScriptedCaller
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.offload import Lane
from piopiy_pipeline.signaling.caller import parse_leg_event
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES, ProtocolError
from piopiy_pipeline.signaling.websocket import DirectClientConnection

__all__ = ["StereoRecording", "place_call"]

_CONNECT_S = 10.0
_SAVE_EVERY_S = 1.0
_SAVE_BEHIND_S = 2.0  # audio may still come for this long after its place in the recording has passed


class StereoRecording:
    """Both sides of a call on their way to a stereo WAV, written off the loop, a second at a time."""

    def __init__(self, path: Path, rate: int) -> None:
        """Create the file at once, so that a bad path is an error before the call. Raises `WavError`."""
        self._file = GrowingWav(path, rate, replace=True, mode=0o666)
        self._waiting: dict[str, list[Piece]] = {"left": [], "right": []}
        self._behind = round(_SAVE_BEHIND_S * rate)
        self._write([], 0)
        self._lane = Lane("recording", threads=1, limit=100)

    def save(self, sounds: list[PlacedSound], position: int) -> asyncio.Future[None]:
        """Queue what was said and heard; `position` is how far the call has come, in samples."""
        return self._lane.submit(self._write, sounds, position - self._behind)

    async def close(self) -> None:
        """Write the rest and close the file. Raises `WavError` when the disk is full, say."""
        try:
            await self._lane.run(self._finish)
        finally:
            self._lane.close()

    def _write(self, sounds: list[PlacedSound], final: int) -> None:
        """Write what lies before the position `final`; hold back the rest, which may still change."""
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
    """One connection to a gateway, its caller, and the timer that makes the caller's frames."""

    def __init__(
        self,
        socket: DirectClientConnection,
        caller: ScriptedCaller,
        tell: Callable[[ScriptedCaller, float], None],
        recording: StereoRecording | None,
    ) -> None:
        self._socket = socket
        self._caller = caller
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
            self._recording.save(self._caller.take_sounds(), self._caller.position)

    async def wait_over(self) -> None:
        """Wait until the call has ended. What failed while it was carried is raised here."""
        await asyncio.shield(self._over)

    def hang_up(self) -> None:
        self._carry(self._caller.hang_up)

    def _on_text(self, data: bytes) -> None:
        try:
            event = parse_leg_event(data)
        except ProtocolError as error:
            self._carry(partial(self._caller.on_lost, f"it sent something unknown: {error}"))
        else:
            self._carry(partial(self._caller.on_event, event))

    def _on_binary(self, data: bytes) -> None:
        self._carry(partial(self._caller.on_audio, data))

    def _on_close(self) -> None:
        self._carry(partial(self._caller.on_lost, self._socket.close_reason or ""))

    def _turn(self) -> None:
        self._carry(self._caller.tick)

    def _carry(self, happen: Callable[[float], None]) -> None:
        """Let something happen to the caller, then do what it asks."""
        if self._over.done():
            return
        try:
            now = self._loop.time()
            happen(now)
            for message in self._caller.take_messages():
                if isinstance(message, str):
                    self._socket.post_text(message)
                else:
                    self._socket.post_binary(message)
            self._tell(self._caller, now)
            self._save(now)
        except Exception as error:  # noqa: BLE001  raised where the call is awaited
            self._over.set_exception(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._caller.over:
            self._over.set_result(None)
        else:
            self._timer = self._loop.call_at(self._caller.next_due, self._turn)

    def _save(self, now: float) -> None:
        if now < self._save_at:
            return
        self._save_at = now + _SAVE_EVERY_S
        sounds = self._caller.take_sounds()
        if self._recording is not None:
            self._recording.save(sounds, self._caller.position).add_done_callback(self._saved)

    def _saved(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()) and not self._over.done():
            self._over.set_exception(error)


async def place_call(
    target: Target,
    make_caller: Callable[[float], ScriptedCaller],
    *,
    tell: Callable[[ScriptedCaller, float], None],
    out: tuple[Path, int] | None = None,
    hang_up: asyncio.Event | None = None,
) -> ScriptedCaller:
    """Dial `target`, carry the call to its end, and return its caller, whose `outcome` is there.

    `make_caller` gets the loop's time at dialling. `tell` is called after everything that happens, at
    least once a frame, with the caller and the loop's time; it must be quick. `out` is the path and the
    rate of a recording. Setting `hang_up` makes the caller hang up. Raises `Failed` when there is no
    connection, `BadInput` when `out` cannot be written.
    """
    try:
        recording = StereoRecording(*out) if out is not None else None
    except WavError as error:
        raise BadInput(str(error)) from None
    try:
        caller = make_caller(asyncio.get_running_loop().time())
        async with await _dial(target) as socket, _CallerConnection(socket, caller, tell, recording) as line:
            ending = asyncio.ensure_future(line.wait_over())
            asked = asyncio.ensure_future((hang_up or asyncio.Event()).wait())
            try:
                await asyncio.wait({ending, asked}, return_when=asyncio.FIRST_COMPLETED)
                if not ending.done():
                    line.hang_up()
                await ending
            finally:
                asked.cancel()
                ending.cancel()
    except WavError as error:
        raise Failed(str(error)) from None
    finally:
        if recording is not None:
            await recording.close()
    return caller


async def _dial(target: Target) -> DirectClientConnection:
    """Connect and shake hands. Raises `Failed` with a sentence about what to do."""
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
