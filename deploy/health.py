"""Says by its exit status whether the container that it runs in is well: a gateway, or an agent with metrics.

A gateway is well when it answers ``/healthz``, with TLS or without. An agent (one with ``PIOPIY_METRICS_PORT``) is well
when it is connected to a gateway, or ends. It needs Python alone, and is started every few seconds: it imports little.
"""

import os
import re
import sys
import tomllib
import urllib.request
from http.client import HTTPException
from pathlib import Path

LIMIT_S = 4.0
SETTINGS = "/etc/piopiy/gateway.toml"
"""Where a gateway has its settings, unless all of them are variables."""
OWN = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where something that listens everywhere is reached from this machine."""


def page(url: str) -> str:
    """Return what is at a URL of this machine, whoever its certificate is for. Raises `OSError`."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        import ssl

        handlers.append(urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=LIMIT_S) as response:
            text: bytes = response.read()
    except HTTPException as error:
        raise OSError(f"{url}: {error!r}") from None
    return text.decode()


def gauge(text: str, name: str) -> float:
    """Return the value of a gauge without labels, 0.0 if it is not there."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def gateway_setting(name: str, default: str) -> str:
    """Return what the gateway was told: by a variable, or in its file."""
    told = os.environ.get(f"PIOPIY_GATEWAY_{name.upper()}")
    if told is None:
        try:
            told = tomllib.loads(Path(SETTINGS).read_text()).get(name)
        except (OSError, tomllib.TOMLDecodeError):
            told = None
    return default if told is None else str(told)


def address(host: str, port: str) -> str:
    """Return host and port at which something that listens at `host` is reached from here."""
    host = OWN.get(host.strip("[]"), host.strip("[]"))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def gateway_url() -> str:
    """Return where the gateway says how it is."""
    scheme = "https" if gateway_setting("tls_certificate", "") else "http"
    where = address(gateway_setting("host", ""), gateway_setting("port", "7860"))
    return os.environ.get("PIOPIY_HEALTH_URL") or f"{scheme}://{where}/healthz"


def problem() -> str:
    """Return what is wrong, or an empty text."""
    metrics = os.environ.get("PIOPIY_METRICS_PORT", "")
    try:
        if not metrics:
            page(gateway_url())
            return ""
        host, _, port = metrics.rpartition(":")
        text = page(f"http://{address(host, port)}/metrics")
    except OSError as error:
        return str(error)
    if gauge(text, "piopiy_agent_connected") or gauge(text, "piopiy_agent_draining"):
        return ""
    return "not connected to a gateway"


if __name__ == "__main__":
    why = problem()
    print(why or "well")
    sys.exit(1 if why else 0)
