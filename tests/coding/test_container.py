from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.container import FIRST_LINK, Cursor, link_ends, read_sections, varint, write_sections
from rdsearch.errors import FileFormatError

Sections = list[tuple[int, bytes]]
payloads = st.binary(max_size=300)
sections_ = st.lists(st.tuples(st.integers(1, FIRST_LINK - 1), payloads), max_size=5)
links_ = st.lists(st.tuples(st.integers(FIRST_LINK, 255), payloads), min_size=1, max_size=4)
SMALL = write_sections([(1, b"network"), (2, b""), (3, bytes(range(200)))])


@given(sections_)
def test_sections_come_back_as_they_were(sections: list[tuple[int, bytes]]) -> None:
    assert read_sections(write_sections(sections)) == sections


@given(sections_, links_)
def test_a_file_with_links_ends_with_any_of_them_and_nowhere_else(sections: Sections, links: Sections) -> None:
    data = write_sections([*sections, *links])
    ends = link_ends(data)
    assert read_sections(data) == [*sections, *links]
    assert ends[-1] == len(data)
    for count, end in enumerate(ends, start=1):
        assert data[:end] == write_sections([*sections, *links[:count]])
        assert read_sections(data[:end]) == [*sections, *links[:count]]
    for length in set(range(len(data))) - set(ends):
        with pytest.raises(FileFormatError):
            read_sections(data[:length])


@given(sections_, links_, links_)
def test_a_link_of_another_file_is_refused(sections: Sections, links: Sections, others: Sections) -> None:
    mine, foreign = write_sections([*sections, *links]), write_sections([*sections, (FIRST_LINK, b"other"), *others])
    # What follows the first link of a file, put behind the first link of another.
    spliced = mine[: link_ends(mine)[0]] + foreign[link_ends(foreign)[0] :]
    if links[0] != (FIRST_LINK, b"other"):
        with pytest.raises(FileFormatError, match="its checksum does not match"):
            read_sections(spliced)


def test_neither_a_section_nor_an_end_mark_follows_a_link() -> None:
    linked = write_sections([(1, b"network"), (FIRST_LINK, b"layer")])
    plain = write_sections([(2, b"more")])[4:]
    with pytest.raises(FileFormatError, match="section 2 follows a quality layer"):
        read_sections(linked + plain)
    with pytest.raises(FileFormatError, match="section 0 follows a quality layer"):
        read_sections(linked + b"\x00")


@given(st.integers(0, 2**63 - 1))
def test_varints_come_back_in_as_few_bytes_as_hold_them(value: int) -> None:
    coded = varint(value)
    cursor = Cursor(coded, "a number")
    assert cursor.varint() == value
    assert cursor.left == 0
    assert len(coded) == max(1, -(-value.bit_length() // 7))


def test_a_varint_that_never_ends_is_refused() -> None:
    with pytest.raises(FileFormatError, match="runs on past 9 bytes"):
        Cursor(b"\xff" * 20, "a number").varint()


def test_reading_past_the_end_is_refused() -> None:
    cursor = Cursor(b"abc", "the thing")
    assert cursor.take(2) == b"ab"
    with pytest.raises(FileFormatError, match="the thing is cut short: 2 bytes are needed at position 2, 1 are there"):
        cursor.take(2)
    assert cursor.rest() == b"c"
    with pytest.raises(FileFormatError, match="cut short"):
        cursor.byte()


def test_the_layout_of_a_file_is_what_the_format_says() -> None:
    # CRC-32 of b"\x07hello", computed apart from this code.
    assert write_sections([(7, b"hello")]) == b"RDZ\x01\x07\x05hello" + (0x5CF5C080).to_bytes(4, "little") + b"\x00"


@pytest.mark.parametrize("length", range(len(SMALL)))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(FileFormatError):
        read_sections(SMALL[:length])


@pytest.mark.parametrize("position", range(len(SMALL)))
def test_every_flipped_bit_is_found(position: int) -> None:
    for bit in range(8):
        damaged = bytearray(SMALL)
        damaged[position] ^= 1 << bit
        with pytest.raises(FileFormatError):
            read_sections(bytes(damaged))


@given(st.binary(max_size=60))
def test_whatever_the_bytes_there_is_a_result_or_a_clear_error(data: bytes) -> None:
    for candidate in (data, b"RDZ\x01" + data):
        try:
            sections = read_sections(candidate)
        except FileFormatError:
            continue
        assert sum(len(payload) for _, payload in sections) < len(candidate)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 a zip", r"not a \.rdz file: it begins with b'PK"),
        (b"R", "cut short"),
        (b"RDZ", "cut short"),
        (b"RDZ\x02\x00", "format version 2; this rdsearch reads version 1: install a newer rdsearch"),
        (b"RDZ\x00\x00", "format version 0; this rdsearch reads version 1: it may be damaged"),
        (SMALL + b"\x00", "1 bytes follow the end of the file"),
        (SMALL + SMALL, "bytes follow the end of the file"),
        (SMALL[:-5] + b"\x00\x00\x00\x00\x00", "section 3 of the file is damaged: its checksum does not match"),
        (b"RDZ\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short: 9223372036854775807 bytes are needed"),
    ],
)
def test_each_kind_of_damage_has_its_message(data: bytes, said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        read_sections(data)
