"""What the model is told of the caller's language stays in the conversation, whoever changes the rest of it.

A hand-off, a node of a flow and a summary put other messages in the place of those that were there. Tested in
``tests/session/languages/test_call_languages.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["with_language_note"]


def with_language_note(messages: Sequence[Any], note: str) -> list[Any]:
    """Return messages with the note on the caller's language among them: behind the system message, if it is missing.

    Args:
        messages: The conversation.
        note: The note; empty if there is none, because the caller speaks the language in which the call began.
    """
    changed = list(messages)
    contents = [each.get("content") for each in changed if isinstance(each, dict)]
    if note and note not in contents:
        begins = bool(changed) and isinstance(changed[0], dict) and changed[0].get("role") == "system"
        changed.insert(int(begins), {"role": "developer", "content": note})
    return changed
