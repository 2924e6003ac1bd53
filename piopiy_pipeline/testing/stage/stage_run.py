"""`StageRun`: the result of `run_stage` and `run_chain`, with assertions about what came out.

Values only, nothing that runs. A failing assertion shows everything that went in and came out, with its times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pipecat.frames.frames import ErrorFrame, Frame, InputAudioRawFrame, OutputAudioRawFrame, TextFrame

from piopiy_pipeline.text import counted

__tracebackhide__ = True  # pytest shows the line of the test, and not those in here that fail it
__all__ = ["LeftBehind", "Moment", "StageRun"]

F = TypeVar("F", bound=Frame)

MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame that went in or came out.

    Attributes:
        at: Seconds since the chain had started.
        frame: The frame itself.
        upstream: Whether it went upstream.
        sent: Whether it went in; else it came out.
        words: The frame in words, as it was at that moment. A stage may have changed it since.
    """

    at: float
    frame: Frame
    upstream: bool = False
    sent: bool = False
    words: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", _words(self.frame))


class LeftBehind(AssertionError):
    """A stage swallowed the end, or left a task running. `run` is the run until then."""

    def __init__(self, message: str, run: StageRun) -> None:
        super().__init__(f"{message}\n\n{run.picture()}")
        self.run = run


class StageRun(list[Frame]):
    """The frames that came out downstream, in order, and everything else that was noticed.

    The StartFrame and the EndFrame of the harness itself are not among them; those that a test sent are.
    """

    def __init__(
        self,
        moments: Iterable[Moment],
        *,
        duration_s: float,
        swallowed_by: str | None = None,
        left_tasks: Iterable[str] = (),
        blocked: Iterable[str] = (),
    ) -> None:
        self.moments = tuple(moments)
        """Everything that went in (`sent`) and came out, in order, in both directions."""
        self.duration_s = duration_s
        """From the start of the chain to its end, in virtual seconds."""
        self.swallowed_by = swallowed_by
        """The stage that did not pass on the end, and how; None if the end came through."""
        self.left_tasks = tuple(left_tasks)
        """Tasks that still ran when the chain had been closed, each with where it waits."""
        self.blocked = tuple(blocked)
        """Code that slept without an await for 0.25 s or longer: for how long, and where. On a call nothing else of
        the process runs meanwhile.
        """
        super().__init__(each.frame for each in self.moments if not each.sent and not each.upstream)

    # ------------------------------------------------------------------ looking

    @property
    def upstream(self) -> list[Frame]:
        """The frames that came out upstream, in order."""
        return [each.frame for each in self.moments if not each.sent and each.upstream]

    @property
    def errors(self) -> list[ErrorFrame]:
        """The errors that stages reported. An exception in a stage becomes one, too."""
        return [frame for frame in self.upstream if isinstance(frame, ErrorFrame)]

    @property
    def text(self) -> str:
        """The texts of all text frames that came out downstream, joined without anything between."""
        return "".join(frame.text for frame in self.of(TextFrame))

    def of(self, kind: type[F], *, upstream: bool = False) -> list[F]:
        """Return the frames of a kind that came out, downstream or upstream."""
        return [frame for frame in (self.upstream if upstream else self) if isinstance(frame, kind)]

    def at(self, what: Frame | type[Frame], *, upstream: bool = False) -> float:
        """Return when a frame came out, or the first of a kind, in seconds. Raises `AssertionError` if none did."""
        for each in self.moments:
            if not each.sent and each.upstream == upstream and _is(each.frame, what):
                return each.at
        raise self._failure(f"no {_name(what)} came out")

    def dropped(self, kind: type[F]) -> list[F]:
        """Return the frames of a kind that were sent and did not come out. A frame changed in place did come out."""
        out = {id(each.frame) for each in self.moments if not each.sent}
        sent = (each.frame for each in self.moments if each.sent)
        return [frame for frame in sent if isinstance(frame, kind) and id(frame) not in out]

    def picture(self) -> str:
        """Return everything that went in and came out, a line each, with its time."""
        lines = [
            f"{each.at:9.3f} s  {'in ' if each.sent else 'out'} {'^' if each.upstream else 'v'}  {each.words}"
            for each in _without_runs_of_audio(self.moments)
        ]
        if len(lines) > MAX_SHOWN:
            lines[MAX_SHOWN:] = [f"... and {len(lines) - MAX_SHOWN} more"]
        if self.swallowed_by is not None:
            lines.append(f"the end did not come through: {self.swallowed_by}")
        lines += [f"left behind: {task}" for task in self.left_tasks]
        lines += [f"the event loop was blocked {code}" for code in self.blocked]
        return "\n".join(lines) or "nothing went in and nothing came out"

    # ------------------------------------------------------------------ asserting

    # Each of these raises `TypeError` if nothing is named: it could not fail.

    def assert_order(self, *wanted: Frame | type[Frame], upstream: bool = False) -> None:
        """Assert that these came out in this order. Others may come between them."""
        _check_named("assert_order", wanted)
        frames = iter(self.upstream if upstream else self)
        for i, what in enumerate(wanted):
            if not any(_is(frame, what) for frame in frames):
                behind = f" behind {_name(wanted[i - 1])}" if i else ""
                raise self._failure(f"no {_name(what)} came out{behind}")

    def assert_passed(self, *wanted: Frame | type[Frame]) -> None:
        """Assert that these frames came out downstream. For a kind: at least one was sent, and all of them came out."""
        _check_named("assert_passed", wanted)
        for what in wanted:
            if isinstance(what, type):
                if not any(each.sent and isinstance(each.frame, what) for each in self.moments):
                    raise self._failure(f"no {_name(what)} was sent")
                if lost := self.dropped(what):
                    raise self._failure(f"{len(lost)} {_name(what)} did not come out: {_words(lost[0])}")
            elif not any(frame is what for frame in self):
                raise self._failure(f"{_words(what)} did not come out")

    def assert_dropped(self, *wanted: Frame | type[Frame]) -> None:
        """Assert that these frames were sent, and none of them came out, in either direction. For a kind: at least one
        was sent.
        """
        _check_named("assert_dropped", wanted)
        for what in wanted:
            if not any(each.sent and _is(each.frame, what) for each in self.moments):
                raise self._failure(f"no {_name(what)} was sent")
            for each in self.moments:
                if not each.sent and _is(each.frame, what):
                    raise self._failure(f"{_words(each.frame)} came out at {each.at:.3f} s")

    def assert_no_errors(self) -> None:
        """Assert that no stage reported an error, raised an exception, or blocked the event loop."""
        if self.errors:
            raise self._failure(f"{counted(len(self.errors), 'error')}, the first: {self.errors[0].error}")
        if self.blocked:
            raise self._failure(
                f"the event loop was blocked {self.blocked[0]}: what takes time belongs in a thread, or needs an await"
            )

    def assert_nothing_left(self) -> None:
        """Assert that the end came out and no task was left running. `run_stage` does this unless ``check=False``."""
        if self.swallowed_by is not None:
            raise LeftBehind(f"the end did not come through: {self.swallowed_by}", self)
        if self.left_tasks:
            raise LeftBehind(f"tasks still run when the chain has ended: {'; '.join(self.left_tasks)}", self)

    def _failure(self, what: str) -> AssertionError:
        return AssertionError(f"{what}\n\n{self.picture()}")


def _check_named(assertion: str, wanted: tuple[object, ...]) -> None:
    if not wanted:
        raise TypeError(f"{assertion}() needs a frame, or a kind of frames: without one it could not fail")


def _is(frame: Frame, what: Frame | type[Frame]) -> bool:
    return isinstance(frame, what) if isinstance(what, type) else frame is what


def _name(what: Frame | type[Frame]) -> str:
    return what.__name__ if isinstance(what, type) else _words(what)


def _words(frame: Frame) -> str:
    """Return a frame in a line; audio by its length."""
    if isinstance(frame, (InputAudioRawFrame, OutputAudioRawFrame)):
        seconds = len(frame.audio) / 2 / frame.num_channels / frame.sample_rate
        return f"{type(frame).__name__}({seconds:.3f} s at {frame.sample_rate} Hz)"
    shown = str(frame)
    return shown if len(shown) <= 160 else f"{shown[:157]}..."


def _without_runs_of_audio(moments: Iterable[Moment]) -> list[Moment]:
    """Keep only the first of audio frames that follow each other in the same direction."""
    kept: list[Moment] = []
    seen: set[tuple[type[Frame], bool, bool]] = set()
    for each in moments:
        if isinstance(each.frame, (InputAudioRawFrame, OutputAudioRawFrame)):
            key = (type(each.frame), each.upstream, each.sent)
            if key in seen:
                continue
            seen.add(key)
        else:
            seen.clear()
        kept.append(each)
    return kept
