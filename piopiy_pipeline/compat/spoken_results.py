"""What tools return to a speech-to-speech model that answers each result by itself: Ultravox's and Nova Sonic's.

pipecat's services send every final result as one that is answered, also where the tool has said that it is not
(`run_llm=False`): a function of a flow, for example, whose next node speaks.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import FunctionCallResultFrame

__all__ = ["lead_unasked_results"]


def lead_unasked_results(service: Any, take: Callable[[str, str], Awaitable[None]]) -> None:
    """Have a function called with results that nobody is to answer, in the place of sending them.

    Args:
        service: The service, before it runs.
        take: Takes the call of the tool, and what it has returned.
    """
    handle = service._handle_function_call_result

    async def handled(frame: FunctionCallResultFrame) -> None:
        properties = frame.properties
        wanted = properties.run_llm if properties is not None else None
        if wanted is None:
            wanted = frame.run_llm
        is_final = properties is None or properties.is_final
        if wanted is not False or not is_final:
            await handle(frame)
        elif frame.tool_call_id not in service._completed_tool_calls:
            service._completed_tool_calls.add(frame.tool_call_id)
            result = json.dumps(frame.result, ensure_ascii=False) if frame.result else "COMPLETED"
            await take(frame.tool_call_id, result)

    service._handle_function_call_result = handled
