"""A real telephone for tests: baresip (https://github.com/baresip/baresip), without a screen or a sound card.

It speaks what WAV files hold, records what it hears, and is told what to do over its `ctrl_tcp` module:
netstrings of JSON on a port of loopback.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Baresip", "DidNotStart", "baresip", "free_port", "free_sip_port"]

PATIENCE_S = 20.0
PADDING_S = 300.0
"""baresip hangs up when its recording ends: silence follows what it says."""

_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
sip_trans_def {transport}
net_interface 127.0.0.1
call_local_timeout 60
call_max_calls 4
audio_player aubridge,sink
audio_source aufile,{quiet}
audio_alert aubridge,alert
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
audio_level no
rtp_ports {rtp_ports}
rtcp_mux {mux}
jitter_buffer_type fixed
jitter_buffer_delay 1-10
module_path /usr/lib/baresip/modules
module {codecs}
module aufile.so
module aubridge.so
module sndfile.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {folder}
"""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of loopback that is free at this moment."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def free_sip_port() -> int:
    """Return a port for UDP and TCP, with the next one for TLS. Baresip wants all of them, whatever its
    settings.

    Above those that this machine gives to connections, so that none of them comes in between.
    """
    while True:
        port = 61_000 + 2 * secrets.randbelow(2000)
        kinds = ((socket.SOCK_DGRAM, port), (socket.SOCK_STREAM, port), (socket.SOCK_STREAM, port + 1))
        try:
            for kind, number in kinds:
                with socket.socket(socket.AF_INET, kind) as one:
                    one.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port


class DidNotStart(Exception):
    """The telephone ended at once, because another process took one of its ports."""


class Baresip:
    """A running telephone. `event` waits for its events, `say` makes it speak, and `heard` is its recording."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, rate: int, sip_port: int) -> None:
        self.folder = folder
        self.rate = rate
        self.sip_port = sip_port
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._tokens = 0
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._taken = 0
        self._spoken = 0

    # ------------------------------------------------------------------ what it does

    async def command(self, name: str, params: str = "") -> str:
        """Send the telephone a command. Fails if it answers that it cannot carry it out."""
        assert self._writer is not None
        self._tokens += 1
        token = str(self._tokens)
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        text = json.dumps({"command": name, "params": params, "token": token})
        self._writer.write(f"{len(text)}:{text},".encode())
        async with asyncio.timeout(PATIENCE_S):
            reply = await answer
        assert reply["ok"], f"baresip: {name} {params}: {reply['data']}"
        return str(reply["data"])

    async def dial(self, uri: str) -> None:
        """Call somebody, and wait until they have picked up."""
        await self.command("dial", uri)
        await self.event("CALL_ESTABLISHED")

    async def press(self, keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            await self.command("sndcode", key)
            await asyncio.sleep(0.3)  # a finger's: baresip sends a key for as long as it is down
            await self.command("sndcode", "\x04")  # and this lets it go

    async def say(self, *wavs: Path) -> None:
        """Speak these recordings, one after the other, from now on."""
        pcm = np.concatenate([_load(wav, self.rate) for wav in wavs])
        self._spoken += 1
        path = self.folder / f"says-{self._spoken}.wav"
        _save(path, np.concatenate((pcm, np.zeros(int(PADDING_S * self.rate), np.int16))), self.rate)
        await self.command("ausrc", f"aufile,{path}")

    async def hang_up(self) -> None:
        """End the call."""
        await self.command("hangup")

    # ------------------------------------------------------------------ what it notices

    async def event(self, *kinds: str) -> dict[str, Any]:
        """Return the next event of one of these kinds. Other events are skipped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._taken < len(self.events):
                    self._taken += 1
                    if self.events[self._taken - 1]["type"] in kinds:
                        return self.events[self._taken - 1]
                self._news.clear()
                await self._news.wait()

    def heard(self) -> NDArray[np.int16]:
        """Return its recording of the other side, at its own rate."""
        [recording] = self.folder.glob("dump-*-dec.wav")
        return _load(recording, self.rate)

    def hears(self) -> NDArray[np.int16]:
        """Return what it has recorded of the other side so far, while it records, at the rate of the codec."""
        # The header says nothing of the length yet.
        written = [path.read_bytes() for path in self.folder.glob("dump-*-dec.wav")]
        found = [wav[wav.find(b"data") + 8 :] for wav in written if b"data" in wav]
        return np.concatenate([np.frombuffer(pcm[: len(pcm) & ~1], "<i2") for pcm in [b"", *found]])

    # ------------------------------------------------------------------ its life

    async def connect(self, port: int) -> None:
        """Connect to its control port, which is open when it has started."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    if self._process.returncode is not None:
                        raise DidNotStart from None
                    await asyncio.sleep(0.02)
                else:
                    break
        self._reading = asyncio.create_task(self._read(reader))

    def die(self) -> None:
        """Kill the telephone, as if somebody had pulled its plug."""
        self._process.kill()

    async def quit(self) -> None:
        """End the telephone: with a command, and after two seconds by force."""
        if self._writer is not None:
            self._writer.close()
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(2):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                size = int((await reader.readuntil(b":"))[:-1])
                message = json.loads((await reader.readexactly(size + 1))[:-1])
                if "event" in message:
                    self.events.append(message)
                    self._news.set()
                elif (answer := self._answers.pop(message.get("token", ""), None)) is not None:
                    answer.set_result(message)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return


@asynccontextmanager
async def baresip(
    account: str,
    *,
    rate: int = 8000,
    codecs: str = "g711.so",
    transport: str = "udp",
    mux: bool = False,
    rtp_ports: str = "34000-39999",
) -> AsyncIterator[Baresip]:
    """Run a telephone with this account (a line of baresip's ``accounts`` file) until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="baresip-") as name:
        folder = Path(name)
        quiet = folder / "quiet.wav"
        _save(quiet, np.zeros(int(PADDING_S * rate), np.int16), rate)
        (folder / "accounts").write_text(account + "\n")
        settings = {
            "transport": transport,
            "quiet": quiet,
            "rate": rate,
            "rtp_ports": rtp_ports,
            "mux": "yes" if mux else "no",
            "codecs": codecs,
            "folder": folder,
        }
        phone = await _start(folder, settings)
        try:
            yield phone
        except BaseException:
            print((folder / "log").read_text(errors="replace"))
            raise
        finally:
            await phone.quit()


async def _start(folder: Path, settings: dict[str, Any]) -> Baresip:
    """Start the telephone, and try other ports if another process was faster."""
    for last in (False, False, True):
        control, sip_port = free_port(), free_sip_port()
        (folder / "config").write_text(_CONFIG.format(sip_port=sip_port, control_port=control, **settings))
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                "baresip", "-f", str(folder), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        phone = Baresip(folder, process, settings["rate"], sip_port)
        try:
            await phone.connect(control)
        except BaseException as error:
            await phone.quit()
            if last or not isinstance(error, DidNotStart):
                print((folder / "log").read_text(errors="replace"))
                raise
        else:
            return phone
    raise AssertionError("one of the attempts was the last")


def _load(path: Path, rate: int) -> NDArray[np.int16]:
    """Return a recording at `rate`, whatever its own rate is."""
    with wave.open(str(path)) as recording:
        pcm = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
        if recording.getnchannels() == 2:
            pcm = pcm[::2]
        if recording.getframerate() == rate:
            return pcm
        from piopiy_pipeline.audio.resample import Resampler

        whole = pcm[: pcm.size // 320 * 320].tobytes()
        return np.frombuffer(Resampler(recording.getframerate(), rate).process(whole), np.int16)


def _save(path: Path, pcm: NDArray[np.int16], rate: int) -> None:
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(pcm.tobytes())
