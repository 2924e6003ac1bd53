"""`RealtimeServer`: a speech-to-speech provider on loopback, or within a simulation.

    async with OpenAIRealtimeServer(["Good day.", "For how many?"], spoken=words) as server:
        llm = OpenAIRealtimeLLMService(api_key="none", base_url=server.url)

In virtual time it is reached without a socket (`testing.virtual_time.virtual_network`), and so the clock jumps on;
in any other loop it listens on a free port of 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Generic, Self, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.realtime.scripted_model import ScriptedModel
from piopiy_pipeline.testing.scripted.faults import Fault, Refused
from piopiy_pipeline.testing.scripted.reply_script import Reply
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import Voice
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop

__all__ = ["RealtimeMessage", "RealtimeServer", "RealtimeSession", "Truncation"]

KEPT_MESSAGES = 20_000
"""Messages of a session that its log keeps; audio is counted, not kept."""
MAX_MESSAGE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RealtimeMessage:
    """A message of a client or of the server, without its audio.

    Attributes:
        at: When, in seconds of the loop's clock.
        kind: Its type, as the provider calls it.
        body: The whole message.
    """

    at: float
    kind: str
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Truncation:
    """What a client has said of how much of an answer was heard.

    Attributes:
        at: When, in seconds of the loop's clock.
        item_id: The answer.
        audio_end_ms: How much of it was heard, in milliseconds.
    """

    at: float
    item_id: str
    audio_end_ms: int


class RealtimeSession:
    """One client's session, and the honest log of it. A protocol derives from it.

    Attributes:
        number: Of the sessions of its server, from 1.
        received: What the client has sent, in order; audio is not among it.
        sent: What it was sent.
        heard_s: The audio that the client has sent, in seconds.
        truncations: What the client has told of its answers.
    """

    def __init__(self, connection: ServerConnection, model: ScriptedModel, path: str) -> None:
        self.number = model.new_session()
        self.path = path
        self.received: list[RealtimeMessage] = []
        self.sent: list[RealtimeMessage] = []
        self.heard_s = 0.0
        self.truncations: list[Truncation] = []
        self.closed = asyncio.Event()
        self._connection = connection
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the client until its connection is closed."""
        try:
            await self.begin()
            async for message in self._connection:
                if isinstance(message, bytes):
                    await self.hear(message)
                else:
                    await self.receive(json.loads(message))
        except ConnectionClosed:
            pass
        finally:
            await self.end()

    async def end(self) -> None:
        """End what is done beside the messages. The connection is closed."""
        self.closed.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin(self) -> None:
        """Greet the client."""

    async def receive(self, message: dict[str, Any]) -> None:
        """Take a message of the client's."""
        raise NotImplementedError

    async def hear(self, pcm: bytes) -> None:
        """Take audio that is no message."""
        raise NotImplementedError

    def drop(self) -> None:
        """Lose the connection, without a word."""
        self._connection.transport.abort()

    async def close(self, code: int = 1011, reason: str = "") -> None:
        """Close the connection as WebSockets are closed."""
        await self._connection.close(code, reason)

    def kinds(self) -> list[str]:
        """Return the types of all messages of the client, in order."""
        return [message.kind for message in self.received]

    def count(self, kind: str) -> int:
        """Return how many messages of a type the client has sent."""
        return sum(message.kind == kind for message in self.received)

    # ------------------------------------------------------------------ for protocols

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write a message of the client's into the log."""
        if len(self.received) < KEPT_MESSAGES:
            self.received.append(RealtimeMessage(self._loop.time(), kind, body))

    async def send(self, kind: str, body: Mapping[str, Any], *, audio: bool = False) -> None:
        """Send the client a message. One that holds `audio` is logged without its body."""
        text = json.dumps(body)
        if len(self.sent) < KEPT_MESSAGES:
            self.sent.append(RealtimeMessage(self._loop.time(), kind, {} if audio else json.loads(text)))
        await self._connection.send(text)

    async def send_nonsense(self) -> None:
        """Send what is no message."""
        await self._connection.send("<html>502 Bad Gateway</html>")

    def start(self, work: Any, name: str) -> asyncio.Task[None]:
        """Do something beside the messages, to the end of the session at most."""
        task: asyncio.Task[None] = self._loop.create_task(work, name=f"realtime server: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


S = TypeVar("S", bound=RealtimeSession)


class RealtimeServer(Generic[S]):
    """A provider's server. `OpenAIRealtimeServer` and others say which.

    Args:
        replies: What the model says and does, turn by turn; see `Replies`. Faults of a turn are its, too:
            `Disconnects` drops the connection in the answer, `Stalls` says no more, `SlowStart` is late, `Refused`
            and `TimesOut` fail, `Garbage` is no JSON, `Endless` never stops.
        voice: How the model sounds: a tone for each word, or recordings. `speed` is how much faster than it is spoken
            the audio comes; None: at once.
        ears: When transcripts come, and with `texts` what they are.
        spoken: Tells the caller's words by time, as in a simulation.
        faults: What a connection meets, by its number, from 1: only `Refused`, which is an HTTP status.
        words_ahead_s: How much earlier than its audio a word is told, in seconds. A provider's transcript runs ahead.
        seed: The same seed gives the same latencies.
        tls: The certificate that it shows on a socket. Within a virtual loop there is none.
    """

    session_class: ClassVar[type[RealtimeSession]]
    path: ClassVar[str] = ""
    """What of the address follows host and port."""

    def __init__(
        self,
        replies: Replies | Sequence[Reply] = (),
        *,
        voice: Voice | None = None,
        ears: Transcripts | None = None,
        spoken: Spoken | None = None,
        faults: Mapping[int, Fault] | None = None,
        words_ahead_s: float = 0.0,
        seed: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        for number, fault in (faults or {}).items():
            if not isinstance(fault, Refused):
                raise TypeError(
                    f"the fault of connection {number} is {shown(fault)}: a connection can be Refused(status)"
                )
        self.model = ScriptedModel(
            replies, voice=voice, ears=ears, spoken=spoken, seed=seed, words_ahead_s=words_ahead_s
        )
        self.sessions: list[S] = []
        """All sessions so far, the last one at the end."""
        self.address = ""
        """Host and port."""
        self._faults = dict(faults or {})
        self._tls = tls
        self.asked = 0
        """How many connections were asked for."""
        self._serving: asyncio.Task[Server] | None = None

    @property
    def url(self) -> str:
        """The address for the client."""
        return f"ws://{self.address}{self.path}"

    @property
    def session(self) -> S:
        """The last session."""
        return self.sessions[-1]

    def open(self) -> Self:
        """Listen from now on, without waiting: `url` is known at once."""
        loop = asyncio.get_running_loop()
        place: dict[str, Any]
        if isinstance(loop, VirtualLoop):
            host = f"{type(self).__name__.lower()}-{loop.new_number()}.test"
            self.address, place = f"{host}:80", {"host": host, "port": 80}
        else:
            sock = socket.create_server(("127.0.0.1", 0))
            self.address, place = f"127.0.0.1:{sock.getsockname()[1]}", {"sock": sock, "ssl": self._tls}
        self._serving = loop.create_task(self._listen(**place), name="realtime server")
        return self

    async def start(self) -> Self:
        """Listen: within the loop where that is virtual, else on a free port of loopback."""
        self.open()
        assert self._serving is not None
        await asyncio.shield(self._serving)
        return self

    async def stop(self) -> None:
        """Close all connections, and listen no more."""
        serving, self._serving = self._serving, None
        if serving is not None:
            server = await serving
            server.close()
            await server.wait_closed()

    async def _listen(self, **place: Any) -> Server:
        return await serve(
            self._serve,
            process_request=self._refuse,
            max_size=MAX_MESSAGE,
            ping_interval=None,
            compression=None,  # a fifth of the time of a simulated call
            **place,
        )

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def refuse(self, number: int, status: int = 503) -> None:
        """Answer the next `number` connections with an HTTP status."""
        for n in range(self.asked + 1, self.asked + 1 + number):
            self._faults[n] = Refused(status)

    def _refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked += 1
        fault = self._faults.get(self.asked)
        if not isinstance(fault, Refused):
            return None
        return connection.respond(HTTPStatus(fault.status), f"scripted fault: {fault.status}\n")

    async def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        session: Any = self.session_class(connection, self.model, request.path if request else "")
        self.sessions.append(session)
        await session.run()
