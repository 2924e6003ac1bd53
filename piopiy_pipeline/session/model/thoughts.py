"""`ThoughtFilter`: takes out of a model's answer what is not meant for the caller, as the text streams.

Models that reason write their thoughts into the answer, between marks that their server does not always take
out: ``<think>`` (DeepSeek, Qwen, GLM, MiniMax, and many more), ``<thought>`` (Gemma, EXAONE), ``[THINK]``
(Magistral), ``◁think▷`` (Kimi), ``<|START_THINKING|>`` (Command), channels (gpt-oss). Special tokens such as
``<|im_end|>`` come through in the same way.

Some templates begin the thought themselves, so that the answer shows its end only: text, then ``</think>``.
The filter cannot know this beforehand. It reports it (`stray_end`), and expects it in the answers that follow.

A server without a parser for its model's tool calls lets them through as text (``<tool_call>{"name": ...}``). They are
taken out like a thought, and reported (`tool_call`): they are not run, because a model may quote one, too.

Without I/O. One filter serves the answers of one model in one call, one after another.
"""

from __future__ import annotations

import json
import re

from piopiy_pipeline.text import has_words

__all__ = ["ThoughtFilter"]

_NAMES = (
    "think", "thinking", "thought", "thoughts", "thought_process", "reasoning", "reflection", "analysis",
    "scratchpad", "inner_monologue", "antthinking", "longcat_think", "seed:think",
)  # fmt: skip
_TOOL_NAMES = ("tool_call", "tool_calls", "function_call", "function_calls", "function", "toolcall")
_ALL_NAMES = _NAMES + _TOOL_NAMES
_PAIRS = {
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<|channel>thought": "<channel|>",
    "<unused94>": "<unused95>",
}
"""Marks that are no tags: the beginning and the end of a thought."""
_TOOL_PAIRS = {
    "[tool_calls]": "",
    "<|python_tag|>": "<|eom_id|>",
    "<|tool_call|>": "<|/tool_call|>",
    "<|tool_calls_section_begin|>": "<|tool_calls_section_end|>",
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",
    "<|tool▁calls▁begin|>": "<|tool▁calls▁end|>",
}
"""The same of tool calls. One without an end (Mistral) goes on to the end of the answer."""
_ALL_PAIRS = _PAIRS | _TOOL_PAIRS
_ENDS = frozenset(filter(None, _ALL_PAIRS.values()))
_LITERALS = (*_ALL_PAIRS, *_ENDS)
_LONGEST_LITERAL = max(map(len, _LITERALS))
_TAG = re.compile(
    rf"<\s{{0,2}}(/?)\s{{0,2}}({'|'.join(_ALL_NAMES)})(?:[\s=][^<>]{{0,100}})?(/?)>", re.IGNORECASE
)
_TAG_BEGINNING = re.compile(r"<\s{0,2}/?\s{0,2}([a-z_:]{0,20})((?:[\s=][^<>]{0,100})?/?)", re.IGNORECASE)
_TOKEN = re.compile(r"<[|｜]([^<>|｜\s]{1,40})[|｜]>")
_TOKEN_BEGINNING = re.compile(r"<[|｜][^<>|｜\s]{0,40}[|｜]?")
_MARKS = re.compile("[<\\[◁]")
_BARE_CHANNEL = "analysis"
_BARE_END = "assistantfinal"
"""The channels of gpt-oss when a server has taken out their tokens: ``analysisThey want...assistantfinalHello``."""
_HEADER_LIMIT = 200
"""A channel's header of gpt-oss is a few words; what is longer is none."""
_LONGEST_DOUBT = 1000
"""So many characters are kept back behind a thought that may not have ended yet, and then they are said."""
_LONGEST_CALL = 8000
"""The same for an answer that may be nothing but a tool call, without marks."""


class ThoughtFilter:
    """Passes on what is to be said of an answer that comes in pieces, split anywhere."""

    def __init__(self) -> None:
        self._expects_thought = False
        self.begin()

    def begin(self) -> None:
        """A new answer begins."""
        self._text = ""
        self._open: list[str] = []
        self._header: str | None = None
        self._beginning: str | None = ""  # what has come, until it is known whether it names a channel
        self._held = "" if self._expects_thought else None  # what may be a thought, as its end will show
        self._longest_held = 0  # characters; 0 for no limit
        self._inner = 0  # beginnings of a thought inside one of the same name
        self._bare_call = False
        self._said = False
        self._dropped = False
        self.stray_end = False
        """Whether this answer shows the end of a thought whose beginning it did not show, behind words that
        were passed on: they were a thought, too."""
        self.tool_call = False
        """Whether a tool call was taken out of this answer."""

    @property
    def thought(self) -> bool:
        """Whether something was taken out of this answer."""
        return self._dropped or bool(self._open)

    def feed(self, text: str) -> str:
        """Return what is to be said, of this piece and of what was kept back before it. It may be empty."""
        self._take(text, final=False)
        return self._pass_on(self._read(final=False))

    def finish(self) -> str:
        """The answer is complete: return what was kept back and is no mark after all."""
        self._take("", final=True)
        rest = self._pass_on(self._read(final=True))
        held, self._held = self._held, None
        if held is None:
            return rest
        if self._bare_call and _is_tool_call(held):
            self.tool_call = self._dropped = True
            return rest
        if not self._longest_held:  # no end of a thought came: it was none
            self._expects_thought = False
        return rest + held

    def _take(self, text: str, *, final: bool) -> None:
        """Add a piece to the text. The beginning of an answer is kept back while it may name a channel."""
        if self._beginning is None:
            self._text += text
            return
        beginning = self._beginning + text
        if not final and len(beginning) <= len(_BARE_CHANNEL) and _BARE_CHANNEL.startswith(beginning):
            self._beginning = beginning
            return
        self._beginning = None
        if beginning.lstrip().startswith("{") and self._held is None:
            self._held, self._longest_held, self._bare_call = "", _LONGEST_CALL, True
        bare = beginning.startswith(_BARE_CHANNEL) and beginning[len(_BARE_CHANNEL) :][:1].isupper()
        if bare:
            self._begin_thought(_BARE_END)
        self._text = beginning[len(_BARE_CHANNEL) :] if bare else beginning

    def _skip_bare_channel(self, *, final: bool) -> bool:
        """Drop the thought of a channel without tokens. Returns whether its end was found."""
        at = self._text.find(_BARE_END)
        if at < 0:
            self._text = "" if final else self._text[-len(_BARE_END) + 1 :]
            return False
        self._text = self._text[at + len(_BARE_END) :]
        self._open = []
        return True

    def _pass_on(self, text: str) -> str:
        if self._held is not None and 0 < self._longest_held < len(self._held):
            text, self._held = text + self._held, None
        self._said = self._said or has_words(text)
        return text

    def _read(self, *, final: bool) -> str:
        """Take as much as can be decided from the text, and return what is no thought."""
        out: list[str] = []
        while self._text:
            if self._open == [_BARE_END]:
                if not self._skip_bare_channel(final=final):
                    break
                continue
            found = _MARKS.search(self._text)
            plain = self._text if found is None else self._text[: found.start()]
            self._keep(plain, out)
            self._text = self._text[len(plain) :]
            if not self._text:
                break
            if (mark := self._mark()) is not None:
                self._text = self._text[len(mark) :]
                self._handle(mark.lower(), out)
            elif not final and _may_become_mark(self._text):
                break
            else:
                self._keep(self._text[0], out)
                self._text = self._text[1:]
        return "".join(out)

    def _keep(self, text: str, out: list[str]) -> None:
        if self._header is not None:
            self._header += text
            if len(self._header) > _HEADER_LIMIT:
                self._header = None
        elif self._open:
            return
        elif self._held is None:
            out.append(text)
        else:
            self._held += text

    def _mark(self) -> str | None:
        """The mark with which the text begins, if it does."""
        lower = self._text[:_LONGEST_LITERAL].lower()
        literal = next((each for each in _LITERALS if lower.startswith(each)), None)
        if literal is not None:
            return self._text[: len(literal)]
        match = _TAG.match(self._text) or _TOKEN.match(self._text)
        return match[0] if match else None

    def _handle(self, mark: str, out: list[str]) -> None:
        self._dropped = True
        if mark in _ALL_PAIRS:
            self._begin_thought(_ALL_PAIRS[mark], tool_call=mark in _TOOL_PAIRS)
        elif mark in _ENDS:
            self._end_thought(mark, out)
        elif (tag := _TAG.fullmatch(mark)) is not None:
            if tag[1]:
                self._end_thought(tag[2], out)
            elif not tag[3]:
                self._begin_thought(tag[2], tool_call=tag[2] in _TOOL_NAMES)
        elif (token := _TOKEN.fullmatch(mark)) is not None:
            self._handle_token(token[1])

    def _handle_token(self, token: str) -> None:
        """Follow the channels of gpt-oss. Other special tokens mean nothing to a caller."""
        if token in ("channel", "start"):
            self._header = ""
        elif token == "message" and self._header is not None:
            header, self._header = self._header, None
            if header.startswith("analysis") or " to=" in header:
                self._open = ["<|end|>"]
            else:
                self._open = []
        elif token in ("end", "return", "call") and self._open == ["<|end|>"]:
            self._open = []

    def _begin_thought(self, name: str, *, tool_call: bool = False) -> None:
        self.tool_call = self.tool_call or (tool_call and not self._open)  # and not one in a thought
        if name in self._open:
            self._inner += 1
        else:
            self._open.append(name)

    def _end_thought(self, name: str, out: list[str]) -> None:
        if name in self._open:
            del self._open[self._open.index(name) :]
            if not self._open:
                self._doubt_end()
        elif self._open:  # a model that mixes up its marks
            self._open.pop()
        elif self._held is not None and not self._bare_call:
            self._held = None
            self._doubt_end()
        else:
            said = self._said or any(map(has_words, out))
            out.clear()
            if said:
                self.stray_end = self._expects_thought = True

    def _doubt_end(self) -> None:
        """Keep back what follows the end of a thought in which another one of its name has begun.

        The thought may have quoted its own mark, or a second end comes: then what is kept back is a thought, too.
        """
        if self._inner and self._held is None:
            self._inner -= 1
            self._held, self._longest_held = "", _LONGEST_DOUBT


def _is_tool_call(text: str) -> bool:
    """Whether a text is the JSON of one tool call, and nothing else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "name" in value and bool({"arguments", "parameters"} & value.keys())


def _may_become_mark(text: str) -> bool:
    """Whether more text could make a mark of this beginning of one."""
    lower = text[:_LONGEST_LITERAL].lower()
    if any(literal.startswith(lower) for literal in _LITERALS if len(lower) == len(text)):
        return True
    if _TOKEN_BEGINNING.fullmatch(text):
        return True
    tag = _TAG_BEGINNING.fullmatch(text)
    if tag is None:
        return False
    name = tag[1].lower()
    return name in _ALL_NAMES if tag[2] else any(each.startswith(name) for each in _ALL_NAMES)
