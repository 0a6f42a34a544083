"""A prefix of an object store (``s3://bucket/prefix``) as the place where a search keeps what it has."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rdsearch.errors import SearchError
from rdsearch.search.store.patience import patiently
from rdsearch.search.store.places import Place, R, T

SCHEMES = ("s3",)
"""Object stores that are known to work."""
_SECRET = re.compile("key|secret|token|password", re.IGNORECASE)
"""In the names of an address's options."""
_REQUESTS_AT_ONCE = 16


@dataclass(frozen=True)
class ObjectStore(Place):
    """Objects below a prefix of a bucket, such as ``s3://bucket/prefix``, by pyarrow's file systems.

    Credentials, region and endpoint come from the environment of each process that uses it (``AWS_…``), or from
    the address: ``s3://bucket/prefix?region=eu-west-1&endpoint_override=host:9000&scheme=http``.

    Attributes:
        address: The prefix's.
    """

    address: str

    @cached_property
    def _system(self) -> tuple[Any, str]:
        from pyarrow.fs import FileSystem

        try:
            system, prefix = FileSystem.from_uri(self.address)
        except (OSError, ValueError) as error:
            raise SearchError(f"{self.address} cannot be used: {error}") from None
        return system, prefix.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        # The connection stays behind, and with it whatever credentials it was made from.
        return {"address": self.address}

    def below(self, name: str) -> ObjectStore:
        """The place one level down."""
        parts = urlsplit(self.address)
        return ObjectStore(parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl())

    def _key(self, name: str) -> str:
        prefix = self._system[1]
        return f"{prefix}/{name}" if name else prefix

    def read(self, name: str) -> bytes:
        """An object's content."""

        def read() -> bytes:
            with self._system[0].open_input_file(self._key(name)) as stream:
                return bytes(stream.read())

        return patiently(read, _may_pass)

    def write(self, name: str, data: bytes) -> None:
        """Put an object: it appears whole when the upload is complete."""

        def write() -> None:
            with self._system[0].open_output_stream(self._key(name)) as stream:
                stream.write(data)

        patiently(write, _may_pass)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            patiently(lambda: self._system[0].delete_file(self._key(name)), _may_pass)

    def names(self, folder: str) -> list[str]:
        """What is below a prefix, one level deep."""
        from pyarrow.fs import FileSelector

        found = self._info(FileSelector(self._key(folder), allow_not_found=True))
        return [str(info.base_name) for info in found]

    def exists(self, name: str) -> bool:
        """Whether there is an object."""
        return bool(self._info(self._key(name)).is_file)

    def _info(self, what: Any) -> Any:
        return patiently(lambda: self._system[0].get_file_info(what), _may_pass)

    def tree(self, folder: str = "") -> list[str]:
        """Names of all objects below a prefix, however deep, in order."""
        from pyarrow.fs import FileSelector

        found = self._info(FileSelector(self._key(folder), recursive=True, allow_not_found=True))
        start = len(self._key("")) + 1
        return sorted(info.path[start:] for info in found if info.is_file)

    def published(self, folder: str, marker: str) -> list[str]:
        """The folders that have their marker; those without are drafts."""
        return [name.rpartition("/")[0] for name in self.tree(folder) if name.endswith(f"/{marker}")]

    def publish(self, folder: str, parts: Mapping[str, bytes], marker: str) -> None:
        """Put the parts, and the marker after all of them, unless another worker's has come in between."""
        sign = f"{folder}/{marker}"
        if self.exists(sign):
            return
        for name in parts.keys() - {marker}:
            self.write(f"{folder}/{name}", parts[name])
        if not self.exists(sign):
            self.write(sign, parts[marker])

    def withdraw(self, folder: str, marker: str) -> None:
        """Remove the marker; the parts have names of their own, and the next ones others."""
        self.remove(f"{folder}/{marker}")

    def sweep(self, folder: str) -> None:
        """Nothing: what has no marker counts for nothing, and to look for it costs a request a trial."""

    def part_name(self, name: str) -> str:
        """A name that nobody else gives: whichever marker comes last, the parts that it names are its own."""
        stem, dot, ending = name.partition(".")
        return f"{stem}-{uuid.uuid4().hex[:12]}{dot}{ending}"

    def path(self, name: str) -> None:
        """Nowhere on this machine."""
        return

    def where(self, name: str) -> str:
        """The object's address, without the options of the connection."""
        return f"{urlsplit(self.address).scheme}://{self._key(name)}".rstrip("/")

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Many at once: each costs a round trip."""
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(function, items))


_LASTING = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "INVALIDACCESSKEY", "SIGNATURE", "NO_SUCH_BUCKET", "CREDENTIALS")
"""What the library says of errors that are the same at the next attempt."""


def _may_pass(error: Exception) -> bool:
    lasting = isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError | IsADirectoryError)
    return isinstance(error, OSError) and not lasting and not any(word in str(error).upper() for word in _LASTING)


def is_address(text: str | os.PathLike[str]) -> bool:
    """Whether a user gave an address of an object store rather than a path."""
    return "://" in str(text)


def object_store(address: str) -> ObjectStore:
    """The object store at an address.

    Raises:
        SearchError: The scheme is not known, or there is no bucket in the address.
    """
    parts = urlsplit(address)
    hidden = [key for key in parse_qs(parts.query, keep_blank_values=True) if _SECRET.search(key)]
    if "@" in parts.netloc or hidden:
        raise SearchError(
            f"{parts.scheme}://…{parts.path}: the keys in it would be shown in messages and the report: leave them out "
            "of the address, and put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials"
        )
    if parts.scheme not in SCHEMES:
        allowed = ", ".join(f"{scheme}://BUCKET/PREFIX" for scheme in SCHEMES)
        raise SearchError(f"{address}: {parts.scheme}:// is not supported; allowed: a folder, or {allowed}")
    if not parts.netloc or not parts.path.strip("/"):
        raise SearchError(f"{address}: a bucket and a prefix are needed, as in {parts.scheme}://BUCKET/searches/NAME")
    return ObjectStore(address)
