"""The functions with which an author asks for one value: `collect_digits`, `collect_phone_number`, `confirm`, ..."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers

from piopiy_pipeline.arguments import check_count, check_kind, check_seconds, check_switches, shown
from piopiy_pipeline.collect.calendar_days import needs_dateparser
from piopiy_pipeline.collect.collected import Collected
from piopiy_pipeline.collect.collection import Collection
from piopiy_pipeline.collect.collector import Collector
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import MAX_DIGITS, Checksum, DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.phrases import CollectPhrases, collect_phrases_in
from piopiy_pipeline.collect.postal_address import Address, AddressReader
from piopiy_pipeline.collect.value_reader import ValueReader
from piopiy_pipeline.collect.yes_no import YesNoReader
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.session import Call

__all__ = [
    "collect_address",
    "collect_date",
    "collect_digits",
    "collect_email",
    "collect_phone_number",
    "collect_value",
    "confirm",
]

T = TypeVar("T")
ARGUMENTS_ONLY: Any = object()
"""In the place of a call: the arguments are checked, and `ArgumentsChecked` is raised."""


class ArgumentsChecked(Exception):
    """The arguments of a collection were checked, and are right."""


async def collect_value(
    call: Call,
    reader: Callable[[str], ValueReader[T]],
    *,
    prompt: str,
    name: str = "",
    retry: str | None = None,
    read_back: bool | None = None,
    attempts: int = 3,
    silence_s: float = 8.0,
    timeout_s: float = 180.0,
    redact: bool = False,
    phrases: CollectPhrases | None = None,
    model_reads: bool = True,
) -> Collected[T]:
    """Ask the caller for a value of any kind, and return it. The other functions are made of this one.

    While it asks, the caller's turns are not the model's. A question of the caller in between is answered by the
    model, and then the value is asked for again. If the agent is lost meanwhile, the callback of the instance that
    goes on calls this once more, and it goes on in the same step; what was collected before is returned at once.

    Args:
        call: The call. If it is not answered yet, it is waited for.
        reader: Makes what reads the value, for a language such as ``de``.
        prompt: The question.
        name: What the value is called in events and errors. Two values of one call that are asked for by code which may
            run in another order at another instance have different names.
        retry: The question after an answer that was none. None: the prompt again.
        read_back: Whether the value is read back, and counts when the caller says yes. None: as the kind has it.
        attempts: So many answers may be no such value, or a wrong one, and be denied.
        silence_s: The caller is asked again after so many seconds of silence, three times.
        timeout_s: All of it takes so many seconds at most.
        redact: Whether the value, and what both sides say meanwhile, is kept out of the record and of the conversation
            that the model sees. The call's recording has the sound all the same, and a checkpoint the value.
        phrases: What is said beside the prompt. None: in the language of the voice, English or German.
        model_reads: Whether the model is asked to read an answer in which the code has found nothing, such as "the
            first Monday in March". What it reads is checked and read back. Of a redacted value it reads nothing.

    Returns:
        The value, and how it was given.

    Raises:
        NotCollected: The caller has not given it; `why` says why.
        RuntimeError: Another value is being collected in this call.
        ValueError: A number is out of range.
        TypeError: An argument is of the wrong kind.
    """
    if call is not ARGUMENTS_ONLY:
        check_kind("call", call, Call, "the Call of the callback")
    check_kind("prompt", prompt, str, "a text")
    check_kind("name", name, str, "a text")
    check_kind("retry", retry, (str, type(None)), "a text, or None for the prompt again")
    check_kind("read_back", read_back, (bool, type(None)), "True, False, or None for as the kind has it")
    check_switches(redact=redact, model_reads=model_reads)
    check_kind(
        "phrases", phrases, (CollectPhrases, type(None)), "CollectPhrases, or None for those of the language"
    )
    check_count("attempts", attempts)
    check_seconds("silence_s", silence_s)
    check_seconds("timeout_s", timeout_s)
    made = reader("en") if callable(reader) else None  # its arguments are checked before the caller is asked
    if not isinstance(made, ValueReader):
        raise TypeError(
            f"reader must be a function that is given a language and returns a ValueReader, not {shown(reader)}"
        )
    kind = made.kind
    if not prompt.strip() and not isinstance(getattr(collect_phrases_in("en"), kind, None), str):
        raise ValueError(f"prompt must be the question: there is none that is asked for a {kind} by itself")
    if call is ARGUMENTS_ONLY:
        raise ArgumentsChecked

    def prepare(language: str) -> Collection[T]:
        made, words = reader(language), phrases or collect_phrases_in(language)
        return Collection(
            made,
            prompt=prompt.strip() or getattr(words, made.kind, ""),
            phrases=words,
            read_back=made.reads_back if read_back is None else read_back,
            attempts=attempts,
            retry=retry,
            typed=call.info.kind == "text",
            model_reads=model_reads and not redact,
        )

    collector: Collector[T] = Collector(
        call, name=name or kind, redact=redact, silence_s=silence_s, timeout_s=timeout_s
    )
    return await collector.collect(prepare)


async def collect_digits(
    call: Call,
    *,
    prompt: str = "",
    length: int | tuple[int, int] = (1, MAX_DIGITS),
    checksum: Checksum | None = None,
    **options: Any,
) -> Collected[str]:
    """Ask for a number that is said or pressed digit by digit: a PIN, a customer number, a card.

    Keys end with ``#``, with the last digit if that is known, or after three seconds; ``*`` begins anew. Further keys,
    behind the last digit, answer the question that comes next.

    Args:
        call: The call.
        prompt: The question. Empty: one in the language of the voice.
        length: How many digits: ``6``, or ``(5, 8)`` for at least and at most.
        checksum: ``"luhn"``, or a function that is given the digits and returns whether they are right.
        **options: Those of `collect_value`. Digits are not read back unless ``read_back=True``.

    Returns:
        The digits.

    Raises:
        NotCollected: The caller has not given them.
        ValueError: The length is out of range.
        TypeError: An argument is of the wrong kind.

    Example:
        ```python
        pin = await collect_digits(call, prompt="What is your PIN?", length=4, redact=True)
        ```
    """
    _check_options(collect_digits, options)
    bounds: object = tuple(length) if isinstance(length, list | tuple) else (length, length)
    if not (isinstance(bounds, tuple) and len(bounds) == 2 and all(type(count) is int for count in bounds)):
        raise TypeError(f"length must be a whole number, or two: at least and at most, not {shown(length)}")
    least, most = bounds
    check_count("length", least)
    if not least <= most <= MAX_DIGITS:
        raise ValueError(
            f"length={shown(length)}: it is a number up to {MAX_DIGITS}, or at least and at most"
        )
    if checksum != "luhn" and not (checksum is None or callable(checksum)):
        raise TypeError(f'checksum is "luhn" or a function of the digits, not {shown(checksum)}')
    return await collect_value(
        call,
        lambda language: DigitsReader(language, least=least, most=most, checksum=checksum),
        prompt=prompt,
        **options,
    )


async def collect_phone_number(
    call: Call, *, region: str, prompt: str = "", **options: Any
) -> Collected[str]:
    """Ask for a telephone number, by voice or by keys, and read it back.

    Args:
        call: The call.
        region: The country of numbers without a country code: ``DE``, ``US``, ``IN``.
        prompt: The question. Empty: one in the language of the voice.
        **options: Those of `collect_value`.

    Returns:
        The number in the form of E.164: ``+4930123456``.

    Raises:
        NotCollected: The caller has not given it.
        ValueError: There is no such region.

    Example:
        ```python
        number = await collect_phone_number(call, prompt="What number can we call you back on?", region="DE")
        ```
    """
    _check_options(collect_phone_number, options)
    _check_region(region)
    return await collect_value(
        call,
        lambda language: PhoneNumberReader(language, region=region.upper()),
        prompt=prompt,
        **options,
    )


async def collect_email(call: Call, *, prompt: str = "", **options: Any) -> Collected[str]:
    """Ask for an e-mail address, said or spelled, and read it back letter by letter.

    Args:
        call: The call.
        prompt: The question. Empty: one in the language of the voice.
        **options: Those of `collect_value`.

    Returns:
        The address in small letters.

    Raises:
        NotCollected: The caller has not given it.

    Example:
        ```python
        email = await collect_email(call, prompt="Where shall we send the confirmation?")
        ```
    """
    _check_options(collect_email, options)
    return await collect_value(call, EmailReader, prompt=prompt, **options)


async def collect_date(
    call: Call,
    *,
    prompt: str = "",
    past: bool = False,
    earliest: date | None = None,
    latest: date | None = None,
    time_zone: str | None = None,
    today: date | None = None,
    day_first: bool = True,
    **options: Any,
) -> Collected[date]:
    """Ask for a date: "next Friday", "the fifth of May", "12.3.1984"; by keys as day, month and year: ``12031984``.

    English dates need nothing more; those of other languages are read with the extra ``dates`` (dateparser).

    Args:
        call: The call.
        prompt: The question. Empty: one in the language of the voice.
        past: Whether it has been, such as a date of birth; else it is to come.
        earliest: An earlier date is refused, with a sentence that says so.
        latest: A later one is.
        time_zone: Where the caller is, such as ``Europe/Berlin``: it decides what "today" is. None: that of this
            machine.
        today: The day of the call, if you know it better.
        day_first: Whether 3/4, and the keys 0304, are the third of April.
        **options: Those of `collect_value`.

    Returns:
        The date.

    Raises:
        NotCollected: The caller has not given it.
        ValueError: There is no such time zone, or `earliest` is later than `latest`,
            or is to come with `past`.
        StageError: The voice speaks a language whose dates need the extra ``dates``, and it is not installed.

    Example:
        ```python
        day = await collect_date(call, prompt="Which day?", time_zone="Europe/Berlin", earliest=date.today())
        ```
    """
    _check_options(collect_date, options)
    check_switches(past=past, day_first=day_first)
    check_kind("time_zone", time_zone, (str, type(None)), "a name such as Europe/Berlin, or None")
    for name, value in (("earliest", earliest), ("latest", latest), ("today", today)):
        if isinstance(value, datetime):
            raise TypeError(
                f"{name} must be a datetime.date, or None, not the time {shown(value)}: write .date()"
            )
        check_kind(name, value, (date, type(None)), "a datetime.date, or None")
    if earliest and latest and earliest > latest:
        raise ValueError(f"earliest={earliest} is later than latest={latest}")
    try:
        zone = None if time_zone is None else ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"time_zone={shown(time_zone)}: there is no such zone; it is a name such as Europe/Berlin"
        ) from error
    if past and earliest and earliest > (today or datetime.now(zone).date()):
        raise ValueError(f"earliest={earliest} is to come, and past=True asks for a date that has been")

    def reader(language: str) -> DateReader:
        if needs_dateparser(language):
            raise StageError(
                f"dates in {shown(language)} are read with dateparser: pip install 'piopiy-pipeline[dates]'",
                "tts",
            )
        return DateReader(
            language,
            today=lambda: today or datetime.now(zone).date(),
            past=past,
            day_first=day_first,
            earliest=earliest,
            latest=latest,
        )

    return await collect_value(call, reader, prompt=prompt, **options)


async def collect_address(call: Call, *, region: str, prompt: str = "", **options: Any) -> Collected[Address]:
    """Ask for a postal address, dictated in one answer or in several, and read it back.

    Args:
        call: The call.
        region: The country of the address, such as ``DE``. Where its postal codes are known (`POSTAL_CODES`), one is
            asked for.
        prompt: The question. Empty: one in the language of the voice.
        **options: Those of `collect_value`.

    Returns:
        The address: its `text`, and its parts where they can be told apart.

    Raises:
        NotCollected: The caller has not given it.
        ValueError: There is no such region.
        TypeError: The region is no text.

    Example:
        ```python
        address = await collect_address(call, prompt="Where shall we deliver it?", region="DE")
        ```
    """
    _check_options(collect_address, options)
    _check_region(region)
    return await collect_value(
        call, lambda language: AddressReader(language, region=region.upper()), prompt=prompt, **options
    )


async def confirm(call: Call, prompt: str, **options: Any) -> Collected[bool]:
    """Ask a question that is answered with yes or no: said, or by the keys 1 and 2.

    A yes or a no before the question was heard counts for nothing, so that nobody agrees to what they do not know: a
    key is dropped, and to who has said it the question is put again.

    Args:
        call: The call.
        prompt: The question.
        **options: Those of `collect_value`.

    Returns:
        True for a yes. Only a clear one is one.

    Raises:
        NotCollected: The caller has said neither.

    Example:
        ```python
        if (await confirm(call, "Shall I book it?")).value:
            await book()
        ```
    """
    _check_options(confirm, options)
    return await collect_value(call, YesNoReader, prompt=prompt, **options)


def _check_options(collect: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Check that `collect_value` has these arguments, with the words of the function that was called.

    Raises:
        TypeError: It has no such argument.
    """
    own = [name for name in inspect.signature(collect).parameters if name not in ("call", "options")]
    common = [name for name in inspect.signature(collect_value).parameters if name not in ("call", "reader")]
    for name in options:
        if name not in common:
            near = difflib.get_close_matches(name, own + common, n=1)
            meant = (
                f": did you mean {near[0]!r}?"
                if near
                else f"; there is: {', '.join(sorted({*own, *common}))}"
            )
            raise TypeError(f"{collect.__name__}() has no argument {name!r}{meant}")


def _check_region(region: object) -> None:
    """Check the code of a country.

    Raises:
        TypeError: It is no text.
        ValueError: There is no such country.
    """
    check_kind("region", region, str, "the code of a country, such as DE or US")
    if str(region).upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"region must be the code of a country, such as DE or US, not {shown(region)}")
