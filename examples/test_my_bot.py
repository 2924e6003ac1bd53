"""A bot author's first test: a recorded caller calls a bot, in virtual time. Run it with pytest."""

from pathlib import Path

from piopiy_pipeline.testing import Caller, Providers, Transcripts

BOT = Path(__file__).with_name("front_desk.py")


def test_takes_a_booking(simulate, tmp_path, monkeypatch):
    monkeypatch.setenv("BOOKINGS", str(tmp_path / "bookings.jsonl"))
    caller = Caller().say("A table for four on Friday at seven, please.").say("Yes please.").say("Goodbye.")
    call = simulate(BOT, caller, providers=Providers(stt=Transcripts(latency=0.3)))
    call.assert_tool("book_table", people=4, day="Friday", time="19:00")
    call.assert_said("is booked")
    call.assert_ended("agent_hangup")
    call.assert_latency(below=1.2)
