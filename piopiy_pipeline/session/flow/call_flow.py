"""`CallFlow`: a flow that leads one call. pipecat's `FlowManager` does the work.

What a call adds: the functions of a node run under the guard of tools, each node that is entered is an event, the node
and the flow's state are in each checkpoint, and another instance goes on in the node in which this one was lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from loguru import logger
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.flows import NO_RESPONSE, NodeConfig
from pipecat.flows.types import get_or_generate_node_name
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.call import EndReason, FlowStep
from piopiy_pipeline.compat.flow_nodes import NodeByNode
from piopiy_pipeline.compat.tool_permits import mark_idempotent
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.json_values import fault_in
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.flow.flow_file import FlowFileError
from piopiy_pipeline.session.flow.flow_functions import (
    failing_safely,
    missing_keys,
    next_of,
    wrapped_function,
)
from piopiy_pipeline.session.flow.flow_plan import FlowPlan
from piopiy_pipeline.session.flow.flow_worker import FlowWorker, SpokenFlow
from piopiy_pipeline.session.model.system_message import set_system_message

__all__ = ["CallFlow", "FlowMouth"]

PART = "flow"
"""Under this name it is in a checkpoint."""


@dataclass(frozen=True, slots=True)
class FlowMouth:
    """How a flow has the call speak and end.

    Attributes:
        say_behind: Says a text behind what the model was asked for; whether the conversation has it. Returns when it
            is on its way.
        say: Says a text now. Returns whether it was heard.
        say_the_rest: Says what is left of a sentence that the instance before was saying, once. Returns whether it was
            heard.
        respond: Has the model speak.
        hang_up: Ends the call when the caller has heard what is on its way.
        speech: How a model that speaks itself follows; None: the chain has a model of text.
    """

    say_behind: Callable[[str, bool], Awaitable[object]]
    say: Callable[[str], Awaitable[bool]]
    say_the_rest: Callable[[], Awaitable[bool]]
    respond: Callable[[], Awaitable[None]]
    hang_up: Callable[[], None]
    speech: SpokenFlow | None = None


@dataclass(slots=True)
class _LeadingCall:
    """The call of a function that leads to the node which is entered next.

    Attributes:
        key: The function and its arguments.
        result: What it has returned.
        node: Where it leads.
        begun: Whether the flow is on its way there.
    """

    key: str
    result: Any
    node: NodeConfig
    begun: bool = False


class _ContextSides:
    """The two sides of the context, as a `FlowManager` asks for them."""

    def __init__(self, user: FrameProcessor, assistant: FrameProcessor) -> None:
        self._user, self._assistant = user, assistant

    def user(self) -> FrameProcessor:
        return self._user

    def assistant(self) -> FrameProcessor:
        return self._assistant


class CallFlow:
    """Leads one call through the nodes of a flow.

    Args:
        plan: The flow.
        state: The call.
        context: The conversation. The tools that it has stay in every node.
        worker: The pipeline's worker.
        llm: The model that sums up where a node asks for a summary.
        sides: The user's and the assistant's side of the context.
        mouth: How it speaks.
        first_state: The flow's state at its beginning.
        greeting: What is said in the first node before anything else.
    """

    def __init__(
        self,
        plan: FlowPlan,
        state: CallState,
        *,
        context: LLMContext,
        worker: PipelineWorker,
        llm: Any,
        sides: tuple[FrameProcessor, FrameProcessor],
        mouth: FlowMouth,
        first_state: Mapping[str, Any],
        greeting: str | None = None,
    ) -> None:
        self.plan = plan
        self.node = ""
        """The node that the call is in; empty before the first one."""
        self._state = state
        self._context = context
        self._mouth = mouth
        self._greeting = greeting
        self._base_tools = context.tools if isinstance(context.tools, ToolsSchema) else None
        self._coming = ""  # the node that is about to be entered
        self._restoring = False
        self._has_role = False  # whether a node has changed what the bot is told to be
        self._walked = ""  # the function that leads there
        self._leading: _LeadingCall | None = None
        self._running: dict[str, asyncio.Future[None]] = {}  # calls of functions, until they have returned
        self._waiting: tuple[str, NodeConfig, str] | None = None  # what is entered when the call comes back
        self.is_away: Callable[[], bool] = lambda: False
        """Whether another persona has the call: the flow waits meanwhile."""
        self._repeatable: set[str] = set()
        self._unsaved: set[str] = set()
        flow_worker = FlowWorker(
            worker,
            context,
            say=mouth.say_behind,
            hang_up=mouth.hang_up,
            set_role=self._set_role,
            tools_changed=self._all_tools,
            entered=self._entered,
            note=lambda: state.language_note,
            speech=None if mouth.speech is None else replace(mouth.speech, follow=self._follow),
        )
        self._manager = NodeByNode(
            llm=llm,
            context_aggregator=_ContextSides(*sides),
            worker=cast(PipelineWorker, flow_worker),
            global_functions=[self._function(function) for function in plan.functions],
        )
        self._manager.prepare = self._prepared
        self._manager.may_enter = self._may_enter
        kept = state.checkpoints.kept_part(PART) if state.checkpoints.conversation else None
        self._kept: dict[str, Any] | None = kept if isinstance(kept, dict) else None
        left = None if self._kept is None else self._kept.get("state")
        self._manager.state.update(
            first_state if self._kept is None else left if isinstance(left, dict) else {}
        )
        state.checkpoints.parts[PART] = self._part
        for each in plan.nodes.values() or [plan.initial]:
            self._check_names(each)
        if self._kept is None:
            self._check_keys(plan.initial)

    # ------------------------------------------------------------------ from the answer on

    async def restore(self) -> None:
        """Go on in the node in which another instance was lost, before the call is answered. Nothing is said yet."""
        kept = self._kept
        if kept is None:
            return
        conversation = self._state.checkpoints.conversation or [{}]
        if kept.get("role") and isinstance(text := conversation[0].get("content"), str):
            self._set_role(text)
        node = self.plan.nodes.get(str(kept.get("node")))
        if node is None:
            self._state.add_error(
                "flow", f"there is no node {kept.get('node')!r} any more: the flow begins anew"
            )
            self._kept = None
            return
        if not kept.get("entered"):
            return
        quiet: NodeConfig = {**node, "task_messages": [], "pre_actions": [], "respond_immediately": False}
        quiet.pop("context_strategy", None)
        quiet.pop("role_message", None)
        if node.get("respond_immediately", True):
            quiet.pop("post_actions", None)  # they were done when the model was asked
        self._restoring = True
        await self._manager.initialize(quiet)
        self._restoring = False

    async def begin(self) -> None:
        """Enter the first node, or go on, because the call is answered."""
        kept, state = self._kept, self._state
        try:
            if kept is None:
                await self._greet_and_enter(self.plan.initial)
                return
            if not kept.get("entered"):
                await self._manager.initialize(self.plan.nodes[str(kept["node"])])
                if self._waiting is None:
                    return
            if state.checkpoints.journal.repeated:
                return
            left, greeting = state.checkpoints.left_to_say, _in_one_line(self._greeting or "")
            greeted = bool(greeting) and (greeting.endswith(left) if left else self._last_text() == greeting)
            if greeted:  # and the first node has not spoken yet
                await self._greeted(self.plan.nodes[str(kept["node"])], self._mouth.say_the_rest())
            elif self._last_role() in _TO_ANSWER or (left and state.checkpoints.owes_answer):
                await self._mouth.respond()
        except Exception as error:  # noqa: BLE001  pipecat's and the author's: it is a failure of the call
            logger.opt(exception=error).error("the flow failed: {}", error_text(error))
            self._state.add_error("flow", error_text(error))
            if not self.node:
                state.finish(EndReason.ERROR, f"the flow did not begin: {error_text(error)}")

    async def _greet_and_enter(self, node: NodeConfig) -> None:
        if not self._greeting:
            await self._manager.initialize(node)
            return
        await self._manager.initialize({**node, "respond_immediately": False})
        await self._greeted(node, self._mouth.say(self._greeting))

    async def _greeted(self, node: NodeConfig, heard: Awaitable[bool]) -> None:
        """Have the model speak in the first node when the greeting was heard."""
        if await heard and node.get("respond_immediately", True) and self._last_role() != "user":
            await self._mouth.respond()

    def _last_role(self) -> str:
        messages: list[Any] = self._context.get_messages()
        return str(messages[-1].get("role")) if messages else ""

    def _last_text(self) -> str:
        messages: list[Any] = self._context.get_messages()
        return _in_one_line(str(messages[-1].get("content") or "")) if messages else ""

    # ------------------------------------------------------------------ nodes

    def _prepared(self, node: NodeConfig) -> NodeConfig:
        """Return a node as the manager gets it, and note that it is the next one."""
        self._coming = get_or_generate_node_name(node)
        prepared: dict[str, Any] = {**node, "name": self._coming}
        self._check_names(node)
        prepared["functions"] = [self._function(function) for function in node.get("functions") or ()]
        for kind in ("pre_actions", "post_actions"):
            if actions := prepared.get(kind):
                if (unknown := self._manager.unknown_action(actions)) is not None:
                    raise FlowFileError(
                        f"the action {unknown!r} has no handler, and none was registered for it"
                    )
                prepared[kind] = [failing_safely(action, self._action_failed) for action in actions]
        return cast(NodeConfig, prepared)

    async def _may_enter(self, name: str, node: NodeConfig) -> bool:
        """Whether a node may be entered now. While a persona has the call, it waits, and the persona answers."""
        if not self.is_away():
            if self._leading is not None:
                self._leading.begun = True
            if self._mouth.speech is not None:
                await self._mouth.speech.caller_words()
            return True
        function, self._walked, self._leading = self._walked, "", None
        self._waiting = (name, node, function)
        self._state.checkpoints.part_changed()
        if function:
            await self._mouth.respond()  # the manager leaves the answer to a function's result to the node
        return False

    async def came_back(self) -> None:
        """Enter the node that has waited, because the call was handed back. The model is asked by who does that."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        name, node, self._walked = waiting
        self._coming = name
        try:
            await self._manager.enter(name, {**node, "respond_immediately": False})
        except Exception as error:  # noqa: BLE001  pipecat's and the author's: the call goes on in the node before
            logger.opt(exception=error).error("the flow failed: {}", error_text(error))
            self._state.add_error("flow", error_text(error))

    def _function(self, function: Any) -> Any:
        schema, repeatable = wrapped_function(function, self._run)
        if repeatable or schema.name in self.plan.repeatable:
            self._repeatable.add(schema.name)
        else:
            self._repeatable.discard(schema.name)
        return schema

    async def _run(
        self,
        name: str,
        arguments: Mapping[str, Any],
        function: Callable[..., Any],
        call: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Run a function of the author's, and see where it leads. A call like the one that leads to the next node is
        that call once more, of a model that does not know of its result yet: it is given the same one.
        """
        key = json.dumps([name, dict(arguments)], sort_keys=True, default=repr)
        while (running := self._running.get(key)) is not None:
            await asyncio.wait((running,))
        leading = self._leading
        if leading is not None and leading.key == key and not (leading.begun and not self._manager.entering):
            return leading.result, NO_RESPONSE if leading.begun else leading.node
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            result, node = next_of(name, await call())
            if isinstance(node, Mapping):
                config = cast(NodeConfig, node)
                self._check_keys(config)
                node = self._prepared(config)
                self._walked = name
                self._leading = _LeadingCall(key, result, node)
        except Exception as error:
            self._state.add_error(name, error_text(error, function))
            raise  # the manager tells the model
        finally:
            del self._running[key]
            running.set_result(None)
        return result, node

    def _check_names(self, node: NodeConfig) -> None:
        """Raise `FlowFileError` if a function has the name of a tool that the call has in every node."""
        tools = {tool.name for tool in self._base_tools.standard_tools} if self._base_tools else set()
        for function in (*self.plan.functions, *(node.get("functions") or ())):
            name = getattr(function, "name", None) or getattr(function, "__name__", "")
            if name in tools:
                raise FlowFileError(
                    f"the flow's function {name!r} has the name of a tool of the bot: give one of them another name"
                )

    def _check_keys(self, node: NodeConfig) -> None:
        """Raise `ValueError` if a text of the node names what is not in the flow's state."""
        if missing := missing_keys(node, self._manager.state):
            name = node.get("name", "")
            raise ValueError(
                f"the node {name!r} uses {{{{ {missing[0]} }}}}, which is not in the flow's state"
            )

    def _all_tools(self, tools: ToolsSchema | None) -> ToolsSchema | None:
        """Return the tools of a node with those that the call has in every node."""
        base = self._base_tools
        own = [] if tools is None else list(tools.standard_tools)
        for schema in own:
            handler: Any = getattr(schema, "handler", None)
            if handler is not None and schema.name in self._repeatable:
                mark_idempotent(handler)
        names = {schema.name for schema in own}
        standard = [
            *own,
            *(schema for schema in (base.standard_tools if base else ()) if schema.name not in names),
        ]
        custom = base.custom_tools if base else None
        if not standard and not custom:
            return None
        return ToolsSchema(standard_tools=cast(Any, standard), custom_tools=custom)

    def _entered(self) -> None:
        """Note that the conversation and the tools are those of the node that is being entered."""
        before, self.node = self.node, self._manager.enters
        function = ""
        if self._coming == self.node:  # else another one is on its way already
            self._coming = ""
            function, self._walked = self._walked, ""
            if self._mouth.speech is None:
                self._leading = None
        if self._restoring:
            return
        step = FlowStep(self.node, before, function)
        logger.debug("the flow is in the node {}", self.node)
        self._state.add_flow_step(step)
        self._state.checkpoints.part_changed()

    async def _follow(self, before: Sequence[Any]) -> None:
        """Bring the model's session in line with the node. Until it is, the one before may use functions once more."""
        assert self._mouth.speech is not None
        try:
            await self._mouth.speech.follow(before)
        finally:
            if self._leading is not None and self._leading.node.get("name") == self.node:
                self._leading = None

    def _set_role(self, text: str) -> None:
        """Tell the bot what it is from now on."""
        set_system_message(self._context, text)
        self._has_role = True

    # ------------------------------------------------------------------ what is kept

    def _part(self) -> dict[str, Any] | None:
        """Return what another instance needs. Of the state, what is JSON."""
        if not self.node and not self._coming:
            return self._kept
        state = {}
        for key, value in self._manager.state.items():
            if fault := fault_in({key: value}, "the flow's state"):
                if key not in self._unsaved:
                    self._unsaved.add(str(key))
                    self._state.add_error("flow", f"not saved: {fault}")
            else:
                state[key] = value
        kept: dict[str, Any] = {
            "node": self._coming or self.node,
            "entered": not self._coming,
            "state": state,
        }
        if self._has_role:
            kept["role"] = True
        return kept

    # ------------------------------------------------------------------ what goes wrong

    def _action_failed(self, name: str, handler: Callable[..., Any], error: BaseException) -> None:
        text = error_text(error, handler)
        logger.opt(exception=error).error("the action {} failed: {}", name, text)
        self._state.add_error(name, text)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


_TO_ANSWER = ("user", "tool", "developer", "system")
"""Who has the last word when the model is to speak. A node's task may be a message of the system's."""
