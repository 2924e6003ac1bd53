"""Carries a chat between a person's lines and a bot: who may write when, what a line means, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from typing import Any, Protocol

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.cli.chatting.chat_progress import ChatProgress
from piopiy_pipeline.cli.chatting.chat_view import ChatView
from piopiy_pipeline.cli.chatting.lines import LineSource
from piopiy_pipeline.signaling.chat import MAX_CHARACTERS, refusal_of

__all__ = ["ChatPeer", "TypedConversation"]

QUIT = "/quit"
KEYS = frozenset("0123456789*#ABCD")
GOODBYE_S = 1.0
MAX_EARLY_EVENTS = 16
"""So many events are kept that come before a chat has begun."""
MAX_EARLY_LINES = 16
"""So many lines of a terminal are kept that are typed before a chat has begun. What is typed behind them stays in the
terminal."""
NOT_READY_S = 10.0
"""It is told each time that a bot has not been ready for so long."""
SLOW_END_S = 1.5
"""It is told if a bot takes longer to end."""
OVER_S = 1.0
"""A /quit of a pipe that comes so long after the message before it, is written over the answer to that message. One
that comes sooner was there with the message."""
TWICE_S = 2.0
"""A second Ctrl-C within so many seconds ends the chat."""
HELP = "/keys 12# presses keys, /quit ends; a message that begins with a slash: //like this"


class ChatPeer(Protocol):
    """The bot at the other end, in this process or behind a gateway."""

    answered: asyncio.Event
    not_ready: str
    """What is missing, as a sentence without its end, while it is not `answered`."""

    @property
    def closing(self) -> bool:
        """Whether the bot has hung up, and takes no more lines."""
        ...

    async def run(self) -> CallEnd: ...
    def begin(self) -> None: ...
    def write(self, text: str) -> None: ...
    def stop(self) -> None: ...
    def press(self, keys: str) -> None: ...
    def leave(self) -> None: ...


class TypedConversation:
    """One chat, from the first line to the end.

    Args:
        view: Shows it.
        lines: What the person writes.
        title: What is written above it.
    """

    def __init__(self, view: ChatView, lines: LineSource, *, title: str) -> None:
        self._view = view
        self._lines = lines
        self._title = title
        self._loop = asyncio.get_running_loop()
        self._progress = ChatProgress(self._loop.time())
        self._moved = asyncio.Event()
        self._before: list[tuple[str, dict[str, Any]]] | None = []
        self._stopped_at = float("-inf")
        self._words_since = False
        """Whether words of the bot are shown whose turn is not told yet."""
        self._peer: ChatPeer | None = None
        self._early: deque[str | None] = deque()  # typed before the bot was ready; None is the end of a pipe
        self._asked: asyncio.Future[str | None] | None = (
            None  # the line behind these, which may be there already
        )
        self._slow_end: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ from the bot

    def on_words(self, words: str) -> None:
        """Take words of the bot."""
        self._view.words(words)
        self._words_since = True
        self._progress.words(self._loop.time())
        self._moved.set()

    def on_message(self, message: dict[str, Any]) -> None:
        """Take a message of the bot for the client."""
        if (refused := refusal_of(message)) is not None:
            self._view.event("error", {"stage": "chat", "message": refused})
        self._progress.message(str(message.get("type", "")), self._loop.time())
        self._moved.set()

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        """Take an event of the conversation. One that comes before the chat has begun is shown behind its beginning."""
        self._progress.event(name, data, self._loop.time())
        if name == "bot_turn":
            self._words_since = False
        if self._before is None:
            self._view.event(name, data)
        else:
            self._before = [*self._before, (name, data)][-MAX_EARLY_EVENTS:]
        self._moved.set()

    def _show_events(self) -> None:
        before, self._before = self._before or [], None
        for name, data in before:
            self._view.event(name, data)

    # ------------------------------------------------------------------ from the person

    async def run(self, peer: ChatPeer) -> CallEnd:
        """Carry the chat to its end, and return how it ended."""
        self._peer = peer
        running = asyncio.create_task(peer.run(), name="chat::bot")
        writing = asyncio.create_task(self._write(peer), name="chat::lines")
        self._loop.add_signal_handler(signal.SIGINT, self._interrupted)
        ends = [signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            ends.append(signal.SIGHUP)
        for number in ends:
            self._loop.add_signal_handler(number, self._leave)
        try:
            await asyncio.wait({running, writing}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and not running.done():
                self._leave()
            end = await running
            if writing.done():
                writing.result()
        finally:
            if self._slow_end is not None:
                self._slow_end.cancel()
            self._loop.remove_signal_handler(signal.SIGINT)
            for number in ends:
                self._loop.remove_signal_handler(number)
            for task in (writing, running):
                task.cancel()
            await asyncio.gather(writing, running, return_exceptions=True)
            self._lines.close()
        self._show_events()
        self._view.their_turn()
        self._view.ended(end.reason.value, end.detail)
        return end

    async def _write(self, peer: ChatPeer) -> None:
        """Send what is written, line by line, until there is no more."""
        if not await self._until_ready(peer):
            return
        self._progress.began(self._loop.time())
        peer.begin()
        self._view.began(self._title)
        self._show_events()
        while True:
            if not self._lines.is_terminal:  # a line of a pipe is one turn
                if not await self._bot_answers():
                    return
                if peer.closing:  # the chat ends when its last words are shown
                    await self._loop.create_future()
                self._view.their_turn()
            line = await self._next_line()
            if line is None:
                await asyncio.sleep(GOODBYE_S)  # a bot that has said goodbye hangs up by itself
                return
            if not self._take(peer, line.strip()):
                return

    async def _until_ready(self, peer: ChatPeer) -> bool:
        """Wait until the bot is ready, and tell of it if that takes long.

        On a terminal, lines are taken meanwhile and kept for it. Of a pipe only the first one is, because each is sent
        behind the answer to the one before.

        Returns:
            Whether the chat begins. It does not if a person ends it before.
        """
        began_at = self._loop.time()
        ready = asyncio.create_task(peer.answered.wait(), name="chat::ready")
        most_early = MAX_EARLY_LINES if self._lines.is_terminal else 1
        notes = 0
        try:
            while not peer.answered.is_set():
                if self._asked is None and len(self._early) < most_early:
                    self._asked = self._lines.ask()
                waits: set[asyncio.Future[Any]] = {ready} if self._asked is None else {ready, self._asked}
                left_s = began_at + (notes + 1) * NOT_READY_S - self._loop.time()
                await asyncio.wait(waits, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED)
                if self._asked is not None and self._asked.done():
                    text, self._asked = self._asked.result(), None
                    if text.strip() == QUIT if text is not None else self._lines.is_terminal:
                        return False
                    self._early.append(text)
                if self._loop.time() - began_at >= (notes + 1) * NOT_READY_S and not ready.done():
                    notes += 1
                    hint = ": /quit ends" if self._lines.is_terminal else ""
                    self._view.note(f"{peer.not_ready} for {notes * NOT_READY_S:g} s{hint}")
        finally:
            ready.cancel()
        return True

    async def _next_line(self) -> str | None:
        """Return the next line. What the bot says meanwhile is shown above the prompt, and a line cuts it off."""
        if self._early:
            return self._early.popleft()
        line, self._asked = self._asked or self._lines.ask(), None
        while not line.done():
            self._moved.clear()
            finished = asyncio.create_task(self._bot_has_something_said(), name="chat::bot_said")
            waits: set[asyncio.Future[Any]] = {line, finished}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not finished.done():
                finished.cancel()
                await asyncio.gather(finished, return_exceptions=True)
            elif not line.done():
                self._view.their_turn()
                self._lines.prompt_again()
        return line.result()

    async def _bot_answers(self) -> bool:
        """Wait until it is the person's turn, who writes through a pipe. The next line is read meanwhile.

        Returns:
            Whether the chat goes on. It does not if a /quit is written over the answer.
        """
        began_at = self._loop.time()
        if self._asked is None and not self._early:
            self._asked = self._lines.ask()
        finished = asyncio.create_task(self._bot_has_finished(), name="chat::bot_answers")
        waits: set[asyncio.Future[Any]] = {finished} if self._asked is None else {finished, self._asked}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not finished.done() and self._asked is not None:
                quits = (self._asked.result() or "").strip() == QUIT
                if quits and self._loop.time() - began_at >= OVER_S:
                    return False
            await finished
        finally:
            finished.cancel()
            await asyncio.gather(finished, return_exceptions=True)
        return True

    async def _bot_has_something_said(self) -> None:
        """Wait until the bot has said something, and it is the person's turn again."""
        await self._moved.wait()
        await self._bot_has_finished()

    async def _bot_has_finished(self) -> None:
        """Wait until it is the person's turn."""
        while (left_s := self._progress.due() - self._loop.time()) > 0:
            self._moved.clear()
            try:
                async with asyncio.timeout(None if left_s == float("inf") else left_s):
                    await self._moved.wait()
            except TimeoutError:
                continue

    def _take(self, peer: ChatPeer, line: str) -> bool:
        """Do what a line says. Returns whether the chat goes on."""
        if not line:
            return True
        if line.startswith("/") and not line.startswith("//"):
            return self._command(peer, line)
        text = line.removeprefix("/") if line.startswith("//") else line
        if len(text) > MAX_CHARACTERS:
            self._view.note(f"a message has at most {MAX_CHARACTERS} characters, not {len(text)}")
            return True
        self._view.user(text)
        self._progress.sent(self._loop.time())
        peer.write(text)
        return True

    def _command(self, peer: ChatPeer, line: str) -> bool:
        name, _, rest = line.partition(" ")
        keys = rest.strip()
        if name == QUIT:
            return False
        if name == "/keys" and keys and not set(keys) - KEYS:
            self._view.user(line)
            peer.press(keys)
            self._progress.pressed(self._loop.time())
        elif name == "/keys":
            self._view.note("/keys takes the keys of a telephone, such as /keys 12#")
        else:
            self._view.note(HELP if name == "/help" else f"there is no {name}: {HELP}")
        return True

    def _interrupted(self) -> None:
        """Stop the answer at Ctrl-C; end the chat at the second one, or if there is nothing to stop."""
        now = self._loop.time()
        if self._peer is None or not self._peer.answered.is_set() or now - self._stopped_at < TWICE_S:
            self._leave()
            return
        self._stopped_at = now
        if self._progress.busy or self._progress.due() > now:
            self._peer.stop()
            if not self._words_since:  # else the end of the answer says so
                self._view.note("(stopped)")
                self._lines.prompt_again()
        else:
            self._view.note("Ctrl-C again ends the chat")
            self._lines.prompt_again()

    def _leave(self) -> None:
        """End the chat from this side. A callback has some seconds for that, to write a note."""
        if self._peer is None:
            return
        self._peer.leave()
        if self._slow_end is None:
            self._slow_end = self._loop.call_later(
                SLOW_END_S, self._view.note, "waiting until the bot has ended"
            )
