"""What the gateway and a leg process of browsers say to each other."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.leg_processes.leg_frames import WireError
from piopiy_pipeline.gateway.webrtc.peer_messages import (
    BrowserSent,
    Negotiate,
    parse_from_program,
    parse_to_program,
)
from piopiy_pipeline.signaling.messages import dump


def test_messages_come_out_as_they_went_in_and_others_are_refused() -> None:
    offer = Negotiate(call_id="call-1", offer_number=1, sdp="v=0", restart=True, new=False)
    assert parse_to_program(dump(offer).encode()) == offer
    heard = BrowserSent(data={"a": [1]})
    assert parse_from_program(dump(heard).encode()) == heard
    for rubbish in (b"", b"{}", b'{"event": "negotiate"}', b'{"event": "say", "text": "a", "more": 1}'):
        with pytest.raises(WireError):
            parse_to_program(rubbish)
        with pytest.raises(WireError):
            parse_from_program(rubbish)
