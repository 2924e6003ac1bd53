"""What leads a call's conversation: a flow of nodes. `Call` is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from piopiy_pipeline.session.flow.flow_plan import FlowPlan, FlowSource, author_of
from piopiy_pipeline.session.flow.flow_setup import FlowSetup

if TYPE_CHECKING:
    from piopiy_pipeline.session.flow.flow_graph import FlowGraph
    from piopiy_pipeline.session.pipeline_run import PipelineRun

__all__ = ["LedCall"]


class LedCall:
    """The part of one call that says what leads the conversation."""

    _run: PipelineRun | None
    _flow: FlowSetup | None = None

    def flow(
        self,
        flow: FlowSource,
        *,
        handlers: Any = None,
        state: Mapping[str, Any] | None = None,
        greeting: str | None = None,
    ) -> None:
        """Have a flow of pipecat's lead the conversation. Say it before `run`.

        The first node is entered when the call is answered. The tools of the context stay in every node.

        Args:
            flow: A file (YAML or JSON), pipecat's `FlowConfig` or `Flow`, a `NodeConfig`, or a list of these, of which
                the first is the first node. After the loss of an agent the next one finds nodes by their names in it.
            handlers: Where the functions are that the file names: a mapping, a module, or a list of these. None: where
                this is called, among its local names and those of its module.
            state: The flow's state at its beginning, for ``{{ key }}`` in the texts of nodes.
            greeting: What is said in the first node before anything else.

        Raises:
            FlowFileError: (a `ValueError`) The flow has a mistake; the sentence has the file and the line.
            TypeError: It is no flow.
            RuntimeError: The call runs already.

        Example:
            ```python
            call.flow("booking.yaml", greeting="Olive and Thyme, good day.")
            ```
        """
        if self._run is not None:
            raise RuntimeError("flow() comes before run(): the call runs already")
        names, folder = author_of()
        plan = FlowPlan.of(flow, names if handlers is None else handlers, folder)
        self._flow = FlowSetup(plan, dict(state or {}), greeting)

    @property
    def node(self) -> str:
        """The name of the flow's node in which the call is. Empty without a flow, and before the first node."""
        led = None if self._run is None else self._run.flow
        return "" if led is None else led.node

    @property
    def flow_graph(self) -> FlowGraph | None:
        """The nodes and edges of the flow. None without one, and of a flow that functions make node by node."""
        return None if self._flow is None else self._flow.plan.graph
