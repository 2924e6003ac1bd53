"""`piopiy chat`: the bot that takes calls answers as text chat, in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piopiy_pipeline.call import ended_well
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.options import (
    AgentOption,
    CallerKeyOption,
    MetadataOption,
    UrlOption,
    choose_log_format,
    given_metadata,
    require_bot,
)
from piopiy_pipeline.cli.signals import ends_at_once
from piopiy_pipeline.cli.target import Target, find_target, require_gateway
from piopiy_pipeline.log import import_pipecat, log_to_stderr

if TYPE_CHECKING:
    from piopiy_pipeline.call import CallEnd

__all__ = ["chat"]


def chat(
    bot: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BOT.py]", help="The bot's file. Without it: an agent at a gateway.", show_default=False
        ),
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    metadata: MetadataOption = None,
    url: UrlOption = None,
    agent: AgentOption = None,
    key: CallerKeyOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what the bot does, on stderr.")] = False,
) -> None:
    """Chat with a bot in the terminal: the callback, the tools and the context of its calls, without sound.

    Type a message a line. Words appear as the model writes them, and so do tools and transfers; a line that is typed
    meanwhile cuts the bot off. /keys 12# presses keys, /quit ends, Ctrl-C stops an answer, and twice ends. Lines that
    are piped in are one turn each, sent when the bot has answered the one before. No model of sound is loaded.

    Without a file, the agent of a gateway is chatted with, by a caller's key: that of `piopiy dev`, for example. Of its
    tools is shown then what its author allows.

    The exit status is 0 when either side has ended the chat or the bot has handed it over, 1 when it failed,
    which a timeout or a limit that ended it is as well, or the callback did after it, 2 when something typed is wrong.

    Examples:

      piopiy chat examples/front_desk.py

      piopiy chat --url wss://calls.example --agent front_desk --key ...

      echo "When are you open?" | piopiy chat examples/front_desk.py --json
    """
    given = given_metadata(metadata)
    choose_log_format(None)
    target: Target | None = None
    if bot is None:
        target = find_target(url, agent, key)
        require_gateway(target)
    elif url or agent or key:
        raise BadInput("--url, --agent and --key are for a gateway: leave the bot's file out")
    else:
        require_bot(bot)
    log_to_stderr(quiet=not verbose)
    if bot is not None:
        import_pipecat()
    from piopiy_pipeline.cli.chatting.lines import keeps_terminal
    from piopiy_pipeline.cli.chatting.quiet_log import quiet_log

    if not verbose:
        quiet_log()
    with keeps_terminal():
        end = asyncio.run(_chat(bot or target, given, json_lines))
    if not ended_well(end.reason):
        detail = end.detail or end.reason.value
        if bot is None and not end.detail:
            from piopiy_pipeline.cli.gateway_link import NO_DETAIL

            detail = f"{end.reason.value}: {NO_DETAIL}"
        raise Failed(_advice(detail))


async def _chat(bot: Path | Target | None, metadata: dict[str, Any] | None, json_lines: bool) -> CallEnd:
    from piopiy_pipeline.cli.chatting.chat_view import ChatForPeople, ChatForPrograms, PrintedLines
    from piopiy_pipeline.cli.chatting.gateway_chat import GatewayChat
    from piopiy_pipeline.cli.chatting.lines import LineSource
    from piopiy_pipeline.cli.chatting.typed_conversation import TypedConversation

    lines = LineSource()
    view = ChatForPrograms(sys.stdout, prompt=lines) if json_lines else ChatForPeople(prompt=lines)
    assert bot is not None
    title = bot.name if isinstance(bot, Path) else bot.agent_id
    conversation = TypedConversation(view, lines, title=f"chat with {title}")
    if not isinstance(bot, Path):
        return await conversation.run(GatewayChat(bot, metadata, conversation))
    with contextlib.ExitStack() as printing:
        if isinstance(view, ChatForPeople):
            printed = PrintedLines(view)
            printing.callback(printed.end)
            printing.enter_context(contextlib.redirect_stdout(printed))
        else:
            printing.enter_context(contextlib.redirect_stdout(sys.stderr))
        with ends_at_once():
            from piopiy_pipeline.cli.chatting.bot_chat import BotChat

        try:
            peer = BotChat(
                bot,
                metadata=metadata,
                on_words=conversation.on_words,
                on_message=conversation.on_message,
                on_event=conversation.on_event,
            )
        except (ValueError, TypeError) as error:
            raise BadInput(_advice(str(error))) from None
        end = await conversation.run(peer)
        if peer.late_failure:
            raise Failed(_advice(peer.late_failure))
        return end


def _advice(message: str) -> str:
    """Return a message, with what to do about a key that the bot does not find."""
    for word in message.replace("'", " ").replace('"', " ").replace("=", " ").split():
        if word.endswith(("_API_KEY", "_TOKEN", "_SECRET")) and word.isupper():
            return f"{message}: set {word} in the environment, for example {word}=... piopiy chat BOT.py"
    return message
