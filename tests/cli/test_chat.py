"""`piopiy chat`: lines that are piped in, a terminal with Ctrl-C, and what is said of mistakes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.cli import main
from piopiy_pipeline.cli.chatting.bot_chat import BotChat
from piopiy_pipeline.cli.chatting.chat_view import ChatForPeople
from piopiy_pipeline.cli.chatting.typed_conversation import TypedConversation
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.commands import FRONT_DESK, chat

LONG_S = 60


BOOKING = ("A table for four on Friday at seven, please.", "Yes.", "Thank you, goodbye.")


def test_piped_lines_are_a_turn_each_and_the_bots_tools_run(tmp_path: Path) -> None:
    bookings = tmp_path / "bookings.jsonl"
    status, out, err = chat(*BOOKING, BOOKINGS=str(bookings))
    assert status == 0, err
    lines = out.splitlines()
    assert lines[1] == "bot  Olive and Thyme, good day. How can I help you?"
    assert "you  Yes." in lines
    assert any(re.match(r"  ·  book_table\(people=4, day='Friday', time='19:00'\)", line) for line in lines)
    assert lines[-1] == "     ended: agent_hangup (the bot hung up)"
    assert "\x1b" not in out, "colours only on a terminal"
    assert json.loads(bookings.read_text())["people"] == 4


def test_the_next_line_answers_what_a_tool_asks(tmp_path: Path) -> None:
    (tmp_path / "ask.yaml").write_text(
        "intents:\n  back:\n    examples: [please call me back]\n    tool: ask_number\n    reply: We will call you.\n"
    )
    tool = 'as_tool(collect_phone_number, name="ask_number", when="a number is needed", region="DE")'
    bot = tmp_path / "bot.py"
    bot.write_text(
        "from piopiy_pipeline.collect import as_tool, collect_phone_number\n"
        + FRONT_DESK.read_text()
        .replace("tools=[", f"tools=[{tool}, ", 1)
        .replace('"front_desk.yaml"', '"ask.yaml"')
        .replace("from __future__ import annotations\n", "")
    )
    status, out, err = chat("Please call me back", "030 1234567", "yes", bot=bot)
    assert status == 0, err
    assert re.search(
        r"\nbot  What is your telephone number\?\nyou  030 1234567\nbot  I have .*\nyou  yes\n", out
    )
    assert "bot  We will call you." in out


def test_a_print_behind_an_answer_does_not_run_into_it() -> None:
    status, out, err = chat(bot=FRONT_DESK.with_name("outbound_call.py"))
    assert status == 0, err
    assert "None: the reminder was heard" in out.splitlines()


def test_as_json_it_is_one_object_a_line_and_what_a_bot_prints_is_none(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        FRONT_DESK.read_text().replace("    voice_agent = ", '    print("hello")\n    voice_agent = ', 1)
    )
    (tmp_path / "front_desk.yaml").write_text(FRONT_DESK.with_suffix(".yaml").read_text())
    status, out, err = chat(*BOOKING, options=("--json",), bot=bot, BOOKINGS=str(tmp_path / "b.jsonl"))
    assert status == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("began", "ended")
    assert [event["text"] for event in events if event["event"] == "user"] == list(BOOKING)
    said = "".join(event["text"] for event in events if event["event"] == "words")
    assert said.startswith("Olive and Thyme")
    assert "is booked" in said
    assert [event["name"] for event in events if event["event"] == "tool"] == ["book_table", "hang_up"]
    assert "hello" in err


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("agent_hangup", 0),
        ("transferred", 0),
        ("idle_timeout", 1),
        ("error", 1),
        ("shutdown", 1),
    ],
)
def test_the_status_is_that_of_a_call_that_ended_so(
    reason: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended(*_: object) -> CallEnd:
        return CallEnd(EndReason(reason), "why", 1.0)

    monkeypatch.setattr("piopiy_pipeline.cli.chat._chat", ended)
    assert main(["chat", str(FRONT_DESK)]) == status


def test_commands_press_keys_tell_what_there_is_and_end() -> None:
    status, out, _ = chat("/keys 12#", "/keys 12a", "/dance", "//slash", "/quit", "never sent")
    assert status == 0
    assert "/keys takes the keys of a telephone" in out
    assert "there is no /dance" in out
    assert "you  /slash" in out
    assert "never sent" not in out
    assert "ended: caller_hangup" in out


def test_the_metadata_reach_the_callback(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        "async def create_session(call_id, metadata=None):\n    raise LookupError(metadata['name'])\n"
    )
    status, _, err = chat(options=("--metadata", '{"name": "Ann"}'), bot=bot)
    assert status == 1
    assert "piopiy: the callback failed: LookupError" in err
    assert "Ann" in err


@pytest.mark.parametrize(
    ("then", "fault", "shown"),
    [
        (
            "await voice_agent.start()\n    raise LookupError('no such note')",
            r"the callback failed after the call: LookupError at \S*bot.py:\d+: no such note",
            "ended: caller_hangup",
        ),
        (
            "return",
            r"the callback returned without starting a pipeline: await start\(\)",
            "ended: error (the callback returned",
        ),
    ],
)
def test_a_callback_that_fails_behind_the_chat_or_never_starts_is_told(
    tmp_path: Path, then: str, fault: str, shown: str
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(FRONT_DESK.read_text().replace("await voice_agent.start()", then))
    (tmp_path / "front_desk.yaml").write_text(FRONT_DESK.with_suffix(".yaml").read_text())
    status, out, err = chat("Hello", bot=bot)
    assert status == 1
    assert re.fullmatch(f"piopiy: {fault}", err.splitlines()[-1])
    assert shown in out


def test_a_key_that_is_missing_is_one_line_that_says_which(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("import os\nasync def create_session(call):\n    os.environ['NO_SUCH_API_KEY']\n")
    status, _, err = chat("hello", bot=bot)
    assert status == 1
    assert err.splitlines()[-1].startswith("piopiy: the callback failed: KeyError")
    assert "set NO_SUCH_API_KEY in the environment" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody.py"], "nobody.py: there is no such bot"),
        ([str(FRONT_DESK), "--metadata", '{"a": NaN}'], "NaN is no number of JSON"),
        ([str(FRONT_DESK), "--metadata", "[1]"], "--metadata must be a JSON object"),
        ([str(FRONT_DESK), "--metadata", json.dumps({"a": "ü" * 12_000})], "61440 are the limit"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_exit_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("piopiy: ")
    assert message in last


def test_a_line_that_was_typed_into_an_answer_is_shown_whole_below_it() -> None:
    shown = StringIO()
    view = ChatForPeople(Console(file=shown, force_terminal=True, no_color=True, width=80))
    view.words("I begin and ")
    view.user("stop it")
    assert "you  stop it" in shown.getvalue()


class TypedLines:
    """One line of a terminal, and then nobody types."""

    is_terminal = True

    def __init__(self, line: str) -> None:
        self._lines = [line]

    def ask(self) -> asyncio.Future[str | None]:
        line: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        if self._lines:
            line.set_result(self._lines.pop())
        return line

    def prompt_again(self) -> None: ...
    def close(self) -> None: ...


class SilentPeer:
    """A bot that never answers, and leaves when it is told to."""

    not_ready = "the callback has not called start()"
    closing = False

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.answered.set()
        self.over = asyncio.Event()
        self.did: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> CallEnd:
        await self.over.wait()
        return CallEnd(EndReason.CALLER_HANGUP, "", 0.0)

    def begin(self) -> None: ...

    def press(self, keys: str) -> None: ...

    def write(self, text: str) -> None:
        self.did.put_nowait(text)

    def stop(self) -> None:
        self.did.put_nowait("stop")

    def leave(self) -> None:
        self.did.put_nowait("leave")
        self.over.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_is_answered_while_the_model_hangs_and_a_signal_ends_the_chat(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        peer, lines = SilentPeer(), TypedLines("Hello!")
        conversation = TypedConversation(ChatForPeople(), lines, title="chat")  # type: ignore[arg-type]
        running = asyncio.create_task(conversation.run(peer))
        assert await peer.did.get() == "Hello!"
        os.kill(os.getpid(), signal.SIGINT)
        assert await peer.did.get() == "stop"
        assert "(stopped)" in capsys.readouterr().out
        os.kill(os.getpid(), number)
        await running
        assert await peer.did.get() == "leave"
        assert "ended: caller_hangup" in capsys.readouterr().out

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and a chat lets it
    try:
        asyncio.run(asyncio.wait_for(story(), LONG_S))
    finally:
        signal.signal(signal.SIGHUP, before)


class LateLines(TypedLines):
    """Lines of a terminal, each typed 25 s after the one before was taken."""

    def __init__(self, *lines: str) -> None:
        super().__init__("")
        self._lines = [*lines]
        self._asked: asyncio.Future[str | None] | None = None

    def ask(self) -> asyncio.Future[str | None]:
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(25, self._asked.set_result, self._lines.pop(0))
        return self._asked


class LatePeer(SilentPeer):
    """A bot that is not ready, and takes three seconds to leave."""

    def __init__(self) -> None:
        super().__init__()
        self.answered.clear()

    def leave(self) -> None:
        self.did.put_nowait("leave")
        asyncio.get_running_loop().call_later(3, self.over.set)


def test_a_bot_that_is_not_ready_is_told_of_and_quit_ends(capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> tuple[list[str], float]:
        began_at = asyncio.get_running_loop().time()
        peer, lines = LatePeer(), LateLines("Hello!", "/quit", "never asked for")
        await TypedConversation(ChatForPeople(), lines, title="chat").run(peer)  # type: ignore[arg-type]
        took_s = asyncio.get_running_loop().time() - began_at
        return [peer.did.get_nowait() for _ in range(peer.did.qsize())], took_s

    did, took_s = run_virtual(story)
    assert (did, took_s) == (["leave"], 53.0)
    assert capsys.readouterr().out.splitlines() == [
        *(f"     the callback has not called start() for {s} s: /quit ends" for s in (10, 20, 30, 40)),
        "     waiting until the bot has ended",
        "     ended: caller_hangup",
    ]


def test_what_is_typed_before_the_bot_is_ready_waits_for_it() -> None:
    async def story() -> str:
        peer, lines = LatePeer(), LateLines("Hello!", "Again", "/quit")
        asyncio.get_running_loop().call_later(60, peer.answered.set)
        await TypedConversation(ChatForPeople(), lines, title="chat").run(peer)  # type: ignore[arg-type]
        return " ".join(peer.did.get_nowait() for _ in range(peer.did.qsize()))

    assert run_virtual(story) == "Hello! Again leave"


class PipedLines:
    """Lines of a pipe, each with the second in which it is written."""

    is_terminal = False

    def __init__(self, *lines: tuple[float, str]) -> None:
        self._lines = [*lines]
        self._asked: asyncio.Future[str | None] | None = None

    def ask(self) -> asyncio.Future[str | None]:
        loop = asyncio.get_running_loop()
        if self._asked is None or self._asked.done():
            self._asked = loop.create_future()
            at, line = self._lines.pop(0)
            loop.call_at(max(at, loop.time()), self._asked.set_result, line)
        return self._asked

    def close(self) -> None: ...
    def prompt_again(self) -> None: ...
    def over_prompt(self) -> None: ...


@pytest.mark.parametrize(
    ("quit_s", "ended_s"),
    [(0.0, 5.4), (0.9, 5.4), (3.0, 3.0)],
    ids=["with the message", "right behind it", "over the answer"],
)
def test_a_piped_quit_waits_for_the_answer_unless_it_is_written_over_it(
    quit_s: float, ended_s: float
) -> None:
    async def story() -> tuple[str, float]:
        peer, lines = SilentPeer(), PipedLines((0.0, "Hello!"), (quit_s, "/quit"))
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        lines._lines = [(began_at + at, line) for at, line in lines._lines]
        await TypedConversation(ChatForPeople(), lines, title="chat").run(peer)  # type: ignore[arg-type]
        return " ".join(peer.did.get_nowait() for _ in range(peer.did.qsize())), loop.time() - began_at

    did, took_s = run_virtual(story)
    assert did == "Hello! leave"
    assert took_s == pytest.approx(ended_s, abs=0.01)


class ClosingPeer(SilentPeer):
    """A bot that hangs up at the first line, and takes a while to say goodbye."""

    def write(self, text: str) -> None:
        super().write(text)
        self.closing = True
        asyncio.get_running_loop().call_later(8, self.over.set)


def test_no_piped_line_is_sent_when_the_bot_has_hung_up() -> None:
    async def story() -> tuple[str, float]:
        began_at = asyncio.get_running_loop().time()
        peer, lines = ClosingPeer(), PipedLines((0.0, "Goodbye"), (0.0, "A table for four"), (0.0, "Friday"))
        await TypedConversation(ChatForPeople(), lines, title="chat").run(peer)  # type: ignore[arg-type]
        took_s = asyncio.get_running_loop().time() - began_at
        return " ".join(peer.did.get_nowait() for _ in range(peer.did.qsize())), took_s

    did, took_s = run_virtual(story)
    assert did == "Goodbye"
    assert took_s == pytest.approx(8.4, abs=0.01)


@pytest.mark.parametrize(
    ("line", "did", "took_s"), [("/quit", "leave", 4.0), ("Hello!", "Hello! leave", 29.0)]
)
def test_a_piped_quit_before_the_bot_is_ready_ends(line: str, did: str, took_s: float) -> None:
    async def story() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        peer, lines = LatePeer(), PipedLines((began_at + 1, line), (began_at + 26, "/quit"))
        loop.call_later(20, peer.answered.set)
        await TypedConversation(ChatForPeople(), lines, title="chat").run(peer)  # type: ignore[arg-type]
        return " ".join(peer.did.get_nowait() for _ in range(peer.did.qsize())), loop.time() - began_at

    done, took = run_virtual(story)
    assert done == did
    assert took == pytest.approx(took_s, abs=0.5)


def test_a_tool_that_the_playbook_calls_and_the_bot_lacks_is_told_without_verbose(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(FRONT_DESK.read_text().replace("tools=[book_table, ", "tools=["))
    (tmp_path / "front_desk.yaml").write_text(FRONT_DESK.with_suffix(".yaml").read_text())
    status, _, err = chat("Hello", bot=bot)
    assert status == 0, err
    assert "the playbook calls tools that the bot does not have: book_table" in err


@pytest.mark.parametrize(
    "example",
    sorted(
        path.stem
        for path in FRONT_DESK.parent.glob("*.py")
        if "playbook=PLAYBOOK" in path.read_text() and path != FRONT_DESK
    ),
)
def test_the_playbook_of_an_example_calls_only_tools_that_it_has(example: str) -> None:
    status, _, err = chat("When are you open?", bot=FRONT_DESK.with_name(f"{example}.py"))
    assert status == 0, err
    assert "does not have" not in err


def test_a_callback_that_never_starts_has_failed_in_the_end(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("import asyncio\nasync def on_new_session(call):\n    await asyncio.sleep(3600)\n")

    async def story() -> CallEnd:
        def drop(*_: object) -> None: ...

        return await BotChat(bot, metadata=None, on_words=drop, on_message=drop, on_event=drop).run()

    end = run_virtual(story)
    assert (end.reason, end.detail) == (
        EndReason.SETUP_TIMEOUT,
        "the callback has not called start() within 30 s",
    )
