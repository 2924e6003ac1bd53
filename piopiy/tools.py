"""`from piopiy.tools import transfer_call, end_call`."""

from piopiy import _modules as _modules
from piopiy_pipeline.tools import ToolParams, end_call, press_keys, tool, transfer_call

__all__ = ["ToolParams", "end_call", "press_keys", "tool", "transfer_call"]
