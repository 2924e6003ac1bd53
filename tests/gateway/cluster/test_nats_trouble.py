"""What NATS' errors are called: whatever its client raises, operators read words."""

from __future__ import annotations

import inspect

import nats.errors
import nats.js.errors
import pytest

from piopiy_pipeline.gateway.cluster.nats_trouble import nats_trouble

MADE = [
    one(
        *(
            None
            for name in inspect.signature(one.__init__).parameters
            if name not in ("self", "args", "kwargs")
        )
    )
    for module in (nats.errors, nats.js.errors)
    for _, one in inspect.getmembers(module, inspect.isclass)
    if issubclass(one, nats.errors.Error) and one is not nats.js.errors.ConsumerSequenceMismatchError
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_no_error_of_the_client_is_told_as_it_is(error: Exception) -> None:
    said = nats_trouble(error)
    assert said
    assert "=" not in said
    assert "None" not in said
    assert not said.startswith("nats:")


def test_the_servers_own_reason_is_told() -> None:
    wrong = {"code": 500, "err_code": 10047, "description": "insufficient storage resources available"}
    with pytest.raises(nats.js.errors.ServerError) as raised:
        nats.js.errors.APIError.from_error(wrong)
    assert "max_file_store" in nats_trouble(raised.value)
    with pytest.raises(nats.js.errors.APIError) as raised_other:
        nats.js.errors.APIError.from_error({"code": 409, "err_code": 1, "description": "stream is in use"})
    assert nats_trouble(raised_other.value) == "JetStream says: stream is in use"
    assert nats_trouble(TimeoutError()) == "the servers do not answer in time"
    assert nats_trouble(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"
