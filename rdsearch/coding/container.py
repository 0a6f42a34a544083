"""The outer shell of a ``.rdz`` file: a signature, a version, and sections with a checksum each.

::

    file     = "RDZ" version:u8 section* (end | link+)
    section  = kind:u8 length:varint payload crc:u32     kind is 1 .. 127
    link     = kind:u8 length:varint payload crc:u32     kind is 128 .. 255
    end      = 0:u8

The checksum of a section is the CRC-32 of its kind and payload, little-endian. That of a link goes on from the kinds
and payloads of everything before it: links are a chain, in which none can be exchanged or left out. A file with links
has no end mark; it may end after any of them, so that its bytes up to there are a file. A varint is a whole number in
groups of seven bits, the lowest group first, the top bit set on every byte but the last.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from rdsearch.errors import FileFormatError

SIGNATURE = b"RDZ"
VERSION = 1
FIRST_LINK = 128
"""Sections of this kind and above are links."""
_END = 0
_MAX_VARINT_BYTES = 9
_CRC_BYTES = 4


class Cursor:
    """Reads a byte string from front to back; every read past the end is a `FileFormatError`."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = memoryview(data)
        self._what = what
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > self.left:
            raise FileFormatError(
                f"{self._what} is cut short: {count} bytes are needed at position {self.position}, "
                f"{self.left} are there"
            )
        self.position += count
        return bytes(self._data[self.position - count : self.position])

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(self.left)

    def byte(self) -> int:
        """The next byte as a number."""
        return self.take(1)[0]

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
    """A whole file from (kind, payload) pairs; kinds are in 1..255, links come last."""
    parts = [SIGNATURE, bytes([VERSION])]
    chain, kind = 0, _END
    for kind, payload in sections:
        chain, crc = _checksums(kind, payload, chain)
        parts += [bytes([kind]), varint(len(payload)), payload, crc.to_bytes(_CRC_BYTES, "little")]
    return b"".join(parts if kind >= FIRST_LINK else [*parts, bytes([_END])])


def read_sections(data: bytes) -> list[tuple[int, bytes]]:
    """The (kind, payload) pairs of a file, their checksums tested.

    Raises:
        FileFormatError: The file is foreign, of a newer version, cut short, damaged, or has bytes after its end.
    """
    return list(_walk(_opened(data)))


def link_ends(data: bytes) -> list[int]:
    """Positions behind each link of a file: where it may be cut.

    Raises:
        FileFormatError: As for `read_sections`.
    """
    cursor = _opened(data)
    return [cursor.position for kind, _ in _walk(cursor) if kind >= FIRST_LINK]


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
            + ("install a newer rdsearch" if version > VERSION else "it may be damaged")
        )
    return cursor


def _walk(cursor: Cursor) -> Iterator[tuple[int, bytes]]:
    """Section after section, the cursor behind it."""
    chain, linked = 0, False
    while cursor.left or not linked:
        kind = cursor.byte()
        if linked and kind < FIRST_LINK:
            raise FileFormatError(f"section {kind} follows a quality layer of the file; it is spliced or damaged")
        if kind == _END:
            if cursor.left:
                raise FileFormatError(f"{cursor.left} bytes follow the end of the file; it is spliced or damaged")
            return
        linked = kind >= FIRST_LINK
        payload = cursor.take(cursor.varint())
        chain, crc = _checksums(kind, payload, chain)
        if cursor.take(_CRC_BYTES) != crc.to_bytes(_CRC_BYTES, "little"):
            raise FileFormatError(f"section {kind} of the file is damaged: its checksum does not match")
        yield kind, payload


def _checksums(kind: int, payload: bytes, chain: int) -> tuple[int, int]:
    """The chain's checksum with this section, and the section's own."""
    chain = zlib.crc32(payload, zlib.crc32(bytes([kind]), chain))
    return chain, chain if kind >= FIRST_LINK else zlib.crc32(payload, zlib.crc32(bytes([kind])))
