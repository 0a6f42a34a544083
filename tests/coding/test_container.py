from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.coding.container import FIRST_LAYER, LEVELS, Cursor, layer_ends, read_sections, varint, write_sections
from rdsearch.errors import FileFormatError

Sections = list[tuple[int, bytes]]
payloads = st.binary(max_size=300)
networks_ = st.tuples(st.integers(0, 1), payloads)
others_ = st.lists(st.tuples(st.integers(2, FIRST_LAYER - 1), payloads), max_size=5)
sections_ = st.builds(lambda network, others: [network, *others], networks_, others_)
layers_ = st.lists(st.tuples(st.integers(FIRST_LAYER, 255), payloads), min_size=1, max_size=4)
SMALL = write_sections([(1, b"network"), (2, b""), (3, bytes(range(200)))])
BARE = write_sections([(0, b"network"), (LEVELS, bytes(range(50)))])


@given(sections_)
def test_sections_come_back_as_they_were(sections: list[tuple[int, bytes]]) -> None:
    assert read_sections(write_sections(sections)) == sections


@given(sections_, layers_)
def test_a_file_in_layers_ends_with_any_of_them_and_nowhere_else(sections: Sections, layers: Sections) -> None:
    data = write_sections([*sections, *layers])
    ends = layer_ends(data)
    assert read_sections(data) == [*sections, *layers]
    assert ends[-1] == len(data)
    for count, end in enumerate(ends, start=1):
        assert data[:end] == write_sections([*sections, *layers[:count]])
        assert read_sections(data[:end]) == [*sections, *layers[:count]]
    for length in set(range(len(data))) - set(ends):
        with pytest.raises(FileFormatError):
            read_sections(data[:length])


@given(sections_, layers_, layers_)
def test_a_layer_of_another_file_is_refused(sections: Sections, layers: Sections, others: Sections) -> None:
    mine, foreign = write_sections([*sections, *layers]), write_sections([*sections, (FIRST_LAYER, b"other"), *others])
    # What follows the first layer of a file, put behind the first layer of another.
    spliced = mine[: layer_ends(mine)[0]] + foreign[layer_ends(foreign)[0] :]
    if layers[0] != (FIRST_LAYER, b"other"):
        with pytest.raises(FileFormatError, match="its checksum does not match"):
            read_sections(spliced)


def test_no_section_follows_a_layer() -> None:
    layered = write_sections([(1, b"network"), (FIRST_LAYER, b"layer")])
    with pytest.raises(FileFormatError, match="section 2 follows a quality layer"):
        read_sections(layered + b"\x02\x04more")
    with pytest.raises(FileFormatError, match="section of impossible kind 0"):
        read_sections(layered + b"\x00")


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
    bare = b"RDZ\x03\x0enetlevels"
    assert write_sections([(0, b"net"), (LEVELS, b"levels")]) == bare + zlib.crc32(bare).to_bytes(4, "little")
    plain = b"RDZ\x03\x0dnet\x07\x05hello"
    assert write_sections([(1, b"net"), (7, b"hello")]) == plain + zlib.crc32(plain).to_bytes(4, "little")
    first, second = b"RDZ\x03\x0cnet\x80\x02ab", b"\x80\x01c"
    ends = [zlib.crc32(data).to_bytes(4, "little") for data in (first, first + second)]
    layered = [(0, b"net"), (FIRST_LAYER, b"ab"), (FIRST_LAYER, b"c")]
    assert write_sections(layered) == first + ends[0] + second + ends[1]


@pytest.mark.parametrize("data", [SMALL, BARE], ids=["sections", "bare"])
def test_every_truncation_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(FileFormatError):
            read_sections(data[:length])


@pytest.mark.parametrize("data", [SMALL, BARE], ids=["sections", "bare"])
def test_every_flipped_bit_is_found(data: bytes) -> None:
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FileFormatError):
                read_sections(bytes(damaged))


@given(st.binary(max_size=60))
def test_whatever_the_bytes_there_is_a_result_or_a_clear_error(data: bytes) -> None:
    for candidate in (data, b"RDZ\x03" + data):
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
        (b"RDZ\x04\x00", "format version 4; this rdsearch reads version 3: install a newer rdsearch"),
        (b"RDZ\x02\x00", "format version 2; this rdsearch reads version 3: it was written before the first release"),
        (SMALL + b"\x00", "cut short"),
        (SMALL + SMALL, "cut short"),
        (SMALL[:-4] + b"\x00\x00\x00\x00", "the file is damaged: its checksum does not match"),
        (b"RDZ\x03\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short: 2305843009213693951 bytes are needed"),
        (b"RDZ\x03\x02lev", "the file is cut short: 4 bytes are needed"),
    ],
)
def test_each_kind_of_damage_has_its_message(data: bytes, said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        read_sections(data)
