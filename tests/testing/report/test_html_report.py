"""The report: that it is one page, whole and self-contained, and says what happened."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing.report import html_report as report
from piopiy_pipeline.testing.report.html_report import Section, page, section, write_report
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall
from tests.support.simulated import booking_call

VOID = {"meta", "br", "wbr", "link", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID and tag != "path":
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            elif name == "href" and value:
                self.links.append(value)
            elif name in ("src", "srcset", "data", "poster", "action") and value:
                self.loads.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path", f"<{tag}/> is not closed in HTML"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def words(html: str) -> str:
    return " ".join(Page(html).text.split())


def test_one_page_tells_of_each_call_what_was_said_done_and_how_it_ended() -> None:
    text = words(page([section(booking_call())]))
    for expected in (
        "I would like to book a table for four people.",
        "Your table is booked.",
        "book_table(people=4, day='Friday', time='19:00')",
        "(cut off)",
        "barge-in",
        "ended by agent hangup (the bot hung up)",
        "silence 220 stt 30 turn 20 llm 240 tts 90 playout 20",
        "median 620 ms",
        "1 call, 3 answers",
    ):
        assert expected in text


def test_the_page_loads_nothing_and_its_links_lead_somewhere() -> None:
    html = page([section(booking_call()), section(booking_call(slower=0.1, lost=(3, 4, 5)))])
    read = Page(html)
    assert all(source.startswith("data:audio/wav;base64,") for source in read.loads)
    assert not re.search(r"https?://|@import|url\(", html)
    assert {f"#{each}" for each in read.ids} == set(read.links) == {"#call-0", "#call-1"}


def test_lost_packets_are_counted_and_marked_on_the_side_where_they_were_lost() -> None:
    html = section(booking_call(lost=tuple(range(30)))).html
    assert "20 packets lost" in words(html), "to the bot"
    assert "10 packets lost" in words(html), "to the caller"
    assert sorted(path.count("v1") for path in re.findall(r'class="lost".*?d="([^"]*)"', html)) == [10, 20]


def test_a_test_that_failed_shows_why() -> None:
    html = page(
        [section(booking_call(), outcome="failed", failure="AssertionError: <nobody> booked\n\n  0.00 ...")]
    )
    assert "AssertionError: <nobody> booked" in Page(html).text
    assert "1 failed" in words(html)


def test_what_people_say_is_never_taken_for_html() -> None:
    call = booking_call(name="<script>alert(1)</script>")
    call.end_detail = "</pre><b>bold"
    html = page([section(call)], title="<i>title")
    assert html.count("<script>") == 1
    assert "<script>alert(1)</script>" in Page(html).text
    assert "</pre><b>bold" in Page(html).text


def test_the_parts_of_an_answer_fill_its_bar() -> None:
    html = section(booking_call(slower=0.2)).html
    for wait in re.findall(r'<span class="wait".*?</span>', html):
        widths = [float(width) for width in re.findall(r'part \w+" style="width:([\d.]+)%', wait)]
        assert sum(widths) == pytest.approx(100, abs=0.1)


def test_both_voices_can_be_listened_to() -> None:
    call = booking_call()
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(section(call).sound)))
    assert rate == 8000
    assert sound.shape[1] == 2
    assert sound.shape[0] / rate == pytest.approx(call.duration_s, abs=0.01)
    louder = np.abs(sound[: 2 * rate]).max(axis=0)
    assert louder[1] > 5 * louder[0], "the bot is on the right, and speaks first"


def test_a_page_holds_so_much_sound_and_no_more_and_that_of_failed_calls_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sections = [section(booking_call(), outcome=outcome) for outcome in ("passed", "passed", "failed")]
    monkeypatch.setattr(report, "AUDIO_LIMIT_BYTES", int(len(sections[0].sound) * 1.5))
    html = page(sections)
    assert html.count("<audio") == 1
    assert html.index("<audio") > html.index('id="call-2"')


def test_a_section_survives_the_way_from_one_process_to_another() -> None:
    made = section(booking_call(lost=(1, 2)), name="a", outcome="failed", failure="because")
    assert Section.from_json(made.to_json()) == made


def test_a_call_that_was_never_answered_has_a_section_too() -> None:
    nothing = np.zeros(0, np.int16)
    call = SimulatedCall([], [], EndReason.ERROR, "the callback raised", nothing, nothing, 16000, 0, 0.0, 0.1)
    text = words(page([section(call, sound=True)]))
    assert "ended by error (the callback raised)" in text
    assert "1 call, 0 answers" in text


def test_a_long_call_stays_readable_in_size() -> None:
    call = booking_call()
    call.caller_audio, call.bot_audio = (np.tile(pcm, 20) for pcm in (call.caller_audio, call.bot_audio))
    call.duration_s *= 20
    assert len(section(call, sound=False).html) < 400_000


def test_the_page_is_written_and_without_calls_it_says_so(tmp_path: Path) -> None:
    path = write_report(tmp_path / "report.html", [booking_call()], title="Front desk")
    assert "Front desk" in words(path.read_text(encoding="utf-8"))
    assert "0 calls" in words(page([]))
    with pytest.raises(OSError, match="no-such-folder"):
        write_report(tmp_path / "no-such-folder" / "report.html", [])


def test_packets_that_were_lost_in_a_row_are_one_line_of_the_timeline() -> None:
    text = booking_call(lost=(10, 11, 13, 14, 300)).timeline()
    assert "lost on the way to bot: packet 10-11, 13-14" in text
    assert "lost on the way to caller: packet 300" in text


def test_a_text_that_no_file_can_hold_does_not_cost_the_page(tmp_path: Path) -> None:
    call = booking_call()
    call.end_detail = "half of a pair: \ud83d"
    assert "half of a pair: \ufffd" in write_report(tmp_path / "calls.html", [call]).read_text()
