"""Keys, tokens and passwords do not enter a recording."""

from __future__ import annotations

import pytest

from piopiy_pipeline.capture.secrets import HIDDEN, Scrubber, secrets_of, secrets_of_environment


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-abcdEFGH12345678. You can find it on our page.",
        "headers: {'Authorization': 'Bearer abc.def-ghi_123456'}",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "wss://user:pa55word@example.org/v1",
        "the token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl has expired",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    scrubbed = Scrubber().text(text)
    assert HIDDEN in scrubbed
    for secret in ("abcdEFGH", "abc.def", "dXNlcjp", "pa55word", "c2lnbmF0"):
        assert secret not in scrubbed


def test_what_people_say_is_left_alone() -> None:
    text = "A basic room, please. My key does not work, and I have two tokens: task 12 is on sk line."
    assert Scrubber().text(text) == text


def test_a_value_that_is_known_is_hidden_wherever_it_stands() -> None:
    scrubber = Scrubber(["correct-horse-battery"])
    value = {"content": ["say correct-horse-battery now", 4, None]}
    assert scrubber.value(value) == {"content": [f"say {HIDDEN} now", 4, None]}


def test_what_stands_under_the_name_of_a_secret_is_hidden() -> None:
    value = {
        "api_key": "x",
        "user": {"Authorization": "y", "max_tokens": "z"},
        "password": "p",
        "key_count": "1",
    }
    assert Scrubber().value(value) == {
        "api_key": HIDDEN,
        "user": {"Authorization": HIDDEN, "max_tokens": "z"},
        "password": HIDDEN,
        "key_count": "1",
    }


def test_the_environments_keys_are_known() -> None:
    found = secrets_of_environment(
        {"OPENAI_API_KEY": "0123456789abc", "AGENT_TOKEN": "t0k3n-of-agent", "HOME": "/home/somebody"}
    )
    assert found == {"0123456789abc", "t0k3n-of-agent"}


def test_a_services_own_keys_are_known_and_its_clients() -> None:
    class Client:
        def __init__(self) -> None:
            self.api_key = "the-clients-key"

    class Service:
        def __init__(self) -> None:
            self._api_key = "the-services-key"
            self._voice_id = "a-voice-that-is-none"
            self._client = Client()

    assert secrets_of(Service()) == {"the-services-key", "the-clients-key"}
