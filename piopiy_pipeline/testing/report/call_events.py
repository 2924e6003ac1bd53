"""The events and the turns of a simulated call: values that the log, the report, the replay and tests read.

Times are seconds since the call was answered, by the call's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.latency import LatencyParts

__all__ = ["KINDS", "Event", "TurnResult", "check_event_kind"]

KINDS = frozenset(
    {
        "agent_lost", "agent_resumed", "answered", "backchannel", "barge_in", "bot_audio", "bot_stopped", "bot_turn",
        "collection", "control", "dtmf", "end", "error", "flow", "gap", "hand_off", "hold", "interruption", "language",
        "llm_started", "llm_text", "llm_token", "message", "packet_lost", "resume", "shown", "summary", "tool",
        "tool_result", "transcript", "transfer", "transfer_result", "tts_started", "turn_end", "typed", "usage",
        "user_speech", "user_turn", "vad_started", "vad_stopped",
    }
)  # fmt: skip
"""The kinds of events that there are: see `Event`."""


def check_event_kind(name: str, kind: str) -> None:
    """Check that there is such a kind of event, because one with a mistake in its name never happens.

    Raises:
        ValueError: There is none.
    """
    if kind not in KINDS:
        raise ValueError(f"{name}: no event is {shown(kind)}; there is {', '.join(sorted(KINDS))}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a call.

    Attributes:
        at: When, in seconds since the answer.
        kind: One of the following; in brackets, what `data` holds.
            answered, agent_lost and agent_resumed (see `AgentLoss`), user_speech (start, end, name),
            vad_started, vad_stopped,
            transcript (a final one reaches the context), user_turn (text), llm_started,
            turn_end (by the sound: a model that hears itself is asked, whose user_turn comes with the words),
            llm_token (the first of an answer), llm_text (its first sentence), tts_started,
            bot_audio (the first sample of an answer leaves the playout), bot_stopped, interruption,
            hold and resume (of the bot's speech), barge_in (verdict, reason: what became of a sound over it),
            backchannel (text),
            bot_turn (text, interrupted), tool (name, arguments, number), tool_result (name, result, number),
            flow (node, before, function: a node of the call's flow is entered),
            language (language, before, how: the call goes on in another one),
            summary (messages, text: it stands for so many messages of the conversation),
            hand_off (agent, before, context: another persona has the call),
            collection (name, outcome, value), usage (service, provider, model, and what was used of it),
            typed and shown (text: what the caller and the bot write in a text chat),
            error (stage, message), gap (seconds: silence within the bot's speech), packet_lost (direction, seq),
            dtmf (direction, digits), message (direction, data), control (what, on),
            transfer (to, warm, summary), transfer_result (to, outcome, detail), end (reason, detail).
        data: Plain JSON.
    """

    at: float
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One turn: what the caller said, and what the bot answered, as far as it was heard.

    Attributes:
        number: From 1 on; turn 0 is what the bot says before the caller has said anything.
        user: What was understood of the caller.
        bot: What was heard of the bot.
        tools: The tools that the bot used in this turn.
        interrupted: Whether the answer was said in part: the caller cut it off, or the model broke off.
        spoke_at: When the caller's speech began, by the recording.
        spoke_until: When it ended.
        answered_at: When the first sample of the answer left the playout; None without an answer.
        parts: Where the time between the two went; None without an answer.
    """

    number: int
    user: str
    bot: str
    tools: tuple[ToolUse, ...]
    interrupted: bool
    spoke_at: float
    spoke_until: float
    answered_at: float | None
    parts: LatencyParts | None

    @property
    def voice_to_voice(self) -> float | None:
        """Seconds from the caller's last sample to the bot's first; None without an answer."""
        if self.number == 0 or self.answered_at is None:
            return None
        return self.answered_at - self.spoke_until
