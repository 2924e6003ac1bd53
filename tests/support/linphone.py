"""A second real telephone for tests: linphonec, the console of Linphone (Debian: linphone-cli), without a sound card.

Its SIP is belle-sip and its media mediastreamer2: nothing of it is shared with baresip. It plays and records WAV files.
It is told what to do on its standard input, and says what happens on its standard output.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from piopiy_pipeline.gateway import Gateway
from tests.support.baresip import PATIENCE_S, free_sip_port
from tests.support.gateway_peers import until
from tests.support.phone_calls import phones_of

__all__ = ["Linphone", "linphone_of", "needs_linphone"]

needs_linphone = pytest.mark.skipif(
    shutil.which("linphonec") is None, reason="linphonec is not installed (linphone-cli)"
)

_CONFIG = """\
[sip]
sip_port={sip_port}
sip_tcp_port=0
sip_tls_port=0
default_proxy=0
guess_hostname=0
contact="{user}" <sip:{user}@127.0.0.1>
use_ipv6=0
use_info={info}
use_rfc2833={events}
media_encryption=none
[rtp]
audio_rtp_port=31000-33999
[video]
enabled=0
capture=0
display=0
automatically_initiate=0
automatically_accept=0
[proxy_0]
reg_proxy=<sip:127.0.0.1:{gateway_port};transport=udp>
reg_identity="{user}" <sip:{user}@127.0.0.1>
reg_expires=60
reg_sendregister=1
[auth_info_0]
username={user}
passwd=secret
realm=*
"""


class Linphone:
    """A running telephone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.output = ""
        """All that it has said."""
        self._process = process
        self._read_to = 0
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def command(self, line: str) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def says(self, text: str) -> str:
        """Wait until it says this, behind what was waited for before. Returns what it has said up to there."""
        async with asyncio.timeout(PATIENCE_S):
            while (at := self.output.find(text, self._read_to)) < 0:
                self._changed.clear()
                await self._changed.wait()
        said, self._read_to = self.output[self._read_to : at + len(text)], at + len(text)
        return said

    async def press(self, keys: str) -> None:
        """Press keys, one after the other: each is a command, which it carries out in order."""
        for key in keys:
            await self.command(key)

    async def only_codec(self, name: str, rate: int) -> None:
        """Use no other codec than this one."""
        await self.command("codec list")
        await self.says("L16 (44100)")
        await self.says("L16 (44100)")
        for line in self.output.splitlines():
            number, colon, rest = line.strip().partition(":")
            if colon and number.isdigit() and "abled" in rest:
                wanted = rest.strip().startswith(f"{name} ({rate})")
                await self.command(f"codec {'enable' if wanted else 'disable'} {number}")

    async def quit(self) -> None:
        """End it: politely, and after two seconds by force."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(2):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while some := await self._process.stdout.read(4096):
            self.output += some.decode(errors="replace")
            self._changed.set()


@asynccontextmanager
async def linphone_of(
    gateway: Gateway, user: str = "alice", *, info: bool = False, events: bool = True
) -> AsyncIterator[Linphone]:
    """A user's telephone, registered at this gateway. It sends keys by INFO, as telephone events, or by both."""
    phones = phones_of(gateway)
    with tempfile.TemporaryDirectory(prefix="linphone-") as name:
        folder = Path(name)
        (folder / ".local" / "share" / "linphone").mkdir(
            parents=True
        )  # without it, it does not start its SIP
        config = _CONFIG.format(
            sip_port=free_sip_port(), user=user, gateway_port=phones.port, info=int(info), events=int(events)
        )
        (folder / "linphonerc").write_text(config)
        process = await asyncio.create_subprocess_exec(
            *("linphonec", "-c", str(folder / "linphonerc"), "-d", "6", "-l", str(folder / "log")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder)},
        )
        phone = Linphone(process)
        try:
            await phone.command("soundcard use files")
            await phone.says("Using wav files")
            await until(lambda: phones.endpoint is not None and phones.endpoint.registered(user))
            yield phone
        except BaseException:
            print(phone.output)
            raise
        finally:
            await phone.quit()
