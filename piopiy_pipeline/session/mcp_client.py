"""MCP clients of an author: one that is not started yet is started for the call, and closed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piopiy_pipeline.compat.mcp import is_started
from piopiy_pipeline.session.call import Call, current_call
from piopiy_pipeline.tool_set import ToolSet

if TYPE_CHECKING:
    from pipecat.services.mcp_service import MCPClient as _MCPClient

__all__ = ["close_with_call", "published_client", "use_mcp_tools"]


async def use_mcp_tools(call: Call, tools: ToolSet, client: Any) -> None:
    """Add the tools of a client, or what it has given as its tools.

    Args:
        call: The call.
        tools: Where they are added.
        client: A pipecat MCP client, its tools, or None.
    """
    if not is_started(client):
        close_with_call(call, client)
    await tools.add_mcp(client)


def close_with_call(call: Call, client: Any) -> None:
    """Close a client when the call has ended."""

    async def close(_: object) -> None:
        await client.close()

    call.on("end", close)


def published_client(base: type[_MCPClient]) -> type[_MCPClient]:
    """Return pipecat's `MCPClient` as Piopiy's SDK had it: `register_tools` needs no `start` before.

    Args:
        base: Pipecat's class.
    """

    class MCPClient(base):  # type: ignore[valid-type,misc]
        """Pipecat's client, which a call that uses it starts and closes."""

        async def register_tools(self, llm: Any) -> Any:
            """Start the client if nobody has, register its tools with the model's service, and return them."""
            if not is_started(self) and (call := current_call.get()) is not None:
                close_with_call(call, self)
            schema = await self.tools()
            for tool in schema.standard_tools:
                llm.register_function(tool.name, tool.handler)
            return schema

        async def get_tools_schema(self) -> Any:
            """Start the client if nobody has, and return its tools."""
            if not is_started(self) and (call := current_call.get()) is not None:
                close_with_call(call, self)
            return await self.tools()

    MCPClient.__module__, MCPClient.__qualname__ = __name__, "MCPClient"
    return MCPClient


def __getattr__(name: str) -> Any:
    """Make `MCPClient` when it is asked for: pipecat's needs a package that only its users have."""
    if name != "MCPClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipecat.services.mcp_service import MCPClient

    globals()[name] = made = published_client(MCPClient)
    return made
