"""Store the layouts of the registered networks: `python -m tests.compression.make_layouts` writes coding/layouts/*."""

from __future__ import annotations

import torch

from rdsearch.coding.registered import LAYOUTS
from rdsearch.compression.layout import layout_of
from rdsearch.tasks import NETWORKS
from rdsearch.tasks.networks.identity import build_network


def layouts() -> dict[str, bytes]:
    """The JSON text of each registered network's layout, by its name."""
    with torch.device("meta"):
        return {name: layout_of(build_network(name)).to_json() for name in NETWORKS}


def main() -> None:
    LAYOUTS.mkdir(exist_ok=True)
    for name, text in layouts().items():
        (LAYOUTS / f"{name}.json").write_bytes(text)


if __name__ == "__main__":
    main()
