"""`ToolSet`: the tools that an author gives a `VoiceAgent`, with the options by which they run.

The model's context advertises schemas without handlers; the handlers are registered with the model's service,
so that each gets its own timeout and its own behaviour at an interruption.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pipecat.adapters.llm.schemas.direct_function import DirectFunctionWrapper
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.arguments import check_kind, check_seconds, check_switches, shown
from piopiy_pipeline.compat.tool_options import kept_by_decorator, timeout_by_decorator

__all__ = ["ToolSet"]


class ToolSet:
    """Tools by name."""

    def __init__(self) -> None:
        self._schemas: list[FunctionSchema] = []
        self._custom: dict[Any, list[Any]] = {}
        self._handlers: dict[str, Any] = {}
        self._options: dict[str, tuple[float | None, bool | None]] = {}

    def add(self, tools: ToolsSchema | Sequence[Any] | None) -> None:
        """Add tools.

        Args:
            tools: Async functions that describe themselves, schemas, or pipecat's `ToolsSchema` of both.

        Raises:
            TypeError: Something is no tool, or its function or a schema's handler is not ``async def``.
            ValueError: Two tools have one name.
        """
        if tools is None:
            return
        if not isinstance(tools, ToolsSchema | Sequence) or isinstance(tools, str | bytes):
            raise TypeError(f"tools must be a list of tools, or a ToolsSchema, not {shown(tools)}")
        if isinstance(tools, ToolsSchema):
            for schema in tools.standard_tools:
                self._add_schema(schema)
            self._handlers.update({wrapper.name: wrapper for wrapper in tools.direct_functions})
            for adapter, custom in (tools.custom_tools or {}).items():
                self._custom.setdefault(adapter, []).extend(custom)
            return
        for tool in tools:
            if isinstance(tool, FunctionSchema):
                self._add_schema(tool)
                continue
            if not callable(tool):
                raise TypeError(f"a tool must be a function or a FunctionSchema, not {shown(tool)}")
            if not inspect.iscoroutinefunction(tool):
                raise TypeError(f"the tool {getattr(tool, '__name__', shown(tool))!r} must be 'async def'")
            if next(iter(inspect.signature(tool).parameters), "") != "params":
                name = getattr(tool, "__name__", shown(tool))
                raise TypeError(
                    f"the first parameter of the tool {name!r} must be named 'params': with "
                    "await params.result_callback(...) it gives its result"
                )
            wrapper = DirectFunctionWrapper(tool)
            self._add_schema(wrapper.to_function_schema())
            self._handlers[wrapper.name] = wrapper

    async def add_mcp(self, client: Any) -> None:
        """Add the tools of a pipecat MCP client, or what it has given as its tools."""
        tools = getattr(client, "tools", client)
        if callable(tools):
            tools = tools()
        if isinstance(tools, Awaitable):
            tools = await tools
        self.add(tools)

    def add_one(self, tool: FunctionSchema | Callable[..., Any], handler: Callable[..., Any] | None) -> str:
        """Add a function, or a schema with its handler, and return the tool's name.

        Raises:
            TypeError: As `add`, and for a function that comes with a handler.
        """
        if handler is not None and not isinstance(tool, FunctionSchema):
            raise TypeError("a function describes and handles itself: leave the handler out")
        name = tool.name if isinstance(tool, FunctionSchema) else getattr(tool, "__name__", "")
        known = any(schema.name == name for schema in self._schemas)
        if handler is None or not known or name in self._handlers:
            self.add([tool])
        if handler is not None:
            self.set_handler(name, handler)
        return name

    def _add_schema(self, schema: FunctionSchema) -> None:
        if any(known.name == schema.name for known in self._schemas):
            raise ValueError(
                f"two tools are called {schema.name!r}, and the model can use only one: give each a name of its own"
            )
        if schema.handler is not None:
            if not _may_be_awaited(schema.handler):
                raise TypeError(
                    f"the handler of {schema.name!r} must be 'async def', not {shown(schema.handler)}"
                )
            self._handlers[schema.name] = schema.handler
            schema = FunctionSchema(schema.name, schema.description, schema.properties, schema.required)
        self._schemas.append(schema)

    def set_handler(self, name: str, handler: Any) -> None:
        """Give a tool its handler.

        Raises:
            TypeError: It is not ``async def``, or the name is no text.
        """
        check_kind("the name of a tool", name, str, "a text")
        if not _may_be_awaited(handler):
            raise TypeError(f"the handler of {name!r} must be 'async def', not {shown(handler)}")
        self._handlers[name] = handler

    def set_options(self, name: str, timeout: float | None, keep_on_interruption: bool | None) -> None:
        """Say how a tool runs. See `VoiceAgent.add_tool`.

        Raises:
            TypeError: It is no number of seconds, or `keep_on_interruption` is no bool.
            ValueError: The timeout is not more than 0 seconds.
        """
        check_seconds(f"the timeout of {name!r}", timeout, or_none="what the call says")
        if keep_on_interruption is not None:
            check_switches(keep_on_interruption=keep_on_interruption)
        self._options[name] = timeout, keep_on_interruption

    @property
    def handlers(self) -> list[Any]:
        """The handlers of the tools, as they were given."""
        return list(self._handlers.values())

    def schema(self) -> ToolsSchema | None:
        """Return what the context advertises, or None without tools."""
        if not self._schemas and not self._custom:
            return None
        return ToolsSchema(standard_tools=[*self._schemas], custom_tools=self._custom or None)

    def register_all(self, llm: LLMService[Any]) -> None:
        """Register every handler with the service."""
        for name in self._handlers:
            self.register(llm, name)

    def register(self, llm: LLMService[Any], name: str) -> None:
        """Register a tool's handler, if it has one. Without options of its own, it outlives interruptions."""
        handler = self._handlers.get(name)
        if handler is None:
            return
        function = handler.function if isinstance(handler, DirectFunctionWrapper) else handler
        timeout, keep = self._options.get(name, (None, None))
        if keep is None:
            keep = kept_by_decorator(function) is not False
        if timeout is None:
            timeout = timeout_by_decorator(function)
        llm.register_function(name, handler, cancel_on_interruption=not keep, timeout_secs=timeout)


def _may_be_awaited(handler: Any) -> bool:
    """Return whether a call of a handler can be awaited. Of a lambda nobody knows before."""
    written = inspect.unwrap(handler) if callable(handler) else None
    while isinstance(written, functools.partial):
        written = written.func
    if inspect.isfunction(written) or inspect.ismethod(written):
        return inspect.iscoroutinefunction(written) or written.__name__ == "<lambda>"
    return inspect.iscoroutinefunction(getattr(written, "__call__", None))  # noqa: B004  an object's own
