"""Dates and times as inputs write them, to instants: a kernel over the bytes of a column.

Read are ISO 8601 (with parts left out from the right, with or without separators), the dates of
mail, feeds and HTTP (RFC 5322, section 3.3), and numbers since 1970, whose unit follows from their
size. The calendar is the proleptic Gregorian one of the years 1 to 9999.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from strata.pipelines.readers.json_bytes import BROKEN, NONE, cached_kernel, kernel
from strata.storage.layout.schemas import DOCUMENTS

__all__ = ["INSTANT", "Instants", "read_instants"]

Bytes = npt.NDArray[np.uint8]

INSTANT = DOCUMENTS.field("created").type
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
# Of the years 1 and 10000, in microseconds since 1970.
FIRST, AFTER_LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND
UNREAD = cast("int", np.int64(-(2**63)))
# Numbers below these are seconds, milliseconds, microseconds; larger ones nanoseconds.
SECONDS_BELOW, MILLIS_BELOW, MICROS_BELOW = 10**11, 10**14, 10**17
MAX_DIGITS = 19
FRACTION_DIGITS = 6
# Lengths of YYYY, YYYYMMDD and YYYYMMDDhhmmss, which are no numbers since 1970.
BARE = (4, 8, 14)
SPACE, PLUS, COMMA, MINUS, POINT, COLON, LOWER_T, LOWER_Z = b" +,-.:tz"
SMALL = 0x20
ZERO, NINE = b"09"
MONTHS = np.frombuffer(b"janfebmaraprmayjunjulaugsepoctnovdec", np.uint8)
ZONES = np.frombuffer(b"utcgmt", np.uint8)


@dataclass(frozen=True, slots=True)
class Instants:
    """The instants of a column.

    Attributes:
        values: of the type INSTANT; null where a text is missing, blank or unreadable.
        unread: how many texts could not be read.
    """

    values: pa.TimestampArray
    unread: int


def read_instants(text: pa.LargeStringArray) -> Instants:
    """The instants that texts name; without a zone they are taken for UTC. Blank is null."""
    count = len(text)
    if text.null_count == count:
        return Instants(pa.nulls(count, INSTANT), 0)
    _, offsets, body = text.buffers()
    places = np.frombuffer(offsets, np.int64)[text.offset :][: count + 1]
    data = np.frombuffer(body or b"", np.uint8)
    # Kernels are compiled for arrays with the flags of those from a file.
    data.flags.writeable = places.flags.writeable = False
    valid = np.array(text.is_valid(), np.bool_)
    micros = np.zeros(count, np.int64)
    unread = scan_instants(data, places, micros, valid)
    return Instants(pa.array(micros, mask=~valid).cast(pa.timestamp("us")).cast(INSTANT), unread)


class _Read(NamedTuple):
    """A value, and where it ends; BROKEN where there is none."""

    end: int
    value: int


@cached_kernel
def scan_instants(
    data: Bytes,
    offsets: npt.NDArray[np.int64],
    out: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
) -> int:
    """Read texts; returns how many that are not blank could not be read.

    Args:
        data: the texts, one after the other.
        offsets: int64[n + 1].
        out: int64[n], set to microseconds since 1970 where there is an instant.
        valid: bool[n], which texts are not null; set to which have an instant.
    """
    unread = NONE
    for row in range(len(valid)):
        if not valid[row]:
            continue
        start, end = offsets[row], offsets[row + 1]
        while start < end and data[start] <= SPACE:
            start += 1
        while start < end and data[end - 1] <= SPACE:
            end -= 1
        found = _instant(data[:end], start) if start < end else UNREAD
        valid[row] = FIRST <= found < AFTER_LAST
        if valid[row]:
            out[row] = found
        elif start < end:
            unread += 1
    return unread


@kernel
def _instant(data: Bytes, start: int) -> int:
    """Microseconds since 1970 of the text from ``start`` to the end of the data, or UNREAD."""
    digits = _end_of_digits(data, start) - start
    if start + digits == len(data):
        return _calendar(data, start) if digits in BARE else _epoch(data, start)
    if data[start] == MINUS or _byte_at(data, start + digits) == POINT:
        return _epoch(data, start)
    # "Mon, 01 May 2023", or "1 May 2023".
    if digits <= 2:
        return _rfc5322_date(data, start)
    return _calendar(data, start)


@kernel
def _byte_at(data: Bytes, place: int) -> int:
    """The byte at a place; 0 after the end, and where an earlier part is BROKEN."""
    return data[place] if 0 <= place < len(data) else 0


@kernel
def _end_of_digits(data: Bytes, place: int) -> int:
    while place < len(data) and ZERO <= data[place] <= NINE:
        place += 1
    return place


@kernel
def _digits(data: Bytes, place: int, count: int) -> _Read:
    """A number of exactly ``count`` digits."""
    value = NONE
    if place == BROKEN or place + count > len(data):
        return _Read(BROKEN, value)
    for at in range(place, place + count):
        if not ZERO <= data[at] <= NINE:
            return _Read(BROKEN, value)
        value = value * 10 + (data[at] - ZERO)
    return _Read(place + count, value)


@kernel
def _fraction(data: Bytes, place: int) -> _Read:
    """Digits after a point, in millionths; further ones are skipped."""
    end = _end_of_digits(data, place)
    value = NONE
    for step in range(FRACTION_DIGITS):
        value *= 10
        if place + step < end:
            value += data[place + step] - ZERO
    return _Read(end if end > place else BROKEN, value)


@kernel
def _epoch(data: Bytes, start: int) -> int:
    """A number of seconds or smaller units since 1970."""
    sign = -1 if data[start] == MINUS else 1
    first = start + 1 if sign < 0 else start
    end = _end_of_digits(data, first)
    if end == first or end - first > MAX_DIGITS:
        return UNREAD
    whole = NONE
    for at in range(first, end):
        if whole > (2**63 - 10) // 10:
            return UNREAD
        whole = whole * 10 + (data[at] - ZERO)
    part = NONE
    if _byte_at(data, end) == POINT:
        end, part = _fraction(data, end + 1)
    if end != len(data):
        return UNREAD
    if whole < SECONDS_BELOW:
        return int(sign * (whole * SECOND + part))
    if whole < MILLIS_BELOW:
        return int(sign * (whole * 1000 + part // 1000))
    return int(sign * (whole if whole < MICROS_BELOW else whole // 1000))


@kernel
def _calendar(data: Bytes, start: int) -> int:
    """A date of ISO 8601, with a time or without."""
    end, days = _date(data, start)
    if end == BROKEN:
        return UNREAD
    if end == len(data):
        return int(days * DAY)
    is_parted = data[end] | SMALL == LOWER_T or data[end] == SPACE
    if not is_parted and _end_of_digits(data, start) - start != BARE[2]:
        return UNREAD
    end += is_parted
    return _in_zone(data, _clock(data, end), days)


@kernel
def _rfc5322_date(data: Bytes, start: int) -> int:
    """A date of RFC 5322, such as ``Mon, 01 May 2023 12:34:56 GMT``."""
    place = start
    while place < len(data) and data[place] | SMALL >= ord("a"):
        place += 1
    if place > start:
        if _byte_at(data, place) != COMMA:
            return UNREAD
        place += 1
        while _byte_at(data, place) == SPACE:
            place += 1
    count = _end_of_digits(data, place) - place
    end, day = _digits(data, place, count)
    if not 1 <= count <= 2 or _byte_at(data, end) != SPACE:
        return UNREAD
    month = _letters(data, end + 1, MONTHS) + 1
    if not month or _byte_at(data, end + 4) != SPACE:
        return UNREAD
    end, year = _digits(data, end + 5, 4)
    if end == BROKEN or not _is_date(year, month, day):
        return UNREAD
    days = _days(year, month, day)
    if end == len(data):
        return int(days * DAY)
    if data[end] != SPACE:
        return UNREAD
    return _in_zone(data, _clock(data, end + 1), days)


@kernel
def _letters(data: Bytes, place: int, names: Bytes) -> int:
    """Which of some three-letter names is at a place, in any case; BROKEN if none is."""
    if place + 3 <= len(data):
        for number in range(len(names) // 3):
            same = True
            for step in range(3):
                same &= data[place + step] | SMALL == names[3 * number + step]
            if same:
                return int(number)
    return BROKEN


@kernel
def _date(data: Bytes, start: int) -> _Read:
    """Days since 1970; month and day may be missing."""
    end, year = _digits(data, start, 4)
    month = day = NONE + 1
    if end < len(data) and data[end] == MINUS:
        end, month = _digits(data, end + 1, 2)
        if end < len(data) and data[end] == MINUS:
            end, day = _digits(data, end + 1, 2)
    elif end < len(data) and ZERO <= data[end] <= NINE:
        end, month = _digits(data, end, 2)
        end, day = _digits(data, end, 2)
    if end == BROKEN or not _is_date(year, month, day):
        return _Read(BROKEN, NONE)
    return _Read(end, _days(year, month, day))


@kernel
def _is_date(year: int, month: int, day: int) -> bool:
    if year < 1 or not 1 <= month <= 12 or day < 1:
        return False
    if month == 2:
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return day <= (29 if is_leap else 28)
    return day <= (30 if month in (4, 6, 9, 11) else 31)


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970: years are counted from March, so that a leap day ends one."""
    since = year - 1 if month <= 2 else year
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return int(365 * since + since // 4 - since // 100 + since // 400 + of_year - 719_468)


@kernel
def _clock(data: Bytes, start: int) -> _Read:
    """Microseconds of the day; seconds may be missing."""
    end, hour = _digits(data, start, 2)
    minute = second = part = NONE
    parted = _byte_at(data, end) == COLON
    end, minute = _digits(data, end + 1 if parted else end, 2)
    after = _byte_at(data, end)
    if after == COLON if parted else ZERO <= after <= NINE:
        end, second = _digits(data, end + 1 if parted else end, 2)
        if _byte_at(data, end) == POINT or _byte_at(data, end) == COMMA:
            end, part = _fraction(data, end + 1)
    if end == BROKEN or hour > 23 or minute > 59 or second > 59:
        return _Read(BROKEN, NONE)
    return _Read(end, hour * HOUR + minute * MINUTE + second * SECOND + part)


@kernel
def _in_zone(data: Bytes, clock: _Read, days: int) -> int:
    """The instant of a time whose zone ends the data; UTC where there is none."""
    place = clock.end
    if place == BROKEN:
        return UNREAD
    local = days * DAY + clock.value
    if place < len(data) and data[place] == SPACE:
        place += 1
    if place == len(data):
        return int(local)
    if data[place] == PLUS or data[place] == MINUS:
        sign = 1 if data[place] == MINUS else -1
        end, hours = _digits(data, place + 1, 2)
        minutes = NONE
        if end != BROKEN and end < len(data):
            end, minutes = _digits(data, end + 1 if data[end] == COLON else end, 2)
        if end != len(data) or hours > 23 or minutes > 59:
            return UNREAD
        return int(local + sign * (hours * HOUR + minutes * MINUTE))
    if data[place] | SMALL == LOWER_Z:
        place += 1
    elif _letters(data, place, ZONES) != BROKEN:
        place += 3
    return int(local) if place == len(data) else UNREAD
