"""Says by its exit status whether the container that it runs in is well: a gateway, or an agent with metrics.

A gateway is well when it answers ``/healthz``. An agent (one with ``PIOPIY_METRICS_PORT``) is well when it is connected
to a gateway, or ends. It needs Python alone, and is started every few seconds, so it imports little.
"""

import os
import re
import sys
import urllib.request

LIMIT_S = 4.0


def page(url: str) -> str:
    """Return what is at a URL of this machine. Raises `OSError`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=LIMIT_S) as response:
        text: bytes = response.read()
    return text.decode()


def gauge(text: str, name: str) -> float:
    """Return the value of a gauge without labels, 0.0 if it is not there."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def problem() -> str:
    """Return what is wrong, or an empty text."""
    metrics = os.environ.get("PIOPIY_METRICS_PORT", "")
    port = os.environ.get("PIOPIY_GATEWAY_PORT", "7860")
    try:
        if not metrics:
            page(os.environ.get("PIOPIY_HEALTH_URL") or f"http://127.0.0.1:{port}/healthz")
            return ""
        text = page(f"http://127.0.0.1:{metrics.rpartition(':')[2]}/metrics")
    except OSError as error:
        return str(error)
    if gauge(text, "piopiy_agent_connected") or gauge(text, "piopiy_agent_draining"):
        return ""
    return "not connected to a gateway"


if __name__ == "__main__":
    why = problem()
    print(why or "well")
    sys.exit(1 if why else 0)
