"""`piopiy_pipeline.recording` is the old name of `piopiy_pipeline.capture`, for one release."""

from __future__ import annotations

from importlib import import_module

import pytest

from piopiy_pipeline import capture


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CallRecorder", "CallCapture"),
        ("Recording", "CapturedCall"),
        ("RecordingError", "CaptureError"),
        ("Redaction", "Redaction"),
    ],
)
def test_an_old_name_still_works_and_tells_the_new_one(old: str, new: str) -> None:
    module = import_module("piopiy_pipeline.recording")
    with pytest.warns(DeprecationWarning, match=rf"piopiy_pipeline\.capture\.{new}\b"):
        assert getattr(module, old) is getattr(capture, new)


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Tape'"):
        import_module("piopiy_pipeline.recording").Tape  # noqa: B018
