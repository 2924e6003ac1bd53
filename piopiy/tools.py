"""`from piopiy.tools import transfer_call, end_call`."""

from piopiy import _modules as _modules
from piopiy_pipeline.tools import (
    Persona,
    ToolParams,
    end_call,
    hand_off_call,
    press_keys,
    tool,
    transfer_call,
)

__all__ = ["Persona", "ToolParams", "end_call", "hand_off_call", "press_keys", "tool", "transfer_call"]
