"""What is used of uvicorn's inside is there; what an upgrade took away is named.

That it also does what it should is tested over real connections in ``tests/gateway/port`` and ``tests/gateway/api``.
"""

from __future__ import annotations

import inspect

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from piopiy_pipeline.compat import CompatError
from piopiy_pipeline.compat import uvicorn as compat


def test_the_installed_version_has_all_that_is_used() -> None:
    compat.check()


@pytest.mark.parametrize("name", ["on_response_complete", "_unset_keepalive_if_required"])
def test_a_method_that_is_gone_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(H11Protocol, name)
    with pytest.raises(CompatError, match=rf"^uvicorn 0\.54\.\d+: H11Protocol has no {name}\."):
        compat.check()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(H11Protocol, "cycle"), (RequestResponseCycle, "response_complete"), (ServerState, "tasks")],
)
def test_an_attribute_that_constructors_no_longer_make_is_named(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(self: object, config: object, server_state: object, app_state: object, _loop: object) -> None:
        """Assign nothing."""

    monkeypatch.setattr(owner, "__init__", make)
    with pytest.raises(CompatError, match=rf"{owner.__name__} has no .*{name}"):
        compat.check()


def test_a_setting_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = inspect.signature(Config)
    kept = [one for one in signature.parameters.values() if one.name != "proxy_headers"]
    monkeypatch.setattr(Config, "__signature__", signature.replace(parameters=kept), raising=False)
    with pytest.raises(CompatError, match="Config has no parameter proxy_headers"):
        compat.check()
