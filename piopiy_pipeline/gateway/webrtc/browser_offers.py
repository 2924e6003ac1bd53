"""The protocol between the API and the browser leg: to answer an offer, and to add trickled candidates.

The JSON is what Pipecat's client SDKs exchange with a small-WebRTC server. The API knows the browser leg only
as the protocol `BrowserCalls`, so that each side is tested without the other, and so that a gateway that
takes
no calls from browsers does not import aiortc. Tested with the routes, in
``tests/gateway/api/test_pipecat_clients.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

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
    """The settings of what clients send. The format is not ours: unknown keys of newer clients are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class BrowserOffer(_ClientModel):
    """A session description. With `pc_id` it renegotiates that peer connection."""

    sdp: Annotated[str, Field(min_length=1, max_length=60_000)]
    type: Literal["offer"] = "offer"
    pc_id: PcId | None = None
    restart_pc: bool | None = None
    """With `pc_id`: the client has made a new RTCPeerConnection for the same call."""
    resume_token: Annotated[str, Field(max_length=256)] | None = None
    """From the answer to an earlier offer, whose call was lost with its gateway: the new call goes on with the
    conversation. If that is not possible, the answer is 410, and no call begins.
    """
    request_data: Any | None = Field(
        default=None, validation_alias=AliasChoices("request_data", "requestData")
    )
    """The client's own data. If it is an object and the token has no metadata, it becomes the call's metadata,
    of at most 4 KiB as JSON.
    """


class BrowserAnswer(BaseModel):
    """The gateway's session description. `call_id` is the id of the call, if it has begun."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sdp: str
    type: Literal["answer"] = "answer"
    pc_id: str
    call_id: str | None = None
    resume_token: str | None = None
    """With this a new offer goes on with the conversation if the gateway is lost. Only with the first answer."""


class Candidate(_ClientModel):
    """A trickled ICE candidate as a line of SDP. An empty line or null is the end of candidates (RFC 8840)."""

    candidate: Annotated[str, Field(max_length=2048)]
    sdp_mid: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, validation_alias=AliasChoices("sdp_mid", "sdpMid")
    )
    sdp_mline_index: Annotated[int, Field(ge=0, le=255)] | None = Field(
        default=None, validation_alias=AliasChoices("sdp_mline_index", "sdpMLineIndex")
    )

    @field_validator("candidate", mode="before")
    @classmethod
    def _read_null(cls, candidate: Any) -> Any:
        return "" if candidate is None else candidate


class BrowserCandidates(_ClientModel):
    """The body of a PATCH: candidates for a peer connection."""

    pc_id: PcId
    candidates: Annotated[list[Candidate], Field(max_length=64)]

    @field_validator("candidates", mode="before")
    @classmethod
    def _read_nulls(cls, candidates: Any) -> Any:
        """Read a null in the list as the end of candidates, because a browser's last event has a null."""
        if not isinstance(candidates, list):
            return candidates
        return [{"candidate": ""} if one is None else one for one in candidates]


class OfferRefused(Exception):
    """The browser leg refuses an offer or candidates.

    Args:
        status: The HTTP status to answer with.
        text: A sentence for the author of the client.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class BrowserCalls(Protocol):
    """The browser leg. Its methods return in bounded time. `close` may be called more than once.

    The API has checked tokens and origins. For an offer with `pc_id` and for candidates it has also checked that
    the same token began that peer connection at this gateway.
    """

    async def offer(
        self,
        offer: BrowserOffer,
        caller: TokenClaims,
        checkpoint: dict[str, Any] | None = None,
        on_unused: Callable[[], None] = lambda: None,
    ) -> BrowserAnswer:
        """Answer an offer. `caller` is what the client token says, `checkpoint` the state of an earlier call.
        `on_unused` is called, maybe more than once, when the call is over and was never answered: the browser did not
        connect, or nobody took the call.

        Raises:
            OfferRefused: The offer cannot be used, or there is no room for another call.
        """

    async def candidates(self, pc_id: str, candidates: list[Candidate]) -> None:
        """Add trickled candidates to a peer connection.

        Raises:
            OfferRefused: A candidate cannot be used, or the peer connection is gone.
        """

    async def close(self) -> None:
        """End all calls, and the leg processes."""
