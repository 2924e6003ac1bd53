"""What an operator sets: a TOML file, the environment (``PIOPIY_GATEWAY_*``), or arguments.

The environment wins over the file, arguments win over both. A key that is none is an error that
names the file and the key, because a setting that is silently ignored is an outage in waiting.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from piopiy_pipeline.gateway.errors import GatewayError

__all__ = ["ENV_PREFIX", "GatewayConfig"]

ENV_PREFIX = "PIOPIY_GATEWAY_"

Secret = Annotated[str, StringConstraints(min_length=1, pattern=r"^[\x21-\x7e]+$")]
AgentId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class GatewayConfig(BaseSettings):
    """The gateway's settings. In the environment, `agents` and `caller_keys` are JSON.

    `load` reads a file and raises `GatewayError`; the constructor is for code, and raises pydantic's
    `ValidationError`.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    """The interface to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    """The port of everything; 0 takes any that is free."""
    agents: dict[AgentId, Secret] = Field(default_factory=dict, repr=False)
    """The agents that may register, and the token of each."""
    caller_keys: list[Secret] = Field(default_factory=list, repr=False)
    """The bearer keys of callers over a WebSocket."""
    offer_ms: Annotated[int, Field(ge=50, le=30_000)] = 400
    """How long an instance may take to accept a call."""
    setup_s: Seconds = 10.0
    """How long it may take from then until it can hear and speak."""
    max_duration_s: Seconds = 3600.0
    """The longest a call may last from its answer."""
    heartbeat_s: Seconds = 10.0
    """How often agents are asked for a sign of life; lost after three of these."""
    max_calls: Annotated[int, Field(gt=0)] = 200
    """More calls than this at once are refused as busy."""

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The settings of the TOML file at `path`, if one is given, under those of the environment.

        Raises `GatewayError` with the file or variable, the key, and what was expected there.
        """
        values = {} if path is None else _read(path)
        _refuse_unknown_variables(cls)
        try:
            environment = _Environment().model_dump(exclude_unset=True)
        except SettingsError as error:
            raise GatewayError(f"{ENV_PREFIX}*: {error}: lists and tables are given as JSON") from None
        except ValidationError as error:
            raise GatewayError(_explain(error, path, from_file=())) from None
        try:
            return cls.model_validate({**values, **environment})
        except ValidationError as error:
            raise GatewayError(_explain(error, path, from_file=values.keys() - environment.keys())) from None


class _Environment(GatewayConfig):
    """The environment alone, to know which of the settings came from there."""


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GatewayError(f"{path}: cannot read the gateway's configuration: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GatewayError(f"{path}: not valid TOML: {error}") from None


def _refuse_unknown_variables(model: type[GatewayConfig]) -> None:
    known = {f"{ENV_PREFIX}{name}".upper() for name in model.model_fields}
    unknown = [
        name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known
    ]
    if unknown:
        raise GatewayError(
            f"{', '.join(sorted(unknown))}: no setting of the gateway. There are {', '.join(sorted(known))}"
        )


def _explain(error: ValidationError, path: Path | None, *, from_file: Any) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"]) or "settings"
        name = str(problem["loc"][0]) if problem["loc"] else ""
        where = f"{path}: {key}" if name in from_file else f"{ENV_PREFIX}{name.upper()}: {key}"
        if problem["type"] == "extra_forbidden":
            known = ", ".join(GatewayConfig.model_fields)
            lines.append(f"{where}: no setting of the gateway. There are {known}")
        else:
            lines.append(f"{where}: {problem['msg']}")
    return "\n".join(lines)
