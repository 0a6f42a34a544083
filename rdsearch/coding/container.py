"""The outer shell of a ``.rdz`` file: a signature, a version, and sections with a checksum each.

::

    file     = "RDZ" version:u8 section* end
    section  = kind:u8 length:varint payload crc:u32     kind is not 0
    end      = 0:u8

The checksum is the CRC-32 of the section's kind and payload, little-endian. A varint is a whole number in
groups of seven bits, the lowest group first, the top bit set on every byte but the last.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from rdsearch.errors import FileFormatError

SIGNATURE = b"RDZ"
VERSION = 1
_END = 0
_MAX_VARINT_BYTES = 9


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


def _crc(kind: int, payload: bytes) -> bytes:
    return zlib.crc32(payload, zlib.crc32(bytes([kind]))).to_bytes(4, "little")


def write_sections(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """A whole file from (kind, payload) pairs; kinds are in 1..255."""
    parts = [SIGNATURE, bytes([VERSION])]
    for kind, payload in sections:
        parts += [bytes([kind]), varint(len(payload)), payload, _crc(kind, payload)]
    return b"".join([*parts, bytes([_END])])


def read_sections(data: bytes) -> list[tuple[int, bytes]]:
    """The (kind, payload) pairs of a file, their checksums tested.

    Raises:
        FileFormatError: The file is foreign, of a newer version, cut short, damaged, or has bytes after its end.
    """
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
    sections = []
    while (kind := cursor.byte()) != _END:
        payload = cursor.take(cursor.varint())
        if cursor.take(4) != _crc(kind, payload):
            raise FileFormatError(f"section {kind} of the file is damaged: its checksum does not match")
        sections.append((kind, payload))
    if cursor.left:
        raise FileFormatError(f"{cursor.left} bytes follow the end of the file; it is spliced or damaged")
    return sections


def framing_bytes(payload: bytes) -> int:
    """Bytes that a section costs beside its payload."""
    return 1 + len(varint(len(payload))) + 4


HEADER_BYTES = len(SIGNATURE) + 1 + 1
"""Signature, version, and the end mark."""
