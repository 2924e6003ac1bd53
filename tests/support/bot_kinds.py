"""Both kinds of bots for the tests of whole calls: a line at the top of a file has all of its tests run with both.

    pytestmark = pytest.mark.usefixtures("either_bot")

A test that is about one of three services says so with `three_services`, and why; one that shows a difference that is
to be mended, with `speech_to_speech_fails`.

What makes the second bot is imported when a test has it, because this is read at the beginning of every run.
"""

from __future__ import annotations

import os

import pytest

__all__ = ["ONE", "THREE", "either_bot", "pytest_generate_tests", "use_bot_of_test"]

THREE, ONE = "three services", "speech to speech"
VARIABLE = "PIOPIY_TESTS_BOT"
"""Which bot a program is that a test starts: in its environment."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests with `either_bot` the bots that have a meaning there."""
    if "either_bot" not in metafunc.fixturenames:
        return
    marks = {mark.name: mark for mark in metafunc.definition.iter_markers()}
    bots: list[object] = [THREE]
    if failing := marks.get("speech_to_speech_fails"):
        strict = failing.kwargs.get("strict", True)  # False: some of its cases do not fail
        bots.append(pytest.param(ONE, marks=pytest.mark.xfail(strict=strict, reason=failing.args[0])))
    elif "three_services" not in marks:
        bots.append(ONE)
    metafunc.parametrize("either_bot", bots, indirect=True)


@pytest.fixture
def either_bot(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with bots of either kind, here and in the programs that it starts. Returns which."""
    bot = str(request.param)
    monkeypatch.setenv(VARIABLE, bot)
    if bot == ONE:
        from piopiy_pipeline.voice_agent import VoiceAgent
        from tests.support.either_bot import speech_to_speech

        monkeypatch.setattr(VoiceAgent, "Action", speech_to_speech(VoiceAgent.Action))
    return bot


def use_bot_of_test() -> None:
    """Be the bot of the test that has started this program."""
    if os.environ.get(VARIABLE) == ONE:
        from piopiy_pipeline.voice_agent import VoiceAgent
        from tests.support.either_bot import speech_to_speech

        VoiceAgent.Action = speech_to_speech(VoiceAgent.Action)  # type: ignore[method-assign]
