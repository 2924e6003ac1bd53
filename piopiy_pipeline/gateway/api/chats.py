"""The routes of text chats: begun, written to and read over HTTP, by servers with an API key.

A page has the WebSocket ``/chat/{agent_id}`` for it. What travels is the same, in both directions
(`signaling.chat_events`): here a request for each message, and server-sent events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.access.client_tokens import check_metadata
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.kept_chat import MAX_READERS, ChatShelf, KeptChat
from piopiy_pipeline.gateway.api.models import ChatOrder, ChatTaken
from piopiy_pipeline.gateway.api.placed_once import UNAVAILABLE, OrderKey, placed_once
from piopiy_pipeline.gateway.core.gateway_call import CallOptions
from piopiy_pipeline.gateway.port.chat_leg import ANSWER_S, MessageNotTaken
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.signaling.chat_events import SentByPerson

__all__ = ["router"]

PING_S = 15.0
"""A line goes to a silent reader so often, so that whatever stands between knows that the connection lives."""
_EVENTS = """\
Server-sent events, until the chat is over: `id` is the number of the event, `event` its name and `data` all of it, as \
what `/chat/{agent_id}` sends. It begins behind `after` or the header `Last-Event-ID`, else with the first event that \
is kept."""
_UNKNOWN = {404: "There is no such chat here."}

router = APIRouter(prefix="/api/chats", tags=["chats"], dependencies=[Operator])

ChatId = Annotated[str, Path(max_length=128, description="The id of its call.")]


@router.post(
    "",
    status_code=201,
    summary="Begin a chat",
    responses=problems(
        {
            404: "There is no such agent.",
            409: "An order with this key is under way.",
            429: "This key has begun too much in the last minute: `Retry-After` says when.",
            503: UNAVAILABLE,
        }
    ),
)
async def begin_chat(
    deps: Deps, request: Request, response: Response, order: ChatOrder, idempotency_key: OrderKey = None
) -> CallRecord:
    """Begin a text chat with an agent, as a call of the kind `text`. The answer comes while the bot gets ready."""
    check_metadata(order.metadata)
    shelf = _shelf(request)
    return await placed_once(
        deps, request, response, order, idempotency_key, lambda call_id: _begin(deps, shelf, order, call_id)
    )


def _begin(deps: ApiDependencies, shelf: ChatShelf, order: ChatOrder, call_id: str) -> CallRecord:
    board = deps.switchboard
    if board.drain.on:
        raise ApiError(503, board.drain.refusal, SOON)
    if board.call_count >= board.max_calls:
        raise ApiError(503, f"not more than {board.max_calls} calls at a time: try again later", SOON)
    if not (board.instances.any_free(order.agent_id) or board.resources.summoner.has_place(order.agent_id)):
        raise ApiError(503, f"no instance of agent {order.agent_id!r} is connected and free", SOON)
    info = CallInfo(
        agent_id=order.agent_id,
        call_id=call_id,
        from_number=order.from_number,
        to_number=order.to or order.agent_id,
        metadata=order.metadata,
        kind="text",
    )
    chat = shelf.begin(call_id)
    options = CallOptions(max_duration_s=order.max_duration_s)
    board.place(info, chat.leg, asyncio.get_running_loop().time(), options)
    record = deps.recent.find(call_id)
    assert record is not None, "the recent calls get every change of a call"
    return record


@router.post(
    "/{call_id}/messages",
    status_code=202,
    summary="Write to the bot",
    responses=problems(
        _UNKNOWN
        | {
            409: "The chat is over, or the bot has not answered within five seconds.",
            429: "More than five messages a second.",
        }
    ),
)
async def write(
    request: Request, call_id: ChatId, sent: Annotated[SentByPerson, Body(discriminator="event")]
) -> ChatTaken:
    """Send what a page sends over `/chat`: a text is a turn of the person, and cuts off a bot that writes."""
    chat = _chat(request, call_id)
    if not await chat.answered(ANSWER_S):
        raise ApiError(409, "the chat is over, or the bot is not ready yet: its events say which")
    after = chat.last
    try:
        chat.leg.take(sent)
    except MessageNotTaken as refused:
        if refused.too_many:
            raise ApiError(429, str(refused), {"Retry-After": "1"}) from None
        raise ApiError(409, str(refused)) from None
    return ChatTaken(after=after)


@router.get(
    "/{call_id}/events",
    summary="What the bot writes",
    description=_EVENTS,
    response_class=StreamingResponse,
    responses=problems(_UNKNOWN | {429: f"{MAX_READERS} read this chat already."})
    | {200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def read(
    request: Request,
    call_id: ChatId,
    after: Annotated[int, Query(ge=0, description="The number of the last event that is known.")] = 0,
    last_event_id: Annotated[str | None, Header(max_length=32)] = None,
) -> StreamingResponse:
    chat = _chat(request, call_id)
    if chat.readers >= MAX_READERS:
        sentence = f"{MAX_READERS} read this chat already: close one of these connections"
        raise ApiError(429, sentence, {"Retry-After": "1"})
    if last_event_id is not None and last_event_id.isascii() and last_event_id.isdecimal():
        after = int(last_event_id)
    return _EventStream(chat, after)


class _EventStream(StreamingResponse):
    """The events of a chat, for one reader, who is counted from the check of the limit to the end of the response."""

    def __init__(self, chat: KeptChat, after: int) -> None:
        super().__init__(_lines(chat, after), media_type="text/event-stream")
        self._chat = chat
        chat.readers += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._chat.readers -= 1


async def _lines(chat: KeptChat, after: int) -> AsyncIterator[str]:
    async for event in chat.behind(after, quiet_s=PING_S):
        if event is None:
            yield ": still here\n\n"
        else:
            yield f"id: {event.number}\nevent: {event.name}\ndata: {event.text}\n\n"


def _shelf(request: Request) -> ChatShelf:
    return cast(ChatShelf, request.app.state.chats)


def _chat(request: Request, call_id: str) -> KeptChat:
    chat = _shelf(request).find(call_id)
    if chat is None:
        raise ApiError(404, f"there is no chat {call_id!r} here that was begun with POST /api/chats")
    return chat
