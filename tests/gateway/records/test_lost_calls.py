"""Calls that were lost with their gateway, in real databases: they are closed, and their recordings found."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from sqlalchemy import text

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.database import database_address
from piopiy_pipeline.gateway.records.lost_calls import LEASE_S
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.record_builder import time_of_day
from tests.support.call_events import NOON, CallEvents
from tests.support.record_stores import StoreGateway, StoreGateways


def test_calls_that_a_dead_gateway_left_open_end_when_it_starts_again(
    gateway: StoreGateway, new_gateway: StoreGateways
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
    gateway: StoreGateway, new_gateway: StoreGateways
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
    gateway: StoreGateway, new_gateway: StoreGateways
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
    gateway: StoreGateway, new_gateway: StoreGateways
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


def test_a_gateway_that_was_only_cut_off_has_its_calls_back(
    gateway: StoreGateway, new_gateway: StoreGateways
) -> None:
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


def test_two_gateways_of_one_name_are_told_so_once(gateway: StoreGateway, new_gateway: StoreGateways) -> None:
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


def test_a_gateway_that_says_goodbye_is_no_longer_there(
    gateway: StoreGateway, new_gateway: StoreGateways
) -> None:
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


def test_a_recording_is_found_by_its_call_while_its_file_is_there(gateway: StoreGateway) -> None:
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


def test_the_recording_of_a_call_that_was_lost_is_found(
    gateway: StoreGateway, new_gateway: StoreGateways
) -> None:
    assert gateway.config.data_folder is not None
    path = _record(gateway.config.data_folder, "2027-01-15/call-1.wav")
    gateway.write(CallEvents().placed())
    gateway.die()
    assert new_gateway(gateway.config).store.recording_path("call-1") == path


def test_a_gateway_that_comes_back_finds_recordings_of_calls_that_another_closed(
    gateway: StoreGateway, new_gateway: StoreGateways, tmp_path: Path
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
    gateway: StoreGateway, new_gateway: StoreGateways, monkeypatch: pytest.MonkeyPatch
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
    new_gateway: StoreGateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
