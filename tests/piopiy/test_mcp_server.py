"""A real MCP server, a process of its own, whose client an author has not started. Skipped without pipecat-ai[mcp]."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.session.call import Call
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

SERVER = '''
try:
    from mcp.server import MCPServer
except ImportError:  # before 2.0
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("flowers")


@server.tool()
def look_up(flower: str) -> str:
    """Look up how many there are."""
    return f"{flower}: seven"


server.run()
'''


@pytest.mark.realtime
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("way", ["register_tools", "the client", "pipecat's client"])
def test_its_tools_are_used_and_it_ends_with_the_call(way: str, tmp_path: Path) -> None:
    """Against the wall clock, because virtual time does not wait for another process to answer."""
    mcp: Any = pytest.importorskip("mcp")
    from pipecat.services import mcp_service as pipecats

    from piopiy.services.mcp_service import MCPClient

    script = tmp_path / "server.py"
    script.write_text(SERVER)
    clients: list[Any] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day!", call=call)
        model = ScriptedLLM([("look_up", {"flower": "rose"}), "Seven roses."])
        kind: Any = pipecats.MCPClient if way == "pipecat's client" else MCPClient
        client = kind(mcp.StdioServerParameters(command=sys.executable, args=[str(script)]))
        clients.append(client)
        tools = await client.register_tools(model) if way == "register_tools" else client
        await agent.Action(stt=ScriptedSTT(["roses"]), llm=model, tts=ToneTTS(), mcp_tools=tools)
        await agent.start()

    call = simulate(bot, Caller().say("Have you roses?").until("seven roses").hangup(), clock="real")
    assert [use.result for use in call.tools if use.result is not None] == ["rose: seven"]
    assert clients[0]._active_session is None, "closed with the call"
