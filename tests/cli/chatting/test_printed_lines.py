"""What the code of a bot prints while it chats."""

from __future__ import annotations

import asyncio
from io import StringIO

from rich.console import Console

from piopiy_pipeline.cli.chatting.chat_view import ChatForPeople, PrintedLines


def test_what_a_bot_prints_stands_on_lines_of_its_own() -> None:
    shown = StringIO()

    async def story() -> None:
        view = ChatForPeople(Console(file=shown, width=80))
        printed = PrintedLines(view)
        view.words("Your table ")
        print("booked", 4, file=printed)
        view.words("is booked.")
        print("in a thread", end="", file=printed)
        await asyncio.to_thread(print, ", too", file=printed)
        await asyncio.sleep(0)
        view.words("Goodbye.")
        print("no end of line", end="", file=printed)
        printed.end()

    asyncio.run(story())
    assert [line.rstrip() for line in shown.getvalue().splitlines()] == [
        "bot  Your table",
        "booked 4",
        "bot  is booked.",
        "in a thread, too",
        "bot  Goodbye.",
        "no end of line",
    ]
