"""Takes out what is written for the eye: markdown, HTML and emoji. Nothing here depends on a language.

An answer comes sentence by sentence, and a block of code, or a list, goes on over many. So what is open at the end
of a sentence is kept (`Markup`), for one answer at a time.

The authors' own marks stay: tags that are no HTML (SSML, ``<spell>``, ``<<phonemes>>``) belong to the TTS.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from piopiy_pipeline.spoken_text.alignment import Span

__all__ = ["Markup", "speech_tags"]

_HTML = (
    "a|abbr|b|big|blockquote|br|center|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|pre|q|"
    "s|samp|section|small|span|strike|strong|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var"
)
_ATTRIBUTES = (
    r"(?:\s+(?:[A-Za-z_:@][\w:.-]{0,40}\s?=\s?(?:\"[^\"<>]{0,300}\"|'[^'<>]{0,300}'|[^\s\"'<>=]{1,300})"
    r"|hidden|disabled|open|checked|reversed|controls|download)){0,20}\s*/?"
)
"""Attributes of HTML. Other words behind a name are no attributes: "if a<b and c>d"."""
_SAID_BY_TAG = re.compile(
    r"<(?P<tag>phoneme|say-as|sub|spell|ipa|sayas)\b[^<>]{0,300}(?:(?<=/)>|(?<!/)>[^<]{0,300}</(?P=tag)>)"
    r"|<<[^<>]{1,300}>>"
    r"|</?(?!(?:" + _HTML + r")\b)[A-Za-z][A-Za-z:_-]{0,30}(?:\s+[^<>]{0,300})?/?>",
)
"""What belongs to the TTS: tags whose text is the author's, phonemes, and every other tag that is no HTML."""

_FENCE = re.compile(r"(?:^|(?<=\n))[ \t]{0,3}(`{3,}|~{3,})[^\n]{0,100}(?:\n|$)|```|~~~")
_TICKS_AT_END = re.compile(r"(?<!`)`{1,2}$|(?<!~)~{1,2}$")
_LINE_STARTS = re.compile(
    r"(?:^|(?<=\n))[ \t]{0,12}"
    r"(?:(?:>[ \t]?)+|\#{1,6}[ \t]+|(?:[-*_•‣◦▪–—][ \t]*){3,}(?=\n|$)"
    r"|[-+*•‣◦▪–][ \t]+(?:\[[ xX]\][ \t]+)?|\[[ xX]\][ \t]+)+"
)
_TABLE_LINE = re.compile(
    r"(?:^|(?<=\n))[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*(?=\n|$)"
)
_INLINE = re.compile(
    r"(?P<escaped>\\[\\`*_{}\[\]()#+\-.!|>~])"
    r"|(?P<link>!?\[(?P<label>[^\[\]\n]{0,300})\](?:\([^()\s]{0,1000}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?"
    r"(?:[ \t]+[\"'][^\"'\n]{0,200}[\"'])?\)|\[[^\[\]\n]{0,100}\]))"
    r"|(?P<cut_link>\]\([^()\s]{0,1000}\)?)"
    r"|(?P<autolink><(?:https?://|mailto:)?(?P<address>[^\s<>@]{1,200}[@.][^\s<>]{1,800})>)"
    r"|(?P<note>\[\^?\d{1,3}\])"
    r"|(?P<struck>~~[^~\n]{1,300}~~|~~)"
    r"|(?P<tag></?(?:" + _HTML + r")\b" + _ATTRIBUTES + r">|<!--(?:(?!-->).){0,300}-->)"
    r"|(?P<entity>&(?:\#\d{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});)"
    r"|(?P<ticks>`+)"
    r"|(?P<stars>(?<![\s*])\*+(?![\d*])|(?<![\d*])\*+(?![\s\d*#])|\*{2,})"
    r"|(?P<bold_number>(?<!\w)\*(?=\d[^*\n]{0,80}(?<=\S)\*(?![\w#])))"
    r"|(?P<lines>(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w))"
    r"|(?P<bar>[ \t]*\|[ \t]*)",
    re.DOTALL,
)
_LINE_BREAK = re.compile(r"[ \t]*(?:\r?\n[ \t]*)+")
_MARKS = re.compile(r"[\\`*_\[\]<>&~|#\n]|^[ \t]*[-+•‣◦▪–>]")
_BLOCK_TAGS = re.compile(r"</?(?:br|p|div|li|tr|h[1-6]|td|th)\b", re.IGNORECASE)
_MAX_EMOJI_TEXT = 4000


def speech_tags(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the text has marks for the TTS, which nobody may change: from, to."""
    if "<" in text:
        for match in _SAID_BY_TAG.finditer(text):
            yield match.span()


class Markup:
    """Takes markup out of one answer after the other, a sentence at a time."""

    def __init__(self) -> None:
        self._fence = ""  # what has opened the block of code in which the last sentence ended
        self._ticks = ""  # one or two backticks at its very end: pipecat cuts sentences between them

    def begin(self) -> None:
        """Note that another answer begins: nothing is open."""
        self._fence = self._ticks = ""

    def spans(self, text: str) -> list[Span]:
        """Return what of the next sentence is not said as it is written, in order.

        Args:
            text: The sentence, or more of the answer.
        """
        if not self._fence and not self._ticks and text.isascii() and not _MARKS.search(text):
            return []
        taken = _Taken(speech_tags(text))
        self._code(text, taken)
        for match in _TABLE_LINE.finditer(text):
            if "|" in match[0] or "--" in match[0]:
                taken.add(match.start(), match.end(), "")
        for match in _LINE_STARTS.finditer(text):
            taken.add(match.start(), match.end(), "")
        for match in _INLINE.finditer(text):
            self._inline(text, match, taken)
        _emoji(text, taken)
        for match in _LINE_BREAK.finditer(text):
            taken.add(match.start(), match.end(), _pause(text, match))
        return taken.spans()

    def _code(self, text: str, taken: _Taken) -> None:
        """Leave out blocks of code: nobody wants to hear them."""
        at = 0
        before = self._ticks
        for match in _FENCE.finditer(before + text):
            mark = match[0].strip()[:3]
            if not self._fence:
                self._fence, at = mark, max(0, match.start() - len(before))
            elif mark == self._fence:
                taken.add(at, match.end() - len(before), "")
                self._fence = ""
        ends = _TICKS_AT_END.search(before + text)
        self._ticks = ends[0] if ends else ""
        if self._fence:
            taken.add(at, len(text), "")

    def _inline(self, text: str, match: re.Match[str], taken: _Taken) -> None:
        start, end = match.span()
        match match.lastgroup:
            case "escaped":
                taken.add(start, start + 1, "")
            case "link" | "label":
                label_start, label_end = match.span("label")
                if taken.free(start, end):
                    taken.add(start, label_start, "")
                    taken.add(label_end, end, "")
                    for inner in _INLINE.finditer(text, label_start, label_end):
                        self._inline(text, inner, taken)
            case "autolink" | "address":
                taken.add(start, match.start("address"), "")
                taken.add(end - 1, end, "")
            case "cut_link":
                taken.add(start, end if taken.free(start, end) else start + 2, "")
            case "entity":
                said = html.unescape(match[0])
                if said != match[0]:
                    taken.add(start, end, "".join(" " if each.isspace() else each for each in said))
            case "struck":
                taken.fill(start, end)  # a block of code may begin or end within it
            case "tag":
                taken.add(start, end, " " if _BLOCK_TAGS.match(match[0]) else "")
            case "bar":
                at_edge = (
                    text[:start].rpartition("\n")[2].strip() == ""
                    or text[end:].partition("\n")[0].strip() == ""
                )
                taken.add(start, end, "" if at_edge else _comma(text, start))
            case _:
                taken.add(start, end, "")


class _Taken:
    """Spans as they are found: what was found first keeps its place."""

    def __init__(self, closed: Iterator[tuple[int, int]]) -> None:
        self._spans: list[Span] = []
        self._places = [(start, end) for start, end in closed]

    def free(self, start: int, end: int) -> bool:
        return not any(start < taken_end and taken_start < end for taken_start, taken_end in self._places)

    def add(self, start: int, end: int, spoken: str) -> None:
        if start < end and self.free(start, end):
            self._places.append((start, end))
            self._spans.append(Span(start, end, spoken))

    def fill(self, start: int, end: int) -> None:
        """Leave out all of it that is still free."""
        for taken_start, taken_end in sorted(self._places):
            self.add(start, min(taken_start, end), "")
            start = max(start, taken_end)
        self.add(start, end, "")

    def spans(self) -> list[Span]:
        return sorted(self._spans, key=lambda span: span.start)


def _comma(text: str, at: int) -> str:
    return " " if text[:at].rstrip()[-1:] in ",.;:!?" else ", "


def _pause(text: str, match: re.Match[str]) -> str:
    """Return what is said for the end of a line: the voice makes a pause between two items of a list."""
    before, after = text[: match.start()].rstrip("*_`~ |"), text[match.end() :]
    if not before.strip() or not after.strip():
        return " "
    return " " if before[-1] in ",.;:!?…-–—>" else ". "


def _emoji(text: str, taken: _Taken) -> None:
    if text.isascii():
        return
    import emoji  # 27 ms, and most calls begin without one

    for token in emoji.analyze(text[:_MAX_EMOJI_TEXT]):
        if isinstance(token.value, emoji.EmojiMatch) and token.value.emoji not in "©®™#*0123456789↔":
            start, end = token.value.start, token.value.end
            if start and text[start - 1] in " \t" and (end == len(text) or not text[end].isalnum()):
                start -= 1
            taken.add(start, end, "")
