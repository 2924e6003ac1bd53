"""One call from offer to end: its handle (`Call`), its owner (`Session`), and what they are made of."""

from piopiy_pipeline.session.call import DEFAULT_ERROR_LINE, Call, Post, current_call
from piopiy_pipeline.session.control_requests import TransferOutcome
from piopiy_pipeline.session.events import ClientMessage
from piopiy_pipeline.session.session import Adapt, Callback, Session

__all__ = [
    "DEFAULT_ERROR_LINE",
    "Adapt",
    "Call",
    "Callback",
    "ClientMessage",
    "Post",
    "Session",
    "TransferOutcome",
    "current_call",
]
