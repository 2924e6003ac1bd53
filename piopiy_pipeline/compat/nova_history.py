"""What Nova Sonic's sessions are told of a conversation, within the limits that AWS publishes (Nova 2 user guide,
"Managing chat history"): 40 KB in all, 1 KB in one text, and the first words are the caller's.

pipecat leaves out what tools have returned, and keeps no limit.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipecat.adapters.llm.services.aws_nova_sonic_adapter import (
    AWSNovaSonicConversationHistoryMessage,
    Role,
)

from piopiy_pipeline.compat.spoken_lines import lines_of

__all__ = ["MAX_HISTORY", "history_of", "noted", "pieces_of"]

MAX_TEXT = 1024
"""One text has so many bytes at most."""
MAX_HISTORY = 40 * 1024
"""All that was said before has so many bytes at most."""
MAX_LINE = MAX_HISTORY // 4
"""One text is told up to so many bytes: a long result of a tool leaves room for the conversation."""
BEGUN = "[The call has begun.]"
"""What stands before the bot's first words."""


def noted(text: str) -> str:
    """Return a text in the form in which it is no word of the caller's."""
    return f"[{text}]"


def history_of(messages: Sequence[Any]) -> list[AWSNovaSonicConversationHistoryMessage]:
    """Return a conversation without its instructions, as a session is told it. What is oldest is left out first."""
    found: list[AWSNovaSonicConversationHistoryMessage] = []
    left = MAX_HISTORY - len(BEGUN)
    for line in reversed(lines_of(messages)):
        text = line.text.encode()[:MAX_LINE].decode(errors="ignore")
        text = noted(text) if line.is_note else text
        left -= len(text.encode())
        if left < 0:
            break
        by = Role.ASSISTANT if line.by_bot else Role.USER
        found.append(AWSNovaSonicConversationHistoryMessage(role=by, text=text))
    if found and found[-1].role is Role.ASSISTANT:
        found.append(AWSNovaSonicConversationHistoryMessage(role=Role.USER, text=BEGUN))
    return found[::-1]


def pieces_of(text: str) -> list[str]:
    """Return the pieces in which a text is told, none of them too long."""
    rest, found = text.encode(), []
    while rest:
        end = min(len(rest), MAX_TEXT)
        while end < len(rest) and rest[end] & 0xC0 == 0x80:  # in the middle of a character
            end -= 1
        found.append(rest[:end].decode())
        rest = rest[end:]
    return found
