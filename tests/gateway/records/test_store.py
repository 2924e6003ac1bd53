"""Records in real databases: what was written is there, in order, page by page, after every kind of end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger
from sqlalchemy import create_engine, event, text

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import BadCursor, RecordsUnavailable
from piopiy_pipeline.gateway.records.record_builder import time_of_day
from tests.support import postgres
from tests.support.call_events import NOON, CallEvents
from tests.support.record_stores import StoreGateway, StoreGateways


def test_a_call_and_its_conversation_are_read_as_they_were_told(gateway: StoreGateway) -> None:
    call = CallEvents()
    gateway.write(
        call.placed(), call.answered(102), call.event(text="Grüß Gott 😀"), call.event("bot_turn", 2.5)
    )
    gateway.write(call.ended(110.25, EndReason.AGENT_HANGUP, detail="bye", gaps=1, worst_gap_s=0.125))
    detail = gateway.store.detail("call-1")
    assert detail is not None
    record = detail.call
    assert (record.agent_id, record.instance_id, record.kind) == ("front-desk", "one", "stream")
    assert (record.from_number, record.to_number, record.metadata) == ("+15550100", "+15550199", {"table": 7})
    assert (record.phase, record.reason, record.detail) == (Phase.ENDED, EndReason.AGENT_HANGUP, "bye")
    assert record.placed_at == time_of_day(NOON + 100)
    assert record.answered_at == time_of_day(NOON + 102)
    assert record.ended_at == time_of_day(NOON + 110.25)
    assert record.duration_s == 8.25
    assert (record.quality.gaps, record.quality.worst_gap_s) == (1, 0.125)
    assert not record.recorded
    assert [(one.number, one.at, one.event, one.data) for one in detail.events] == [
        (1, 1.0, "user_turn", {"text": "Grüß Gott 😀"}),
        (2, 2.5, "bot_turn", {"text": "turn 2"}),
    ]
    assert gateway.store.detail("another") is None


def test_a_call_without_metadata_has_none(gateway: StoreGateway) -> None:
    gateway.write(CallEvents(metadata=None, from_number=None).placed())
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert (detail.call.metadata, detail.call.from_number) == (None, None)


def test_what_is_written_twice_is_there_once(gateway: StoreGateway) -> None:
    call = CallEvents()
    news = (call.placed(), call.event(), call.event())
    gateway.write(*news)
    for one in news:
        gateway.queue.add(one)
    gateway.store.write(gateway.queue.take())
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert [one.number for one in detail.events] == [1, 2]


def test_text_that_no_database_takes_is_made_fit(gateway: StoreGateway) -> None:
    call = CallEvents(from_number="a\0b\ud800", metadata={"\0k": ["\ud800", float("nan"), {"deep": "\0"}]})
    gateway.write(call.placed(), call.event(text="one\0two", n=float("inf")))
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert detail.call.from_number == "ab?"
    assert detail.call.metadata == {"k": ["?", None, {"deep": ""}]}
    assert detail.events[0].data == {"text": "onetwo", "n": None}
    assert detail.model_dump_json(), "and it can be sent"


def test_a_row_that_the_database_refuses_takes_no_other_with_it(gateway: StoreGateway) -> None:
    call = CallEvents()
    said: list[str] = []
    handler = logger.add(said.append, level="ERROR")
    try:
        bad = replace(call.event(), call_id="never placed")
        queue = gateway.queue
        for event in (call.placed(), call.event()):
            queue.add(event)
        queue._known.add("never placed")
        queue.add(bad)
        queue.add(call.event())
        assert gateway.store.write(queue.take()) == 1
    finally:
        logger.remove(handler)
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert [one.number for one in detail.events] == [2, 3]
    assert len(said) == 1
    assert "refused a row" in said[0]


# ---------------------------------------------------------------------- pages


def test_pages_hold_the_latest_calls_first_and_follow_on_each_other(gateway: StoreGateway) -> None:
    # Calls 3 and 4 were placed at the same moment: then the id decides.
    for number, at in enumerate([10, 20, 30, 40, 40, 50]):
        gateway.write(CallEvents(f"call-{number}", at=at).placed())
    first, cursor = gateway.page(limit=2)
    assert first == ["call-5", "call-4"]
    second, cursor = gateway.page(limit=2, before=cursor)
    assert second == ["call-3", "call-2"]
    gateway.write(CallEvents("call-9", at=60).placed())
    third, cursor = gateway.page(limit=2, before=cursor)
    assert (third, cursor) == (["call-1", "call-0"], None)


def test_pages_can_be_of_one_agent_kind_or_phase(gateway: StoreGateway) -> None:
    phone = CallEvents("phone", at=1, kind="phone")
    gateway.write(phone.placed(), CallEvents("other", at=2, agent_id="back-office").placed())
    gateway.write(CallEvents("live", at=3).answered(4))
    assert gateway.page(agent_id="back-office")[0] == ["other"]
    assert gateway.page(kind="phone")[0] == ["phone"]
    assert gateway.page(phase=Phase.LIVE)[0] == ["live"]
    assert gateway.page(agent_id="front-desk", phase=Phase.OFFERING)[0] == ["phone"]
    assert gateway.page(agent_id="nobody\0") == ([], None)


@pytest.mark.parametrize("cursor", ["", "x", "12", "12.", ".id", "-1.id", "9" * 30 + ".id", "٣.id"])
def test_a_cursor_that_is_none_is_an_error(new_gateway: StoreGateways, tmp_path: Path, cursor: str) -> None:
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path))
    with pytest.raises(BadCursor, match="is not the `next` of a page"):
        gateway.page(before=cursor)


# ---------------------------------------------------------------------- gateways that die


def test_calls_are_forgotten_with_all_that_was_said_when_they_ended_long_ago(gateway: StoreGateway) -> None:
    old, young, live = CallEvents("old", at=0), CallEvents("young", at=50), CallEvents("live", at=1)
    gateway.write(old.placed(), old.event(), old.ended(20), young.placed(), young.ended(90), live.placed())
    assert gateway.store.delete_calls(NOON + 30) == 1
    assert gateway.store.delete_calls(NOON + 30) == 0
    assert gateway.page()[0] == ["young", "live"]
    with gateway.store._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0


# ---------------------------------------------------------------------- databases that fail


def test_a_database_that_goes_away_says_so_and_takes_all_when_it_is_back(
    postgres_server: postgres.Cluster, tmp_path: Path, new_gateway: StoreGateways
) -> None:
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path, database_url=postgres_server.new_database()))
    call = CallEvents()
    gateway.write(call.placed())
    gateway.queue.add(call.event())
    batch = gateway.queue.take()
    postgres_server.stop()
    try:
        for work in (
            lambda: gateway.store.write(batch),
            gateway.store.renew_lease,
            lambda: gateway.store.detail("call-1"),
        ):
            with pytest.raises(RecordsUnavailable, match="is it running"):
                work()
    finally:
        postgres_server.start()
    assert gateway.store.write(batch) == 0
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert len(detail.events) == 1


def test_a_file_that_is_locked_says_so_after_a_while(
    new_gateway: StoreGateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piopiy_pipeline.gateway.records.database.BUSY_S", 0.05)
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path))
    other = create_engine(f"sqlite:///{tmp_path}/calls.sqlite3")
    event.listen(other, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        gateway.queue.add(CallEvents().placed())
        with pytest.raises(RecordsUnavailable, match="locked"):
            gateway.store.write(gateway.queue.take())
    other.dispose()


def test_only_this_user_can_read_the_file(new_gateway: StoreGateways, tmp_path: Path) -> None:
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path / "new" / "data"))
    gateway.write(CallEvents().placed())
    assert (tmp_path / "new" / "data").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new" / "data").iterdir())
