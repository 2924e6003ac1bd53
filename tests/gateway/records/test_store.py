"""Records in real databases: what was written is there, in order, page by page, after every kind of end."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from sqlalchemy import create_engine, event, text, update

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.database import database_address
from piopiy_pipeline.gateway.records.lost_calls import LEASE_S
from piopiy_pipeline.gateway.records.models import BadCursor, RecordsUnavailable
from piopiy_pipeline.gateway.records.record_builder import time_of_day
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.gateway.records.tables import gateways
from piopiy_pipeline.gateway.records.write_queue import WriteQueue
from tests.support import postgres
from tests.support.call_events import NOON, CallEvents


class Gateway:
    """A gateway as its store sees it: its events are written to the store."""

    def __init__(self, config: GatewayConfig, name: str = "one:7860") -> None:
        self.config = config
        self.queue = WriteQueue()
        self.store = Store(config, name)

    def write(self, *events: BusEvent) -> None:
        for one in events:
            self.queue.add(one)
        assert self.store.write(self.queue.take()) == 0

    def die(self) -> None:
        """As if the process had been killed: the lease is not given back."""
        self.store._engine.dispose()

    def not_renewed_for(self, seconds: float) -> None:
        """Let the lease have been renewed so many seconds ago."""
        with self.store._engine.begin() as connection:
            now = time_of_day(time.time() - seconds)
            connection.execute(
                update(gateways).where(gateways.c.gateway_id == self.store.gateway_id).values(seen_at=now)
            )

    def has_held_its_lease_for(self, seconds: float) -> None:
        """Let the database have been there for so many seconds, without a gap."""
        self.store._lost_calls.held_since -= timedelta(seconds=seconds)

    def page(self, limit: int = 50, before: str | None = None, **only: Any) -> tuple[list[str], str | None]:
        page = self.store.page(limit, before, only.get("agent_id"), only.get("kind"), only.get("phase"))
        return [record.call_id for record in page.calls], page.next


Gateways = Callable[..., Gateway]


@pytest.fixture
def new_gateway() -> Iterator[Gateways]:
    """Makes gateways, and closes them."""
    made: list[Gateway] = []

    def make(config: GatewayConfig, name: str = "one:7860") -> Gateway:
        made.append(Gateway(config, name))
        return made[-1]

    yield make
    for gateway in made:
        gateway.die()


@pytest.fixture
def gateway(config: GatewayConfig, new_gateway: Gateways) -> Gateway:
    return new_gateway(config)


def test_a_call_and_its_conversation_are_read_as_they_were_told(gateway: Gateway) -> None:
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


def test_a_call_without_metadata_has_none(gateway: Gateway) -> None:
    gateway.write(CallEvents(metadata=None, from_number=None).placed())
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert (detail.call.metadata, detail.call.from_number) == (None, None)


def test_what_is_written_twice_is_there_once(gateway: Gateway) -> None:
    call = CallEvents()
    news = (call.placed(), call.event(), call.event())
    gateway.write(*news)
    for one in news:
        gateway.queue.add(one)
    gateway.store.write(gateway.queue.take())
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert [one.number for one in detail.events] == [1, 2]


def test_text_that_no_database_takes_is_made_fit(gateway: Gateway) -> None:
    call = CallEvents(from_number="a\0b\ud800", metadata={"\0k": ["\ud800", float("nan"), {"deep": "\0"}]})
    gateway.write(call.placed(), call.event(text="one\0two", n=float("inf")))
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert detail.call.from_number == "ab?"
    assert detail.call.metadata == {"k": ["?", None, {"deep": ""}]}
    assert detail.events[0].data == {"text": "onetwo", "n": None}
    assert detail.model_dump_json(), "and it can be sent"


def test_a_row_that_the_database_refuses_takes_no_other_with_it(gateway: Gateway) -> None:
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


def test_pages_hold_the_latest_calls_first_and_follow_on_each_other(gateway: Gateway) -> None:
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


def test_pages_can_be_of_one_agent_kind_or_phase(gateway: Gateway) -> None:
    phone = CallEvents("phone", at=1, kind="phone")
    gateway.write(phone.placed(), CallEvents("other", at=2, agent_id="back-office").placed())
    gateway.write(CallEvents("live", at=3).answered(4))
    assert gateway.page(agent_id="back-office")[0] == ["other"]
    assert gateway.page(kind="phone")[0] == ["phone"]
    assert gateway.page(phase=Phase.LIVE)[0] == ["live"]
    assert gateway.page(agent_id="front-desk", phase=Phase.OFFERING)[0] == ["phone"]
    assert gateway.page(agent_id="nobody\0") == ([], None)


@pytest.mark.parametrize("cursor", ["", "x", "12", "12.", ".id", "-1.id", "9" * 30 + ".id", "٣.id"])
def test_a_cursor_that_is_none_is_an_error(new_gateway: Gateways, tmp_path: Path, cursor: str) -> None:
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path))
    with pytest.raises(BadCursor, match="is not the `next` of a page"):
        gateway.page(before=cursor)


# ---------------------------------------------------------------------- gateways that die


def test_calls_that_a_dead_gateway_left_open_end_when_it_starts_again(
    gateway: Gateway, new_gateway: Gateways
) -> None:
    call, over = CallEvents(), CallEvents("call-2")
    gateway.write(over.placed(), over.ended(105), call.placed(), call.answered(102), call.event(at=4))
    gateway.not_renewed_for(
        86_000 + time.time() - NOON
    )  # long before the last event: the event is the last sign of life
    gateway.die()
    again = new_gateway(gateway.config)
    detail = again.store.detail("call-1")
    assert detail is not None
    assert (detail.call.phase, detail.call.reason) == (Phase.ENDED, EndReason.GATEWAY_LOST)
    assert "one:7860 was lost" in detail.call.detail
    assert detail.call.ended_at == time_of_day(NOON + 104)
    assert len(detail.events) == 1, "and nothing that was said is lost"
    assert again.store.page(50, None, None, None, None).calls[0].reason is EndReason.CALLER_HANGUP


def test_a_gateway_leaves_calls_alone_while_their_lease_lasts(
    gateway: Gateway, new_gateway: Gateways
) -> None:
    gateway.write(CallEvents().placed())
    other = new_gateway(gateway.config, "two:7860")
    other.has_held_its_lease_for(LEASE_S + 1)
    assert other.page(phase=Phase.OFFERING)[0] == ["call-1"]
    assert not other.store.renew_lease()
    assert other.page(phase=Phase.OFFERING)[0] == ["call-1"]
    gateway.not_renewed_for(LEASE_S + 1)
    assert not other.store.renew_lease()
    assert other.page(phase=Phase.ENDED)[0] == ["call-1"]


def test_a_gateway_that_was_without_the_database_itself_gives_the_others_time_to_come_back(
    gateway: Gateway, new_gateway: Gateways
) -> None:
    call = CallEvents()
    gateway.write(call.placed(), call.answered(101))
    other = new_gateway(gateway.config, "two:7860")
    other.has_held_its_lease_for(3600)
    for one in (gateway, other):
        one.not_renewed_for(LEASE_S + 30)  # the database was away
    assert other.store.renew_lease(), "it is back first"
    assert not other.store.renew_lease()
    started = new_gateway(gateway.config, "three:7860")
    assert other.page(phase=Phase.LIVE)[0] == ["call-1"]
    for one in (other, started):
        one.has_held_its_lease_for(LEASE_S - 5)
        assert not one.store.renew_lease()
        assert one.page(phase=Phase.LIVE)[0] == ["call-1"]
    other.has_held_its_lease_for(10)
    assert not other.store.renew_lease()
    assert other.page(phase=Phase.ENDED)[0] == ["call-1"], "one that does not come back was lost"


def test_open_calls_of_a_gateway_that_is_known_to_be_gone_are_read_as_lost_at_once(
    gateway: Gateway, new_gateway: Gateways
) -> None:
    call, over = CallEvents(), CallEvents("call-2")
    gateway.write(over.placed(), over.ended(105), call.placed(), call.answered(102))
    other = new_gateway(gateway.config, "two:7860")
    gone = {"one:7860": time.time() - NOON - 130}

    def listed(phase: Phase | None) -> dict[str, EndReason | None]:
        page = other.store.page(50, None, None, None, phase, gone)
        return {one.call_id: one.reason for one in page.calls}

    lost, regular = EndReason.GATEWAY_LOST, EndReason.CALLER_HANGUP
    assert listed(Phase.LIVE) == {}
    assert listed(Phase.ENDED) == listed(None) == {"call-1": lost, "call-2": regular}
    detail = other.store.detail("call-1", gone)
    assert detail is not None
    assert (detail.call.phase, detail.call.reason) == (Phase.ENDED, lost)
    assert detail.call.duration_s == pytest.approx(28, abs=5), "until it was heard last"
    assert other.page(phase=Phase.LIVE)[0] == ["call-1"], "one that is heard again has its calls"


def test_a_gateway_that_was_only_cut_off_has_its_calls_back(gateway: Gateway, new_gateway: Gateways) -> None:
    call = CallEvents()
    gateway.write(call.placed(), call.answered(101))
    other = new_gateway(gateway.config, "two:7860")
    other.has_held_its_lease_for(LEASE_S + 1)
    gateway.not_renewed_for(LEASE_S + 1)
    other.store.renew_lease()
    assert gateway.page(phase=Phase.ENDED)[0] == ["call-1"]
    assert gateway.store.renew_lease(), "it is told that it was given up"
    gateway.queue.add_calls_under_way(NOON + 200)
    gateway.write()
    assert gateway.page(phase=Phase.LIVE)[0] == ["call-1"]
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert (detail.call.reason, detail.call.ended_at, detail.call.detail) == (None, None, "")


def test_two_gateways_of_one_name_are_told_so_once(gateway: Gateway, new_gateway: Gateways) -> None:
    said: list[str] = []
    handler = logger.add(said.append, level="ERROR")
    try:
        twin = new_gateway(gateway.config)
        assert gateway.store.renew_lease()
        assert twin.store.renew_lease()
        gateway.store.renew_lease()
    finally:
        logger.remove(handler)
    assert [("another gateway calls itself one:7860" in line) for line in said] == [True, True]


def test_a_gateway_that_says_goodbye_is_no_longer_there(gateway: Gateway, new_gateway: Gateways) -> None:
    other = new_gateway(gateway.config, "two:7860")
    gateway.store.close()
    with other.store._engine.connect() as connection:
        assert connection.execute(text("SELECT gateway_id FROM gateways")).scalars().all() == ["two:7860"]


# ---------------------------------------------------------------------- recordings, retention


def _record(folder: Path, name: str) -> Path:
    path = folder / "recordings" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF")
    return path


def test_a_recording_is_found_by_its_call_while_its_file_is_there(gateway: Gateway) -> None:
    assert gateway.config.data_folder is not None
    path = _record(gateway.config.data_folder, "2027-01-15/call-1.wav")
    call = CallEvents()
    gateway.write(call.placed(), call.ended(101))
    gateway.queue.add_recording("call-1", "2027-01-15/call-1.wav")
    gateway.write()
    detail = gateway.store.detail("call-1")
    assert detail is not None
    assert detail.call.recorded
    assert gateway.store.recording_path("call-1") == path
    gateway.queue.add_calls_under_way(NOON)
    path.unlink()
    assert gateway.store.recording_path("call-1") is None
    assert not gateway.store.page(1, None, None, None, None).calls[0].recorded
    assert gateway.store.recording_path("call-2") is None


def test_the_recording_of_a_call_that_was_lost_is_found(gateway: Gateway, new_gateway: Gateways) -> None:
    assert gateway.config.data_folder is not None
    path = _record(gateway.config.data_folder, "2027-01-15/call-1.wav")
    gateway.write(CallEvents().placed())
    gateway.die()
    assert new_gateway(gateway.config).store.recording_path("call-1") == path


def test_a_gateway_that_comes_back_finds_recordings_of_calls_that_another_closed(
    gateway: Gateway, new_gateway: Gateways, tmp_path: Path
) -> None:
    assert gateway.config.data_folder is not None
    path = _record(gateway.config.data_folder, "2027-01-15/call-1.wav")
    just_now = time.time() - NOON
    gateway.write(CallEvents(at=just_now).placed())
    gateway.not_renewed_for(LEASE_S + 1)
    gateway.die()
    elsewhere = GatewayConfig(
        data_folder=tmp_path / "elsewhere", database_url=str(database_address(gateway.config))
    )
    other = new_gateway(elsewhere, "two:7860")
    other.has_held_its_lease_for(LEASE_S + 1)
    other.store.renew_lease()
    assert other.page(phase=Phase.ENDED)[0] == ["call-1"]
    assert other.store.recording_path("call-1") is None, "it is on another machine"
    assert new_gateway(gateway.config).store.recording_path("call-1") == path


def test_a_lease_is_renewed_although_the_folder_of_recordings_cannot_be_read(
    gateway: Gateway, new_gateway: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(*_: object) -> Iterator[Path]:
        raise OSError(errno.ESTALE, "Stale file handle")

    gateway.write(CallEvents(at=time.time() - NOON).placed())
    other = new_gateway(gateway.config, "two:7860")
    other.has_held_its_lease_for(LEASE_S + 1)
    gateway.not_renewed_for(LEASE_S + 1)
    monkeypatch.setattr(Path, "glob", no_answer)
    assert not other.store.renew_lease()
    assert other.page(phase=Phase.ENDED)[0] == ["call-1"]


def test_a_disk_that_does_not_read_is_no_fault_of_what_is_written(
    new_gateway: Gateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path))
    gateway.queue.add(CallEvents().placed())
    batch = gateway.queue.take()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", broken)
        with pytest.raises(RecordsUnavailable, match="Input/output error"):  # so it is written later
            gateway.store.write(batch)
    assert gateway.store.write(batch) == 0


def test_calls_are_forgotten_with_all_that_was_said_when_they_ended_long_ago(gateway: Gateway) -> None:
    old, young, live = CallEvents("old", at=0), CallEvents("young", at=50), CallEvents("live", at=1)
    gateway.write(old.placed(), old.event(), old.ended(20), young.placed(), young.ended(90), live.placed())
    assert gateway.store.delete_calls(NOON + 30) == 1
    assert gateway.store.delete_calls(NOON + 30) == 0
    assert gateway.page()[0] == ["young", "live"]
    with gateway.store._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0


# ---------------------------------------------------------------------- databases that fail


def test_a_database_that_goes_away_says_so_and_takes_all_when_it_is_back(
    postgres_server: postgres.Cluster, tmp_path: Path, new_gateway: Gateways
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
    new_gateway: Gateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_only_this_user_can_read_the_file(new_gateway: Gateways, tmp_path: Path) -> None:
    gateway = new_gateway(GatewayConfig(data_folder=tmp_path / "new" / "data"))
    gateway.write(CallEvents().placed())
    assert (tmp_path / "new" / "data").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new" / "data").iterdir())
