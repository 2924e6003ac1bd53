"""What a person types on the line of a terminal, key by key: no terminal."""

from __future__ import annotations

from random import Random

import pytest

from piopiy_pipeline.cli.chatting.typed_line import HISTORY, TypedLine

UP, DOWN, LEFT, RIGHT = b"\x1b[A", b"\x1bOB", b"\x1b[D", b"\x1b[C"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"hello\r", "hello"),
        ("grüße\n".encode(), "grüße"),
        (b"helo\x1b[Dl\r", "hello"),
        (b"hellooo\x7f\x08\r", "hello"),
        (b"ello\x01h\x05!\r", "hello!"),
        (b"xhello\x1b[H\x1b[3~\r", "hello"),
        (b"no no\x17yes\r", "no yes"),
        (b"abc\x1b[D\x15\r", "c"),
        (b"abc\x1b[D\x0b\r", "ab"),
        (b"a\x1b[200~b\x1b[5;2~c\x1bxd\t\x00\r", "abcd"),
        (b"\x1b[D\x7f\x1b[C\x04x\r", None),
    ],
)
def test_keys_make_a_line(keys: bytes, line: str | None) -> None:
    typed = TypedLine()
    found: list[str | None] = []
    for at in range(len(keys)):  # a terminal may send them one by one
        found += typed.take(keys[at : at + 1])
    assert found[0] == line
    assert typed.text == ""


def test_several_lines_at_once_are_several_and_the_rest_waits() -> None:
    typed = TypedLine()
    assert typed.take(b"one\rtwo\rthr") == ["one", "two"]
    assert typed.shown(80) == ("thr", 3)


def test_earlier_lines_come_back_and_so_does_the_one_that_was_left() -> None:
    typed = TypedLine(["first"])
    assert typed.take(b"second\r") == ["second"]
    assert typed.take(b"third" + UP) == []
    assert typed.text == "second"
    typed.take(UP + UP)
    assert typed.text == "first"
    typed.take(DOWN + DOWN)
    assert typed.text == "third"
    assert typed.take(b"\r" + UP + b"\r" + b"  \r") == ["third", "third", "  "]
    assert typed.history == ["first", "second", "third"]
    assert len(TypedLine([str(number) for number in range(2 * HISTORY)]).history) == HISTORY


def test_of_a_long_line_the_part_around_the_cursor_is_shown() -> None:
    typed = TypedLine()
    typed.take(b"0123456789ABCDEF")
    assert typed.shown(8) == ("9ABCDEF", 7)
    typed.take(b"\x01")
    assert typed.shown(8) == ("0123456", 0)
    wide = TypedLine()
    wide.take("日本語です".encode())
    assert wide.shown(7) == ("語です", 6)


def test_whatever_comes_the_cursor_is_in_the_line_and_in_the_row() -> None:
    rng = Random(1)
    typed = TypedLine()
    for _ in range(3000):
        typed.take(
            rng.choice([UP, DOWN, LEFT, RIGHT, b"\r", b"ab", "日".encode(), rng.randbytes(rng.randint(0, 6))])
        )
        width = rng.randint(3, 40)
        text, column = typed.shown(width)
        assert text in typed.text
        assert 0 <= column < width
