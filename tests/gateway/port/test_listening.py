"""How the port is opened: as many open files as there may be calls."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from loguru import logger

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.port.listening import raise_open_file_limit

UNLIMITED = resource.RLIM_INFINITY


@contextmanager
def warnings() -> Iterator[list[str]]:
    told: list[str] = []
    handler = logger.add(told.append, level="WARNING", format="{message}")
    yield told
    logger.remove(handler)


@pytest.mark.parametrize(
    ("allowed", "then"),
    [
        ((1024, 20_000), (2328, 20_000)),
        ((1024, UNLIMITED), (2328, UNLIMITED)),
        ((4096, 20_000), None),
        ((UNLIMITED, UNLIMITED), None),
    ],
)
def test_as_many_files_as_the_calls_may_need_are_asked_for(
    allowed: tuple[int, int], then: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: allowed)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    with warnings() as told:
        raise_open_file_limit(GatewayConfig(max_calls=600), 1600)
    assert asked == ([] if then is None else [then])
    assert told == []


def test_where_there_is_not_enough_room_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    with warnings() as told:
        raise_open_file_limit(GatewayConfig(max_calls=600), 1600)
    assert asked == [(1024, 1024)]
    assert "600 calls may need 2328 open files" in told[0]
    assert "max_calls" in told[0]
