"""`simulate(bot, caller)`: recorded voices call a bot's own unchanged callback, in virtual time.

    call = simulate(Path("bot.py"), Caller().say(Path("book.wav")).until("how many").say("For four."))
    call.assert_tool("book_table", people=4)

A simulated call is the session that a live agent runs, on a media link within the process. No gateway takes
part, but the gateway's playout does, and the bot is measured there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.agent.preload import preload
from piopiy_pipeline.arguments import check_callable, check_seconds, shown
from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.capture import CallCapture
from piopiy_pipeline.code_places import describe_tasks
from piopiy_pipeline.error_text import noted_errors
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.signaling.messages import Control, Transfer
from piopiy_pipeline.testing.agent_loss import AgentLoss
from piopiy_pipeline.testing.blocked_loop import tells_of_blocking
from piopiy_pipeline.testing.botfile import bot_folder, callback_of
from piopiy_pipeline.testing.call_setting import Medium, Progress, Setting, made_up_info
from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.line.callers import Caller, CallerCoroutine, CallerGaveUp, CallerLine
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.line.text_link import TextCallerLine, TextCallerLink
from piopiy_pipeline.testing.providers import Providers
from piopiy_pipeline.testing.report.event_log import EventLog
from piopiy_pipeline.testing.report.latency import turns_of
from piopiy_pipeline.testing.report.simulated_call import Calls, SimulatedCall
from piopiy_pipeline.testing.scripted.simulated_gateway import SimulatedGateway, Transfers
from piopiy_pipeline.testing.simulated_agents import SimulatedAgents
from piopiy_pipeline.testing.stage.stage_trace import StageTrace
from piopiy_pipeline.testing.virtual_time.time_module import real_monotonic
from piopiy_pipeline.testing.virtual_time.virtual_loop import (
    LimitReached,
    SimulationError,
    run_real,
    run_virtual,
)

__tracebackhide__ = True  # pytest shows the line of the test, and not those in here
__all__ = ["Bot", "CallStuck", "Progress", "Setting", "run_calls", "simulate", "simulate_many"]

Bot = CreateSession | Path
"""An author's `create_session`, or the file of a bot."""
SETUP_S = 10.0
"""How long the bot may take to answer, as at a gateway."""
MARGIN_S = 60.0
"""How much longer than the call a simulation may take by its own clock, to end and to clean up."""


class CallStuck(SimulationError):
    """A part of the bot holds the call up for ever. The message names that part."""


def simulate(
    bot: Bot,
    caller: Caller | CallerCoroutine,
    *,
    seed: int = 0,
    rate: int = 16000,
    line: Line | None = None,
    info: CallInfo | None = None,
    providers: Providers | None = None,
    clock: Literal["virtual", "real"] = "virtual",
    limit_s: float = 600,
    wall_limit_s: float = 60,
    record: Path | None = None,
    progress: Progress | None = None,
    transfers: Transfers | None = None,
    losses: Sequence[AgentLoss] = (),
    by: Medium = "voice",
) -> SimulatedCall:
    """Have a caller call a bot in virtual time, and return what happened.

    The bot's own callback runs unchanged. A call in which the bot fails ends with an error, as a real call does; but
    an assertion in it (in its callback, a handler, a tool or a stage) is the test's, and is raised again here. Code
    that sleeps without an await is an event `error` with its place; what keeps the loop busy for a second is logged.

    Args:
        bot: The `create_session` that an `Agent` would be given, or the path of a bot's file. The file is
            imported; its main part does not run.
        caller: A script, or a coroutine function of a `CallerLine`.
        seed: Decides everything that is left to chance. The same seed gives the same events.
        rate: The sample rate of the line in Hz, in both directions: 8000 or 16000.
        line: What the line sounds like, and how its network behaves. None: a perfect line.
        info: Who calls whom. None: a call id that follows the seed, and numbers that belong to nobody.
        providers: Stand in for the bot's STT, LLM and TTS. None: the bot's own.
        clock: ``"virtual"``, or ``"real"`` for a call that takes as long as it takes.
        limit_s: The longest that the call may last, in seconds of its own clock.
        wall_limit_s: The longest that the simulation may take, in real seconds; for the virtual clock only.
        record: Captures the call for `replay`, in this file (``.zip``) or in this folder.
        progress: Called once in a second of the call, with the seed and the seconds that are over.
        transfers: What becomes of a transfer, by its destination or as a function of the request: an outcome
            such as ``"no_answer"``, or an outcome and the seconds until then (``("bridged", 8)``). Everybody
            else is unreachable.
        losses: When the call loses its agent, as if that were killed, and another one goes on with it.
        by: ``"voice"``, or ``"text"``: the same caller types what they would say, and reads the answers. A chat
            has no sound, so `line` and the caller's `mute` are errors there.

    Returns:
        The turns, the events and both voices, with assertions about them.

    Raises:
        SimulationError: The bot holds the call up for ever, or a limit is reached. `call` of the error has
            what there is of the call.
        CallerGaveUp: (an `AssertionError`) The caller waited for something that did not come.
        AssertionError: The first one that the bot has raised, with the timeline of the call as a note.
        TypeError: An argument is of another kind.
        ValueError: `rate` or a limit is out of range, a recording cannot be read, or a chat is given what is of sound.
        Exception: What a caller's coroutine raises.
    """
    setting = Setting(
        seed=seed,
        rate=rate,
        line=Line() if line is None else line,
        info=info,
        providers=providers,
        limit_s=limit_s,
        record=record,
        progress=progress,
        transfers=transfers,
        losses=losses,
        by=by,
    )
    return _asserted(run_calls(bot, [(caller, setting)], clock, wall_limit_s))[0]


def simulate_many(
    bot: Bot,
    callers: Iterable[Caller | CallerCoroutine],
    *,
    seed: int = 0,
    rate: int = 16000,
    line: Line | None = None,
    providers: Providers | None = None,
    clock: Literal["virtual", "real"] = "virtual",
    limit_s: float = 600,
    wall_limit_s: float = 600,
    progress: Progress | None = None,
    transfers: Transfers | None = None,
    losses: Sequence[AgentLoss] = (),
    by: Medium = "voice",
) -> Calls:
    """Have several callers call at the same time, in one process, as the calls of an agent are.

    The arguments are those of `simulate`, for every call, but for these:

    Args:
        callers: A caller for each call.
        seed: The seed of the first call; the n-th one has ``seed + n``, from 0 on.
        providers: Stand in for the bot's providers; every call has its own.
        wall_limit_s: The longest that all of them may take together, in real seconds.

    Returns:
        The calls, in the order of their callers.

    Raises:
        SimulationError: A call cannot be simulated: the first of them, as in `simulate`.
    """
    setting = Setting(
        seed=seed,
        rate=rate,
        line=Line() if line is None else line,
        providers=providers,
        limit_s=limit_s,
        progress=progress,
        transfers=transfers,
        losses=losses,
        by=by,
    )
    calls = [(caller, replace(setting, seed=seed + n)) for n, caller in enumerate(callers)]
    return _asserted(run_calls(bot, calls, clock, wall_limit_s))


def run_calls(
    bot: Bot,
    calls: Sequence[tuple[Caller | CallerCoroutine, Setting]],
    clock: Literal["virtual", "real"],
    wall_limit_s: float,
) -> Calls:
    """Simulate calls at the same time. Arguments and errors are those of `simulate`, but what a bot asserts is not
    raised: it is the `failed_assertion` of its call.
    """
    check_seconds("wall_limit_s", wall_limit_s)
    for caller, _ in calls:
        check_callable("a caller", caller, "a Caller, or an async function of a CallerLine", or_kinds=Caller)
    if not calls:
        return Calls()
    first = calls[0][1]
    log_to_stderr(quiet=True)  # pipecat's debugging, a line a frame, would take longer than the call
    simulations: list[_Simulation] = []

    async def all_of_them() -> Calls:
        await preload()
        with bot_folder(bot):
            create_session = callback_of(bot)
            simulations.extend(_Simulation(create_session, caller, setting) for caller, setting in calls)
            with tells_of_blocking({each.agents.call_id: each.agents for each in simulations}):
                try:
                    async with asyncio.TaskGroup() as group:
                        for simulation, (_, setting) in zip(simulations, calls, strict=True):
                            group.create_task(simulation.run(), name=f"simulate::{setting.seed}")
                except BaseExceptionGroup as errors:
                    raise errors.exceptions[0] from None
        return Calls(each.call for each in simulations if each.call is not None)

    limit_s = first.limit_s + MARGIN_S
    try:
        match clock:
            case "virtual":
                return run_virtual(all_of_them, seed=first.seed, limit_s=limit_s, wall_limit_s=wall_limit_s)
            case "real":
                return run_real(all_of_them, seed=first.seed, wall_limit_s=limit_s)
            case _:
                raise ValueError(f"clock={shown(clock)}: it is 'virtual' or 'real'")  # noqa: TRY301
    except Exception as error:
        own = getattr(error, "call", None)
        others = [each.call for each in simulations if each.call is not None and each.call is not own]
        error.other_calls = others  # type: ignore[attr-defined]  # for reports
        if isinstance(error, (CallerGaveUp, SimulationError)):
            # The message has it all, and our lines would only hide that of the test.
            raise error.with_traceback(None) from error.__cause__
        raise


def _asserted(calls: Calls) -> Calls:
    """Return the calls, or raise the first assertion that a bot has raised in one of them."""
    for call in calls:
        if (failed := call.failed_assertion) is not None:
            failed.add_note(f"\n{call.timeline()}")
            failed.call = call  # type: ignore[attr-defined]  # for reports, as that of `CallerGaveUp`
            failed.other_calls = [each for each in calls if each is not call]  # type: ignore[attr-defined]
            raise failed
    return calls


class _Simulation:
    """One simulated call: its session, its caller, and its log."""

    def __init__(
        self, create_session: CreateSession, caller: Caller | CallerCoroutine, setting: Setting
    ) -> None:
        loop = asyncio.get_running_loop()
        self.call: SimulatedCall | None = None  # once it is over, or cut short by another one that has failed
        self._began = real_monotonic()
        self._loop = loop
        self._setting = setting
        self._caller = caller
        typed = setting.by == "text"
        info = setting.info or made_up_info(setting.seed)
        self._info = replace(info, kind="text") if typed else info
        self._log = EventLog(loop.time)
        self._trace = StageTrace()
        self._answered = asyncio.Event()
        self._late: SimulationError | None = None
        self._ticks: asyncio.TimerHandle | None = None
        self._line: type[CallerLine] = TextCallerLine if typed else CallerLine
        self._link = (TextCallerLink if typed else CallerLink)(
            setting.rate,
            self._log,
            seed=setting.seed,
            line=setting.line,
            on_answer=self._answered.set,
            on_hangup=self._hung_up,
        )
        providers = setting.providers
        self._replace = providers.bind(spoken=self._link.words, seed=setting.seed) if providers else None
        self._recorder = CallCapture(setting.record, self._info) if setting.record else None
        self.agents = SimulatedAgents(
            self._info,
            bind_callback(create_session),
            self._link,
            self._log,
            losses=setting.losses,
            recorder=self._recorder,
            on_request=self._requested,
            pipeline_hook=self._adapt,
        )
        self._gateway = SimulatedGateway(
            setting.transfers,
            self._link,
            self._log,
            reply=self.agents.on_transfer_result,
            end=self.agents.end,
        )

    async def run(self) -> None:
        """Run the call from the offer to its end. What happened is `call` then. Raises as `simulate` does."""
        errors: list[BaseException] = []
        noted_errors.set(errors)
        self._tell_progress()
        if self._replace is not None:
            self._replace.needs_no_settings()
        limit = self._loop.call_later(self._setting.limit_s, self._over_limit)
        setup = self._loop.call_later(SETUP_S, self._not_answered)
        session = asyncio.create_task(self.agents.run(), name="simulate::session")
        caller = asyncio.create_task(self._call(), name="simulate::caller")
        try:
            await asyncio.wait({session, caller}, return_when=asyncio.FIRST_COMPLETED)
            if caller.done():
                self._link.hang_up()
                self._hung_up()  # also before the answer, when nothing is connected yet
            await session
            await _cancelled(caller)
        except asyncio.CancelledError:
            self.agents.end(EndReason.SHUTDOWN, "the simulation has ended before the call")
            raise
        finally:
            for timer in (limit, setup, self._ticks):
                if timer is not None:
                    timer.cancel()
            self._gateway.close()
            await _cancelled(caller)
            await _cancelled(session)
            if self._replace is not None:
                await self._replace.close()
            if self._recorder:
                await self._recorder.close()
            if self._log.end is not None:
                self.call = self._result(errors)
        if self._gateway.error is not None:
            raise self._gateway.error
        call = self.call
        assert call is not None
        self._raise_if_stuck(call)
        if not caller.cancelled() and (error := caller.exception()):
            if isinstance(error, CallerGaveUp):
                gave_up = CallerGaveUp(f"{error}\n\n{call.timeline()}")
                gave_up.call = call
                raise gave_up
            error.call = call  # type: ignore[attr-defined]
            raise error

    async def _call(self) -> None:
        await self._answered.wait()
        providers = self._setting.providers
        needs_words = providers is not None and providers.stt is not None and providers.stt.texts is None
        await self._caller(self._line(self._link, needs_words=needs_words))

    # ------------------------------------------------------------------ called by the session and the link

    def _tell_progress(self) -> None:
        progress = self._setting.progress
        if progress is not None:
            progress(self._setting.seed, max(0.0, self._loop.time() - self._log.zero))
            self._ticks = self._loop.call_later(1.0, self._tell_progress)

    def _adapt(self, chain: CallPipeline) -> None:
        if self._replace is not None:
            self._replace(chain)
        if self._recorder is not None:
            self._recorder.adapt(chain)
        self._trace.watch(chain)

    def _requested(self, request: Transfer | Control) -> None:
        """Do what the bot asks the gateway for."""
        if isinstance(request, Transfer):
            self._gateway.transfer(request)
        else:
            self._gateway.control(request)

    def _hung_up(self) -> None:
        self.agents.end(EndReason.CALLER_HANGUP, "the caller hung up")

    def _not_answered(self) -> None:
        if not self._answered.is_set():
            kept = self._trace.kept_start
            because = f"{kept} does not pass the StartFrame on" if kept else self._tasks()
            self._give_up(CallStuck(f"the bot did not answer within {SETUP_S:g} s: {because}"))

    def _over_limit(self) -> None:
        limit_s = self._setting.limit_s
        self._give_up(LimitReached(f"the call had not ended after {limit_s:g} s: {self._tasks()}"))

    def _give_up(self, error: SimulationError) -> None:
        if self._late is None:
            self._late = error
        self.agents.end(EndReason.ERROR, str(error).partition(":")[0])

    def _tasks(self) -> str:
        return f"what waits:\n{describe_tasks(self._loop)}"

    # ------------------------------------------------------------------ what comes of it

    def _result(self, errors: Iterable[BaseException]) -> SimulatedCall:
        end = self._log.end
        assert end is not None
        events = self._log.events()
        zero = self._log.zero
        duration = max(0.0, (self._log.ended_at or zero) - zero)
        said, heard = self._link.voices(duration)
        return SimulatedCall(
            turns=turns_of(events),
            events=events,
            end_reason=end.reason,
            end_detail=end.detail,
            caller_audio=said,
            bot_audio=heard,
            rate=self._setting.rate,
            seed=self._setting.seed,
            duration_s=round(duration, 6),
            wall_s=real_monotonic() - self._began,
            flow=self._log.flow,
            failed_assertion=next((error for error in errors if isinstance(error, AssertionError)), None),
        )

    def _raise_if_stuck(self, call: SimulatedCall) -> None:
        """Raise if a part of the bot holds something up for ever, even if the call has ended regularly."""
        if call.end_reason is not EndReason.CALLER_HANGUP and (kept := self._trace.kept_end):
            raise _with(
                call, CallStuck(f"{kept} does not pass the EndFrame on, and holds up the end of the call")
            )
        if held := self._trace.unfinished_cleanup:
            raise _with(call, CallStuck(f"{held} does not return, and holds up the end of the call"))
        if call.end_reason is EndReason.IDLE_TIMEOUT or self._late is not None:
            done = {event.data["number"] for event in call.of("tool_result")}
            lost_at = max((event.at for event in call.of("agent_lost")), default=-1.0)
            for event in call.of("tool"):
                if event.at > lost_at and event.data["number"] not in done:
                    waited = call.duration_s - event.at
                    raise _with(
                        call,
                        CallStuck(f"the tool {event.data['name']!r} had not returned after {waited:.1f} s"),
                    )
        if self._late is not None:
            raise _with(call, self._late)


def _with(call: SimulatedCall, error: SimulationError) -> SimulationError:
    error.call = call
    error.args = (f"{error}\n\n{call.timeline()}",)
    return error


async def _cancelled(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
