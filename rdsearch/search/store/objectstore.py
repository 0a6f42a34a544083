"""A prefix of an object store (``s3://bucket/prefix``) as the place where a search keeps what it has."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rdsearch.errors import SearchError
from rdsearch.search.store.patience import patiently
from rdsearch.search.store.places import Place, R, T

SCHEMES = ("s3",)
"""Object stores that are known to work."""
_SECRET = re.compile("key|secret|token|password", re.IGNORECASE)
"""In the names of an address's options."""
_OPTIONS = ("region", "endpoint_override", "scheme")
"""What an address may say of the connection."""
_REQUESTS_AT_ONCE = 32
_CONNECT_SECONDS = 10


@dataclass(frozen=True)
class ObjectStore(Place):
    """Objects below a prefix of a bucket, such as ``s3://bucket/prefix``, by boto3: one request to each call.

    Credentials, region and endpoint come from the environment of each process that uses it (``AWS_…``), or from
    the address: ``s3://bucket/prefix?region=eu-west-1&endpoint_override=host:9000&scheme=http``.

    Attributes:
        address: The prefix's.
    """

    address: str

    @cached_property
    def _client(self) -> Any:
        options = {key: values[-1] for key, values in parse_qs(urlsplit(self.address).query).items()}
        environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
        return _connected(tuple(sorted(options.items())), environment)

    @cached_property
    def _root(self) -> tuple[str, str]:
        parts = urlsplit(self.address)
        return parts.netloc, parts.path.strip("/")

    def __getstate__(self) -> dict[str, Any]:
        # The connection stays behind, and with it whatever credentials it was made from.
        return {"address": self.address}

    def below(self, name: str) -> ObjectStore:
        """The place one level down."""
        parts = urlsplit(self.address)
        return ObjectStore(parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl())

    def _key(self, name: str) -> str:
        return f"{self._root[1]}/{name}".rstrip("/")

    def _ask(self, request: str, **options: Any) -> Any:
        """One request, made again while its failure may pass."""

        def ask() -> Any:
            with _as_os_errors():
                return getattr(self._client, request)(Bucket=self._root[0], **options)

        return patiently(ask, _may_pass)

    def read(self, name: str) -> bytes:
        """An object's content."""

        def read() -> bytes:
            with _as_os_errors():
                return bytes(self._client.get_object(Bucket=self._root[0], Key=self._key(name))["Body"].read())

        return patiently(read, _may_pass)

    def write(self, name: str, data: bytes) -> None:
        """Put an object: it appears whole when the upload is complete."""
        self._ask("put_object", Key=self._key(name), Body=data)

    def create(self, name: str, data: bytes) -> bool:
        """Put an object unless there is one; whether it was put."""
        try:
            self._ask("put_object", Key=self._key(name), Body=data, IfNoneMatch="*")
        except FileExistsError:
            return False
        except NotImplementedError:  # by a store that knows no conditions
            if self.exists(name):
                return False
            self.write(name, data)
        return True

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        self._ask("delete_object", Key=self._key(name))

    def names(self, folder: str) -> list[str]:
        """What is below a prefix, one level deep."""
        start = len(f"{self._key(folder)}/")
        return [key[start:].rstrip("/") for key in self._listed(folder, Delimiter="/")]

    def exists(self, name: str) -> bool:
        """Whether there is an object."""
        try:
            self._ask("head_object", Key=self._key(name))
        except FileNotFoundError:
            return False
        return True

    def tree(self, folder: str = "") -> list[str]:
        """Names of all objects below a prefix, however deep, in order."""
        start = len(f"{self._key('')}/")
        return sorted(key[start:] for key in self._listed(folder))

    def _listed(self, folder: str, **options: str) -> Iterator[str]:
        """Keys below a prefix, a thousand to a request."""
        prefix = f"{self._key(folder)}/"
        after: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=prefix, **options, **after)
            yield from (found["Prefix"] for found in page.get("CommonPrefixes", ()))
            # Other programs mark folders by empty objects.
            yield from (found["Key"] for found in page.get("Contents", ()) if not found["Key"].endswith("/"))
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def published(self, folder: str, marker: str) -> list[str]:
        """The folders that have their marker; those without are drafts."""
        return [name.rpartition("/")[0] for name in self.tree(folder) if name.endswith(f"/{marker}")]

    def publish(self, folder: str, parts: Mapping[str, bytes], marker: str) -> bool:
        """Put the parts, and the marker after all of them, unless another worker's is there."""
        others = [name for name in parts if name != marker]
        self.each(lambda name: self.write(f"{folder}/{name}", parts[name]), others)
        return self.create(f"{folder}/{marker}", parts[marker])

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
        return f"{urlsplit(self.address).scheme}://{self._root[0]}/{self._key(name)}".rstrip("/")

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Many at once: each costs a round trip."""
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(function, items))


@lru_cache(maxsize=8)
def _connected(options: tuple[tuple[str, str], ...], environment: tuple[tuple[str, str], ...]) -> Any:
    """A client, which many threads may use at once: one to each way to a store, since to make it takes a while."""
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
    except ImportError as error:
        raise SearchError(f"a search in S3 needs boto3 ({error}): pip install 'rdsearch[s3]'") from None
    known, settings = dict(environment), dict(options)
    endpoint = settings.get("endpoint_override")
    if endpoint is not None:
        endpoint = f"{settings.get('scheme', 'https')}://{endpoint}"
    own = endpoint or known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL")
    with _as_os_errors():
        session = botocore.session.get_session()
        # To parse the date of every object takes most of the time of a long list, and nobody asks for it.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        return boto3.session.Session(botocore_session=session).client(
            "s3",
            region_name=settings.get("region", known.get("AWS_REGION")),
            endpoint_url=endpoint,
            config=Config(
                max_pool_connections=_REQUESTS_AT_ONCE,
                retries={"mode": "standard", "max_attempts": 3},
                connect_timeout=_CONNECT_SECONDS,
                # Of the stores that are not Amazon's, few know bucket names as hosts, or its newer checksums.
                s3={"addressing_style": "path" if own else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """The client's errors as those that a file system has."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in ("NoSuchKey", "404"):
            raise FileNotFoundError(str(error)) from None
        if status in (400, 401, 403, 404):
            raise PermissionError(str(error)) from None
        if status == _EXISTS:
            raise FileExistsError(str(error)) from None
        if status == _NOT_IMPLEMENTED:
            raise NotImplementedError(str(error)) from None
        raise OSError(str(error)) from None
    except BotoCoreError as error:
        lasting = type(error).__name__ in _LASTING
        raise (PermissionError if lasting else OSError)(str(error)) from None


_EXISTS, _NOT_IMPLEMENTED = 412, 501
_LASTING = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "InvalidRegionError",
    "ProfileNotFound",
    "ParamValidationError",
    "SSLError",
)
"""Errors of the client that are the same at the next attempt."""


def _may_pass(error: Exception) -> bool:
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | PermissionError | FileExistsError)


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
    unknown = sorted(parse_qs(parts.query, keep_blank_values=True).keys() - set(_OPTIONS))
    if unknown:
        raise SearchError(f"{address}: {unknown[0]} is no option of an address; there are {', '.join(_OPTIONS)}")
    return ObjectStore(address)
