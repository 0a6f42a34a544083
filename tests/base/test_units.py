from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.base.units import (
    UnitError,
    format_duration,
    format_number,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
)
from rdsearch.errors import RdsearchError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("812", 812),
        ("812B", 812),
        ("20k", 20_000),
        ("20 kB", 20_000),
        ("20KB", 20_000),
        ("1.5M", 1_500_000),
        ("0.3k", 300),
        (".5k", 500),
        ("16KiB", 16_384),
        ("16Ki", 16_384),
        ("2mib", 2_097_152),
        ("1G", 1_000_000_000),
        (" 5 k ", 5_000),
        ("1.0005k", 1_000),
    ],
)
def test_parse_size_reads_what_people_write(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "20x", "-5k", "1e3", "20 k B", "5iB", "nan", "1,000", "٣k", "2 0"])
def test_parse_size_says_what_is_allowed(text: str) -> None:
    with pytest.raises(RdsearchError, match=r"is no size: .*20k = 20 000") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0", "0k", "0.4"])
def test_parse_size_refuses_less_than_a_byte(text: str) -> None:
    with pytest.raises(ValueError, match="less than a byte"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999, "999 B"),
        (999.6, "1.00 kB"),
        (1_000, "1.00 kB"),
        (8_562, "8.56 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_501, "1.00 MB"),
        (1_084_392, "1.08 MB"),
        (5_000_000_000, "5.00 GB"),
        (10**18, "1000000 TB"),
    ],
)
def test_format_size_has_three_digits(size: float, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, 10**14))
def test_a_formatted_size_reads_back_within_its_three_digits(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.0051)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("45s", 45),
        ("90m", 5_400),
        ("90min", 5_400),
        ("2h", 7_200),
        ("1.5h", 5_400),
        ("1h30m", 5_400),
        ("1d 12h", 129_600),
        ("2H", 7_200),
        ("0.5", 0.5),
    ],
)
def test_parse_duration_reads_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2w", "-2h", "1h-5m", "1h 30", "inf", "nan", "1:30"])
def test_parse_duration_says_what_is_allowed(text: str) -> None:
    with pytest.raises(RdsearchError, match=r"is no duration: .*1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0h", "0h0m"])
def test_parse_duration_refuses_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="no time at all"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.35, "0.35 s"),
        (9.996, "10.0 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3_599.6, "1 h 00 min"),
        (5_432, "1 h 31 min"),
        (86_399, "1 d 00 h"),
        (273_600, "3 d 04 h"),
    ],
)
def test_format_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.3125, "0.31"),
        (0.9, "0.9"),
        (0.925, "0.925"),
        (0.992249, "0.9922"),
        (0.9962723, "0.9963"),
        (-0.9962723, "-0.9963"),
        (0.99996, "0.99996"),
        (1.0, "1"),
        (1.04, "1"),
        (1 - 1e-12, "1"),
        (12.34, "12"),
        (99.96, "100"),
        (250.4, "250"),
        (1e-5, "1e-05"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_read_at_a_glance(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("text", "share"), [("0.01", 0.01), ("1%", 0.01), ("1 %", 0.01), ("0.5%", 0.005), ("12.5%", 0.125), ("1e-3", 0.001)]
)
def test_a_share_is_a_part_of_1_or_a_percentage(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "one", "-1%", "1%%", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match=r"0\.01 and 1% are the same"):
        parse_share(text)
