"""An agent whose model hears and speaks is killed: another one goes on, and the provider's new session knows the call.

Real processes, a real kill -9, and the protocols of OpenAI and of Google's Gemini Live over real sockets.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.testing import GeminiLiveServer, OpenAIRealtimeServer, Replies
from piopiy_pipeline.testing.realtime.realtime_server import RealtimeServer
from tests.support.calls import eventually
from tests.support.chaos import chaos
from tests.support.loopback_certificate import certificate

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 20.0
MODULE = "tests.support.realtime_agent"


def _counted(context: LLMContext) -> str:
    said = [str(one.get("content")) for one in context.get_messages() if isinstance(one, dict)]
    keys = [text for text in said if re.fullmatch(r"\D{0,20}[12]#?", text)]
    return f"You have spoken {len(keys)} times."


@pytest.mark.parametrize("provider", ["openai", "gemini"])
def test_a_killed_agents_call_goes_on_at_another_one_with_its_conversation(
    provider: str, tmp_path: Path
) -> None:
    asyncio.run(_scenario(*_server(provider, tmp_path)))


def _server(provider: str, folder: Path) -> tuple[RealtimeServer[Any], dict[str, str]]:
    """Return a server, and what of the environment an agent needs to trust it."""
    replies = Replies(otherwise=_counted)
    if provider == "openai":
        return OpenAIRealtimeServer(replies), {}
    pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
    chain, key = certificate(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    return GeminiLiveServer(replies, tls=tls), {"SSL_CERT_FILE": str(chain)}


async def _scenario(server: RealtimeServer[Any], environment: dict[str, str]) -> None:
    async with server, chaos(agents=0) as place:
        environment = {**environment, "REALTIME_URL": server.url}
        agents = [await place.add_agent(module=MODULE, environment=environment) for _ in range(2)]
        caller = await place.caller()

        def said() -> list[str]:
            return [turn["text"] for agent in agents for turn in agent.told("bot_turn")]

        await eventually(lambda: "Hello." in said(), GENEROUS_S)
        caller.press("1#")
        await eventually(lambda: "You have spoken 1 times." in said(), GENEROUS_S)
        serving = next(agent for agent in agents if agent.told("answered"))
        other = next(agent for agent in agents if agent is not serving)
        before = len(server.sessions)
        serving.process.kill()
        await eventually(lambda: other.told("answered"), GENEROUS_S)
        assert other.told("answered")[0]["resumed"]
        caller.press("2#")
        await eventually(lambda: "You have spoken 2 times." in said(), GENEROUS_S)
        assert said().count("Hello.") == 1, "the caller is not greeted once more"
        assert len(server.sessions) > before, "the other agent's own"
        assert caller.ended is None
        await caller.hang_up()
        await eventually(lambda: other.told("end"), GENEROUS_S)
        assert not other.told("error")
