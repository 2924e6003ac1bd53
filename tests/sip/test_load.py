"""Many calls with voices, through SIP, RTP, playout, signaling and the media stream, to an agent that echoes.

In real time, because sipp and the voices it sends know no other.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from benchmarks.echo_agent import EchoAgent
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.gateway.phones.sip_leg import SipLeg
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN, config, until
from tests.support.sipp import SippResult, needs_sipp, sipp

pytestmark = [needs_sipp, pytest.mark.realtime]

SIP = {"port": 0, "callers": "anyone", "default_agent": AGENT_ID}


async def load(folder: Path, **settings: float) -> tuple[SippResult, list[CallSnapshot]]:
    """sipp's calls against a gateway with an echoing agent: what sipp counted, and the records of the calls."""
    records: list[CallSnapshot] = []

    def watch(news: BusEvent) -> None:
        if isinstance(news, CallChanged) and news.call.reason is not None:
            records.append(news.call)

    async with Gateway(config(sip=SIP)) as gateway:
        assert gateway.phones is not None
        assert gateway.phones.endpoint is not None
        gateway.switchboard.event_bus.subscribe(watch)
        agent = asyncio.create_task(EchoAgent(gateway.url, AGENT_ID, AGENT_TOKEN).serve())
        await gateway.wait_for_agent(AGENT_ID, 10)
        found = await sipp("uac_media", gateway.phones.port, folder=folder, **settings)  # type: ignore[arg-type]  # numbers only
        await until(lambda: not gateway.switchboard.snapshot().calls)
        assert not gateway.phones.active
    await agent
    return found, records


def test_a_hundred_calls_forty_at_a_time_are_all_answered_heard_and_ended(tmp_path: Path) -> None:
    found, records = asyncio.run(load(tmp_path, calls=100, per_second=20, at_once=40, call_ms=2000))
    found.check()
    assert found.successful == 100
    assert found.most_at_once >= 30
    assert {record.reason for record in records} == {EndReason.CALLER_HANGUP}
    assert len({record.metadata["X-Load-Number"] for record in records if record.metadata}) == 100
    for record in records:
        assert record.line["packets_received"] > 60  # of 100: the machine may be busy
        assert record.line["packets_sent"] > 60
        assert record.line["packets_strange"] == 0
    gc.collect()
    assert [leg for leg in gc.get_objects() if isinstance(leg, SipLeg)] == []
