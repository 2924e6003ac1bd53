"""A phone's call as another process needs it to go on with the call: its dialog, and where its sound goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from piopiy_pipeline.gateway.sip.dialog.kept_dialog import KeptDialog
from piopiy_pipeline.gateway.sip.syntax.message import MAX_MESSAGE_BYTES
from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["KeptPhone"]


class KeptPhone(Message):
    """What is kept of one phone's call."""

    dialog: KeptDialog
    theirs: Annotated[str, Field(max_length=MAX_MESSAGE_BYTES)]
    """The phone's latest session description, as it was on the wire."""
    rtp_port: Annotated[int, Field(gt=0, le=65535)]
    """Our port for its sound."""
