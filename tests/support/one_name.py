"""Gateways that one name leads to, at several addresses of loopback."""

from __future__ import annotations

import socket
from typing import Any

import pytest

__all__ = ["NAME", "OneName"]

NAME = "gateways.example"
_system = socket.getaddrinfo


class OneName:
    """Has this process find `NAME` at several addresses, in the order of `hosts`, which a test may change."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
        self.hosts = list(hosts)
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: Any, *more: Any, **named: Any) -> list[Any]:
        hosts = self.hosts if host == NAME else [host]
        return [found for one in hosts for found in _system(one, *more, **named)]
