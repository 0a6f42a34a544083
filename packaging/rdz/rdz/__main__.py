"""``python -m rdz info FILE`` and ``python -m rdz decode FILE -o OUT.npz``."""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np

import rdz


def main() -> int:
    """Run a command; 2 for a file that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m rdz", description=rdz.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="what is in a file, and what each part of it costs")
    decode = commands.add_parser("decode", help="turn a file back into arrays")
    decode.add_argument("-o", "--output", type=Path, required=True, help="the .npz file to write")
    for command in (info, decode):
        command.add_argument("file", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "info":
            show(arguments.file)
        else:
            write(rdz.load(arguments.file), arguments.output)
    except (rdz.FileFormatError, OSError) as error:
        print(f"error: {arguments.file}: {error}", file=sys.stderr)
        return 2
    return 0


def show(path: Path) -> None:
    """Print the parts of a file, and its tensors of weights with their steps."""
    file = rdz.summary(path)
    print(f"network: {file.network_id or 'not a registered one; the file lists its tensors'}")
    if file.refinements > 1:
        print(f"quality layers: {file.refinement} of {file.refinements}")
    for name, size in [*file.parts.items(), ("file", sum(file.parts.values()))]:
        print(f"{size:>12,}  {name}")
    for entry in file.layout.of("weight"):
        print(f"{file.steps[entry.name]:>12.4g}  {entry.name} {'x'.join(map(str, entry.shape))}")


def write(state: dict[str, np.ndarray], path: Path) -> None:
    """Write arrays as an .npz file; not with `np.savez`, whose own parameters are names that a tensor may have."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in state.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


if __name__ == "__main__":
    sys.exit(main())
