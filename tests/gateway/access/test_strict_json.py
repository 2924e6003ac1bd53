"""JSON that not everybody can read is refused where it comes in."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.access.strict_json import read_json


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", '{"a": [-1e999]}', '"\\ud800"', "1" * 5000, "{"]
)
def test_what_cannot_be_passed_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_json(text)


def test_large_numbers_that_a_float_holds_are_read() -> None:
    assert read_json('{"a": [1e308, -1e308, 1e-999]}') == {"a": [1e308, -1e308, 0.0]}
