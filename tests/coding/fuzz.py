"""Mutated ``.rdz`` files: each is refused with one clear error, or gives a network; nothing else happens.

    python -m tests.coding.fuzz --files 100000

Mutations of the first kind leave the checksums as they were: such a file has to be refused, or hold the very network of
a file that it was made of, or of one that this may be cut to. Those of the second kind forge the checksums: such a file
may hold another network.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from rdsearch.coding.cells import Cells
from rdsearch.coding.container import read_sections, write_sections
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import (
    LEVELS,
    LISTED,
    REGISTERED,
    NetworkFile,
    decode_file,
    encode_file,
    prefix_ends,
    vector_shapes,
)
from rdsearch.coding.progressive import Refinement
from rdsearch.errors import FileFormatError

LIMIT = 4 << 30
"""Bytes of address space that the script gives itself."""
Sections = list[tuple[int, bytes]]
LAYOUT = Layout(
    (
        Entry("weight", "conv.weight", (6, 3, 3, 3)),
        Entry("batchnorm", "norm", (6,), "1e-05"),
        Entry("weight", "fc.weight", (5, 6)),
        Entry("vector", "fc.bias", (5,)),
        Entry("buffer", "table", (2, 2), "int64"),
        Entry("tied", "out.weight", (5, 6), "fc.weight"),
    )
)


def known(network_id: str) -> Layout:
    if network_id == "small":
        return LAYOUT
    raise LookupError(f"no {network_id}")


def network(seed: int, scale: float, network_id: str | None, recipe: dict[str, object] | None) -> NetworkFile:
    random = np.random.default_rng(seed)

    def levels(*shape: int) -> tuple[np.ndarray, float]:
        return np.round(scale * random.laplace(size=shape)).astype(np.int32), 0.25

    vectors = {"norm.scale": levels(6), "norm.shift": levels(6), "fc.bias": levels(5)}
    weights = {"conv.weight": levels(6, 3, 3, 3), "fc.weight": levels(5, 6)}
    return NetworkFile(LAYOUT, weights, vectors, {"table": random.integers(0, 99, (2, 2))}, network_id, recipe)


def layered(file: NetworkFile) -> bytes:
    """The file in three quality layers."""
    vectors = [file.vectors[name][0] for name, _ in vector_shapes(LAYOUT)]
    coarser = [
        Refinement([Cells(width, width)] * 2, [width] * 2, shift, [levels >> shift for levels in vectors])
        for width, shift in ((8, 3), (2, 1))
    ]
    return encode_file(file, coarser)


CORPUS = [
    encode_file(network(0, 2.0, None, {"pruning": {"rate": 0.2}})),
    encode_file(network(1, 0.4, "small", None)),
    encode_file(network(2, 300.0, "small", {"a": [1, None]})),
    encode_file(network(3, 0.0, None, None)),
    layered(network(4, 5.0, "small", None)),
]
PREFIXES = [data[:end] for data in CORPUS for end in prefix_ends(data)]
"""Every file, and what a layered one may be cut to."""


def flip(data: bytes, random: Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 5, 40])):
        damaged[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def overwrite(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    noise = random.randbytes(random.randint(1, 30))
    return data[:at] + noise + data[at + len(noise) :]


def truncate(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def insert(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return (
        data[:at] + random.choice([random.randbytes(random.randint(1, 20)), bytes(random.randint(1, 20))]) + data[at:]
    )


def delete(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.randint(1, 20) :]


def repeat(data: bytes, random: Random) -> bytes:
    first, last = sorted(random.choices(range(len(data) + 1), k=2))
    return data[:last] + data[first:]


def splice(data: bytes, random: Random) -> bytes:
    other = random.choice(CORPUS)
    return data[: random.randrange(len(data))] + other[random.randrange(len(other)) :]


def newer(data: bytes, random: Random) -> bytes:
    return data[:3] + bytes([random.randrange(256)]) + data[4:]


def foreign(data: bytes, random: Random) -> bytes:
    start = random.choice([b"PK\x03\x04", b"\x80\x02}q", b"\x89HDF\r\n", b"RDZ", b"rdz\x01", b"", b"{}"])
    return start + random.randbytes(random.randint(0, 200))


def forged_payload(data: bytes, random: Random) -> bytes:
    sections = read_sections(data)
    index = random.randrange(len(sections))
    kind, payload = sections[index]
    change = random.choice([flip, overwrite, truncate, insert, delete, repeat]) if payload else insert
    sections[index] = kind, change(payload, random)
    return write_sections(sections)


def forged_stream(data: bytes, random: Random) -> bytes:
    """Flags and steps as they were, decisions that are not."""
    sections = read_sections(data)
    index = next(index for index, (kind, _) in enumerate(sections) if kind >= LEVELS)
    kind, payload = sections[index]
    first = min(random.randint(8, 16), len(payload) - 1)
    sections[index] = kind, payload[:first] + flip(payload[first:], random)
    return write_sections(sections)


def forged_flags(data: bytes, random: Random) -> bytes:
    """Rows in order that are not, other steps."""
    sections = read_sections(data)
    index = next(index for index, (kind, _) in enumerate(sections) if kind >= LEVELS)
    kind, payload = sections[index]
    sections[index] = kind, flip(payload[:8], random) + payload[8:]
    return write_sections(sections)


def forged_exchange(data: bytes, random: Random) -> bytes:
    sections, others = read_sections(data), read_sections(random.choice(CORPUS))
    index = random.randrange(len(sections))
    sections[index] = sections[index][0], random.choice(others)[1]
    return write_sections(sections)


def forged_order(data: bytes, random: Random) -> bytes:
    sections = read_sections(data)
    random.shuffle(sections)
    return write_sections(sections)


def forged_set(data: bytes, random: Random) -> bytes:
    sections = read_sections(data)
    chosen = random.choices([*sections, (random.randint(1, 255), random.randbytes(9))], k=random.randint(1, 7))
    return write_sections(chosen)


def forged_layout(data: bytes, random: Random) -> bytes:
    rows = json.loads(LAYOUT.to_json())
    sizes = [0, 1, 2, 7, 2**10, 2**16, 2**20, 2**31, 2**31 + 1, 2**62, -1, 0.5, None, True]
    for _ in range(random.randint(1, 3)):
        row = random.choice(rows)
        what = random.randrange(4)
        row[what] = [
            random.choice(["weight", "vector", "batchnorm", "buffer", "tied", "code", None]),
            random.choice(["conv.weight", "norm.weight", "", "x" * 5000, 3]),
            random.choices(sizes, k=random.choice([0, 1, 2, 2, 3, 4, 5, 33])),
            random.choice(["", "float32", "object", "conv.weight", "nan", "1e-05", "int64", []]),
        ][what]
    return _with_layout(data, json.dumps(rows).encode())


def forged_huge(data: bytes, random: Random) -> bytes:
    """Shapes of up to 2^31 weights, over payloads that hold nothing like them."""
    power = random.randint(16, 31)
    cuts = sorted(random.choices(range(power + 1), k=random.randint(0, 3)))
    shape = [2 ** (b - a) for a, b in zip([0, *cuts], [*cuts, power], strict=True)]
    if len(shape) == 1:
        shape.append(1)
    real = dict(read_sections(random.choice(CORPUS[:-1])))[LEVELS]
    levels = random.choice([real[9:], random.randbytes(30), b"\0"])
    # A step, and rows in order or not: a zero, another, seven of the mantissa, two or three flags, zeros.
    sections: Sections = [(LISTED, b""), (LEVELS, random.choice([b"\0\0", b"\0\x60"]) + levels)]
    return _with_layout(write_sections(sections), json.dumps([["weight", "w", shape, ""]]).encode())


def forged_text(data: bytes, random: Random) -> bytes:
    return _with_layout(data, random.choice([b"[" * 10**6, b"[[]" + b",[]" * 10**6 + b"]", bytes(10**7), b"null"]))


def forged_name(data: bytes, random: Random) -> bytes:
    name = random.choice([b"small?x=1", b"os.system", random.randbytes(random.randint(0, 30)), b"\xff\xfe"])
    return write_sections([(REGISTERED, name + LAYOUT.fingerprint()), *read_sections(data)[1:]])


def _with_layout(data: bytes, text: bytes) -> bytes:
    return write_sections([(LISTED, zlib.compress(text, 1)), *read_sections(data)[1:]])


Mutation = Callable[[bytes, Random], bytes]
DAMAGE: list[Mutation] = [flip, overwrite, truncate, insert, delete, repeat, splice, newer, foreign]
FORGERY: list[Mutation] = [
    forged_payload,
    forged_stream,
    forged_flags,
    forged_exchange,
    forged_order,
    forged_set,
    forged_layout,
    forged_huge,
]
FORGERY += [forged_text, forged_name]
RARE = (forged_text,)  # up to a second each


@dataclass
class Outcome:
    """What became of the files: counts by mutation and result, and the slowest."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def _content(file: NetworkFile) -> list[object]:
    levels = [
        (name, array.tobytes(), step) for part in (file.weights, file.vectors) for name, (array, step) in part.items()
    ]
    return [file.layout, file.recipe, *levels, *(array.tobytes() for array in file.buffers.values())]


def fuzz(files: int, seed: int = 0) -> Outcome:
    """Decode this many mutated files, half of them with forged checksums."""
    originals = [_content(decode_file(data, known)) for data in PREFIXES]
    outcome = Outcome()
    for number in range(files):
        random = Random(f"{seed} {number}")
        mutation = random.choice(random.choice([DAMAGE, FORGERY]))
        if mutation in RARE and random.random() < 0.99:
            mutation = forged_payload
        name = mutation.__name__
        data = mutation(random.choice(CORPUS), random)
        started = time.process_time()
        try:
            file = decode_file(data, known)
        except FileFormatError:
            result = "refused"
        except Exception as error:  # the very thing that this looks for
            result = "crashed"
            outcome.faults.append(f"file {number}, {name}: {error!r}")
        else:
            small = sum(entry.size for entry in file.layout.entries) < 10**6
            result = "same network" if small and _content(file) in originals else "another network"
            if result == "another network" and mutation in DAMAGE:
                outcome.faults.append(f"file {number}, {name}: another network under unforged checksums")
        outcome.slowest = max(outcome.slowest, (time.process_time() - started, f"file {number}, {name}, {result}"))
        outcome.counts[name, result] += 1
    return outcome


def _memory_peak() -> str:
    """Peak of this process's resident memory, as Linux tells it."""
    status = Path("/proc/self/status")
    return status.read_text().split("VmHWM:")[1].split("\n")[0].strip() if status.exists() else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import resource
    import sys

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    fuzz(1)  # compiles, or reads what was compiled before
    before = _memory_peak()
    outcome = fuzz(arguments.files, arguments.seed)
    results = ["refused", "same network", "another network", "crashed"]
    write(f"{'mutation':<18}" + "".join(f"{result:>17}" for result in results))
    for mutation in (*DAMAGE, *FORGERY):
        counts = [outcome.counts[mutation.__name__, result] for result in results]
        write(f"{mutation.__name__:<18}" + "".join(f"{count:>17}" for count in counts))
    totals = [sum(count for (_, kind), count in outcome.counts.items() if kind == result) for result in results]
    write(f"{'all':<18}" + "".join(f"{count:>17}" for count in totals))
    write(f"slowest: {outcome.slowest[0]:.3f} s of processor time, {outcome.slowest[1]}")
    write(f"peak memory: {_memory_peak()}, {before} before the first file")
    write("\n".join(outcome.faults) or "no faults")
    raise SystemExit(bool(outcome.faults))


if __name__ == "__main__":
    main()
