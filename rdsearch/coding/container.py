"""The outer shell of a ``.rdz`` file: a signature, a version, the network, sections, and a checksum.

::

    file     = "RDZ" version:u8 network levels crc:u32                    where there is nothing else
             | "RDZ" version:u8 network section* (crc:u32 | layer+)
    network  = head:varint payload                       head is four times the payload's length, plus its kind, 0 or
                                                         1, plus 2 in the first form
    levels   = payload                                   of the section of kind 2, up to the checksum
    section  = kind:u8 length:varint payload             kind is 2 .. 127
    layer    = kind:u8 length:varint payload crc:u32     kind is 128 .. 255

A checksum is the CRC-32 of all bytes before it but for other checksums, little-endian. A file has one at its end; a
file in quality layers has one behind each of them, so that its bytes up to there are a file, and none can be exchanged
or left out. A varint is a whole number in groups of seven bits, the lowest group first, the top bit set on every byte
but the last.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from rdsearch.errors import FileFormatError

SIGNATURE = b"RDZ"
VERSION = 3
"""Earlier ones were never released."""
LEVELS = 2
"""The kind of a section that a file need not name, nor give the length of, where it has no other."""
FIRST_LAYER = 128
"""Sections of this kind and above are quality layers."""
_KINDS_OF_NETWORK = 2
_BARE, _HEADS = 2, 4
_MAX_VARINT_BYTES = 9
_CRC_BYTES = 4


class Cursor:
    """Reads a byte string from front to back; every read past the end is a `FileFormatError`."""

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._data = memoryview(data)
        self._what = what
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return bytes(self.view(count))

    def view(self, count: int) -> memoryview:
        """The next ``count`` bytes, where they are."""
        if count > self.left:
            raise FileFormatError(
                f"{self._what} is cut short: {count} bytes are needed at position {self.position}, "
                f"{self.left} are there"
            )
        self.position += count
        return self._data[self.position - count : self.position]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(self.left)

    def byte(self) -> int:
        """The next byte as a number."""
        return self.view(1)[0]

    def varint(self) -> int:
        """The next varint."""
        value = 0
        for index in range(_MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value
        raise FileFormatError(f"{self._what} is damaged: a number runs on past {_MAX_VARINT_BYTES} bytes")


def varint(value: int) -> bytes:
    """``value`` >= 0 as a varint."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def write_sections(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """A whole file from (kind, payload) pairs: the network, of kind 0 or 1, then others, quality layers last."""
    (kind, network), *others = sections
    bare = [other for other, _ in others] == [LEVELS]
    parts = [SIGNATURE, bytes([VERSION]), varint(_HEADS * len(network) + _BARE * bare + kind), network]
    if bare:
        parts.append(others.pop()[1])
    crc = zlib.crc32(b"".join(parts))
    for kind, payload in others:
        head = bytes([kind]) + varint(len(payload))
        crc = zlib.crc32(payload, zlib.crc32(head, crc))
        parts += [head, payload]
        if kind >= FIRST_LAYER:
            parts.append(crc.to_bytes(_CRC_BYTES, "little"))
    if not others or others[-1][0] < FIRST_LAYER:
        parts.append(crc.to_bytes(_CRC_BYTES, "little"))
    return b"".join(parts)


def read_sections(data: bytes) -> list[tuple[int, bytes]]:
    """The (kind, payload) pairs of a file, the network first, its checksums tested.

    Raises:
        FileFormatError: The file is foreign, of another version, cut short, damaged, or has bytes after its end.
    """
    return [(kind, bytes(payload)) for kind, payload, _ in walk(data)]


def layer_ends(data: bytes) -> list[int]:
    """Positions behind each quality layer of a file: where it may be cut.

    Raises:
        FileFormatError: As for `read_sections`.
    """
    return [end for kind, _, end in walk(data) if kind >= FIRST_LAYER]


def _opened(data: bytes) -> Cursor:
    """A file behind its signature and version."""
    if not data:
        raise FileFormatError("the file is empty; a .rdz file has at least a header")
    if not data.startswith(SIGNATURE[: len(data)]):
        raise FileFormatError(f"not a .rdz file: it begins with {data[:4]!r}, not {SIGNATURE!r}")
    cursor = Cursor(data, "the file")
    cursor.take(len(SIGNATURE))
    version = cursor.byte()
    if version != VERSION:
        raise FileFormatError(
            f"the file has format version {version}; this rdsearch reads version {VERSION}: "
            + ("install a newer rdsearch" if version > VERSION else "it was written before the first release")
        )
    return cursor


def walk(data: bytes) -> Iterator[tuple[int, memoryview, int]]:
    """Kind, payload where it is, and end of section after section; that of a quality layer is its checksum's.

    Raises:
        FileFormatError: As for `read_sections`, once the faulty part is reached.
    """
    cursor = _opened(data)
    length, head = divmod(cursor.varint(), _HEADS)
    payload = cursor.view(length)
    yield head % _KINDS_OF_NETWORK, payload, cursor.position
    if head & _BARE:
        payload = cursor.view(max(cursor.left - _CRC_BYTES, 0))
        yield LEVELS, payload, cursor.position
    crc, summed, layered = 0, 0, False
    while cursor.left > (0 if layered else _CRC_BYTES):
        kind = cursor.byte()
        if kind < _KINDS_OF_NETWORK:
            raise FileFormatError(f"the file has a section of impossible kind {kind}; it is spliced or damaged")
        if layered and kind < FIRST_LAYER:
            raise FileFormatError(f"section {kind} follows a quality layer of the file; it is spliced or damaged")
        payload = cursor.view(cursor.varint())
        if kind >= FIRST_LAYER:
            layered = True
            crc, summed = zlib.crc32(memoryview(data)[summed : cursor.position], crc), cursor.position + _CRC_BYTES
            _check(cursor, crc)
        yield kind, payload, cursor.position
    if not layered:
        _check(cursor, zlib.crc32(memoryview(data)[: cursor.position]))


def _check(cursor: Cursor, crc: int) -> None:
    if cursor.take(_CRC_BYTES) != crc.to_bytes(_CRC_BYTES, "little"):
        raise FileFormatError("the file is damaged: its checksum does not match")
