"""What the HTTP side asks of the browser leg: an offer, its answer, trickled candidates.

The JSON is the one that Pipecat's client SDKs speak to a small-WebRTC server. The leg behind it
(`gateway/webrtc/`) is known here by the `BrowserCalls` protocol alone, so that either side is tested
without the other, and a gateway without browsers loads none of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from piopiy_pipeline.gateway.access.client_tokens import TokenClaims

__all__ = [
    "BrowserAnswer",
    "BrowserCalls",
    "BrowserCandidates",
    "BrowserOffer",
    "Candidate",
    "OfferRefused",
]

PcId = Annotated[str, Field(min_length=1, max_length=256)]


class _ClientModel(BaseModel):
    """Newer clients of that protocol, which is not ours, may send more: it is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class BrowserOffer(_ClientModel):
    """A session description. With `pc_id` it is one more for that peer connection."""

    sdp: Annotated[str, Field(min_length=1, max_length=60_000)]
    type: Literal["offer"] = "offer"
    pc_id: PcId | None = None
    restart_pc: bool | None = None
    """With `pc_id`: the client began anew with a fresh RTCPeerConnection."""
    request_data: Any | None = Field(
        default=None, validation_alias=AliasChoices("request_data", "requestData")
    )
    """The client's own data. It becomes the call's metadata only where the token has none, if it is an object."""


class BrowserAnswer(BaseModel):
    """The gateway's session description. `call_id` is that of the call, as soon as there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sdp: str
    type: Literal["answer"] = "answer"
    pc_id: str
    call_id: str | None = None


class Candidate(_ClientModel):
    """A trickled ICE candidate: its line of SDP, empty for the end of candidates (RFC 8840)."""

    candidate: Annotated[str, Field(max_length=2048)]
    sdp_mid: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, validation_alias=AliasChoices("sdp_mid", "sdpMid")
    )
    sdp_mline_index: Annotated[int, Field(ge=0, le=255)] | None = Field(
        default=None, validation_alias=AliasChoices("sdp_mline_index", "sdpMLineIndex")
    )


class BrowserCandidates(_ClientModel):
    """The body of a PATCH: candidates for a peer connection."""

    pc_id: PcId
    candidates: Annotated[list[Candidate], Field(max_length=64)]


class OfferRefused(Exception):
    """The leg takes no such call. `status` is of HTTP, `text` a sentence for whoever wrote the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class BrowserCalls(Protocol):
    """The browser leg. Its methods return in bounded time; `close` may be called more than once.

    Tokens and origins have been checked: `caller` is who the token says, and for an offer with
    `pc_id` and for candidates it is known that the same token began that peer connection here.
    """

    async def offer(self, offer: BrowserOffer, caller: TokenClaims) -> BrowserAnswer:
        """Answer an offer. Raises `OfferRefused`."""

    async def candidates(self, pc_id: str, candidates: list[Candidate]) -> None:
        """Add candidates. Raises `OfferRefused`."""

    async def close(self) -> None:
        """End all, processes included."""
