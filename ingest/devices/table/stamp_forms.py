"""Find the format of stamps that are text, from the first of them; what has two readings is a question.

A stamp is split into its time of day, its zone, names of months and weekdays, and numbers. Their order leaves one
format, or several where the day may be the month, or the year has two digits. Those that fit the most stamps remain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ingest.devices.table.text_times import matches
from ingest.settings import TableSettings
from ingest.time_format import steps_of
from pipeline.errors import UserError

TIME_OF_DAY = re.compile(r"\d\d?:\d\d(:\d\d([.,:]\d{1,9})?)?(\s?[AaPp]\.?\s?[Mm]\.?)?")
_COLONS = re.compile(
    r"(?<!\d)\d\d?:\d\d(?P<second>:\d\d)?(?P<fraction>[.,:]\d{1,9})?(?P<half>\s?[AaPp]\.?\s?[Mm]\.?(?!\w))?"
)
_OTHER_MARKS = re.compile(r"(?<=[ T_])\d\d?(?P<mark>[-.h])\d\d(?P=mark)\d\d(?P<fraction>[.,]\d{1,9})?$")
_COMPACT = re.compile(r"(?P<date>(19|20)\d{6})(?P<gap>[T _-]?)\d{6}(?P<fraction>[.,]?\d{1,9})?")
_WITHOUT_DATE = re.compile(r"\s*\d\d?:\d\d(:\d\d)?([.,:]\d{1,9})?(\s?[AaPp]\.?\s?[Mm]\.?)?\s*")
_ZONE = re.compile(r"(?P<gap>\s*)(Z|UTC|GMT|[-+]\d\d(:?\d\d)?)$")
_WORDS = {"%a": "mon|tue|wed|thu|fri|sat|sun", "%b": "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"}
_TOKEN = re.compile(r"\x00\d|\d+|[A-Za-z]{3,9}\.?|.", re.DOTALL)
_DATE = re.compile(r"\d{1,4}[-/. ]\d\d?[-/. ]\d{2,4}")
SHOWN_STAMPS = 20
ORDERS = {2: (("%d", "%m"), ("%m", "%d")), 3: (("%d", "%m", "%y"), ("%m", "%d", "%y"), ("%y", "%m", "%d"))}
_NATIVE = re.compile(r"%Y-%m-%d[ T]%H:%M(:%S\.%f)?(%z)?")


def is_native(form: str) -> bool:
    """Return whether pyarrow reads the format by itself: ISO 8601."""
    return bool(_NATIVE.fullmatch(form))


def find_form(stamps: Sequence[str], settings: TableSettings, order: str = "") -> str:
    """Return the format of stamps, the one that the user states if any; raises UserError with a question.

    order: of the date, as in dmy, where a header states it.
    """
    if settings.time_format is not None:
        return _given(stamps, settings.time_format)
    forms = dict.fromkeys(form for stamp in stamps[:SHOWN_STAMPS] for form in forms_of(stamp))
    count = {form: matches([*stamps], form) for form in forms}
    most = max(count.values(), default=0)
    fitting = [form for form in forms if count[form] == most]
    if 2 * most < len(stamps) or not most:
        raise UserError(
            _unknown(next(stamp for stamp in stamps if not any(matches([stamp], form) for form in fitting)))
        )
    stated = [form for form in fitting if order and _order(form) == order]
    fitting = stated or fitting
    if settings.dayfirst is not None and _has_turns(fitting[0]):
        first = "d" if settings.dayfirst else "m"
        chosen = [form for form in fitting if _order(form)[0] == first]
        if not chosen and not stated:
            flag = "--dayfirst" if settings.dayfirst else "--no-dayfirst"
            raise UserError(
                f"{flag} does not fit the dates: they read as {fitting[0]}. Leave it out, or state --time-format."
            )
        fitting = chosen or fitting
    if len({_order(form) for form in fitting}) > 1:
        raise UserError(_question(stamps[0], fitting))
    return fitting[0]


def _given(stamps: Sequence[str], form: str) -> str:
    if 2 * matches([*stamps], form) >= len(stamps):
        return form
    fitting = [other for other in forms_of(stamps[0]) if matches([stamps[0]], other)]
    better = f" --time-format '{fitting[0]}' fits the first one." if fitting else ""
    raise UserError(
        f"--time-format states {form}, which does not fit the time column: its stamps have the form "
        f"{shape(stamps[0])}.{better} State another format, or another column with --columns."
    )


def _question(stamp: str, forms: Sequence[str]) -> str:
    found = _DATE.search(stamp)
    date = found[0] if found else shape(stamp)
    if "%y" not in forms[0]:
        return f"is {date} a date with the day or the month first? State --dayfirst or --no-dayfirst."
    flags = {"d": "--dayfirst", "m": "--no-dayfirst"}
    answers = [flags.get(_order(form)[0], f"--time-format '{form}'") for form in forms]
    return f"in which order are day, month and year of {date}? State {' or '.join(answers)}."


def _unknown(stamp: str) -> str:
    if _WITHOUT_DATE.fullmatch(stamp):
        return (
            f"the stamps have no date, found {shape(stamp)} (9 is any digit). Name the column of the date `date`, or "
            "write dates into the time column; a date in the lines above the rows is not read."
        )
    if forms := forms_of(stamp):
        return (
            f"the stamps seem to have the form {forms[0]}, but are no dates of the Gregorian or Buddhist calendar from "
            "1700 on. Convert them, or name another column with --columns time=NAME,x=NAME,y=NAME,z=NAME."
        )
    return (
        f"expected numbers or times as in 2024-05-06T10:00:00.000 (ISO 8601) in the time column, found {shape(stamp)} "
        "(9 is any digit, a any letter). State its format as in --time-format '%d.%m.%Y %H:%M:%S.%f', or name another "
        "column with --columns time=NAME,x=NAME,y=NAME,z=NAME."
    )


def shape(stamp: str) -> str:
    """Return a stamp without its content, which may name a person: 9 for digits, a for letters."""
    return repr("".join("9" if sign.isdigit() else "a" if sign.isalpha() else sign for sign in stamp[:40]))


def _order(form: str) -> str:
    """Return the order of day, month and year in a format, as in dmy."""
    return "".join(re.findall(r"%([dmybB])", form.replace("%Y", "%y"))).replace("b", "m").replace("B", "m")


def _has_turns(form: str) -> bool:
    """Return whether another order of its numbers is a date too."""
    return "%b" not in form and "%Y%m" not in form and not form.startswith("%Y")


def forms_of(stamp: str) -> list[str]:
    """Return the formats that a stamp may have; none where it has no time of day."""
    stamp = stamp.strip()
    if compact := _COMPACT.fullmatch(stamp):
        fraction = compact["fraction"] or "."
        return [f"%Y%m%d{compact['gap']}%H%M%S{'%f' if fraction[0].isdigit() else fraction[0] + '%f'}"]
    ends = ""
    if (zone := _ZONE.search(stamp)) and ":" in stamp[: zone.start()]:
        stamp, ends = stamp[: zone.start()], zone["gap"] + "%z"
    found = _COLONS.search(stamp) or _OTHER_MARKS.search(stamp)
    if not found:
        return []
    before, after = stamp[: found.start()], stamp[found.end() :]
    return [form + ends for form in _with_dates(f"{before}\x000{after}", _time_of(found)) if _is_complete(form)]


def _is_complete(form: str) -> bool:
    try:
        steps_of(form)
    except ValueError:
        return False
    return True


def _time_of(found: re.Match[str]) -> str:
    parts = found.groupdict()
    mark, fraction = parts.get("mark") or ":", (parts["fraction"] or ".")[0]
    half = parts.get("half") or ""
    hour = "%I" if half else "%H"
    second = f"{mark}%S{fraction}%f" if parts.get("mark") or parts.get("second") else ""
    gap = " " if half[:1].isspace() else ""
    return f"{hour}{mark}%M{second}{gap}{'%p' if half else ''}"


def _with_dates(text: str, time: str) -> list[str]:
    """Return formats of a text in which \\x000 is the place of its time."""
    parts: list[str] = []
    numbers: list[int] = []
    for token in _TOKEN.findall(text):
        word = next((name for name, words in _WORDS.items() if re.match(words, token, re.IGNORECASE)), None)
        if token == "\x000":
            parts.append(time)
        elif token.isdigit():
            kind = {8: "%Y%m%d", 4: "%Y", 3: "%j"}.get(len(token), "")
            numbers += [] if kind else [len(parts)]
            parts.append(kind)
        else:
            parts.append(word or token.replace("%", "%%"))
    named = {"%b", "%j"} & {*parts}
    if "%Y" in parts:
        is_first = not numbers or parts.index("%Y") < numbers[0]
        orders = [("%d",)] if "%b" in named else [()] if named else [("%m", "%d")] if is_first else [*ORDERS[2]]
    else:
        orders = [("%d", "%y")] if named else [()] if "%Y%m%d" in parts else [*ORDERS[3]]
    return [_filled(parts, numbers, order) for order in orders if len(order) == len(numbers)]


def _filled(parts: Sequence[str], numbers: Sequence[int], order: Sequence[str]) -> str:
    filled = [*parts]
    for place, directive in zip(numbers, order, strict=True):
        filled[place] = directive
    return "".join(filled)
