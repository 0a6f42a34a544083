from __future__ import annotations

import pytest

from rdsearch.coding.registered import LAYOUTS, NUMBERED, decode_id, encode_id
from rdsearch.tasks import NETWORKS


def test_a_registered_name_takes_a_byte() -> None:
    assert encode_id("lenet5_caffe") == b"\x02"
    assert encode_id("resnet20?classes=100") == b"\x03?classes=100"


@pytest.mark.parametrize("network_id", [*NUMBERED, "resnet20?classes=100", "torchvision:resnet18", "lenet3000", ""])
def test_ids_come_back_as_they_were(network_id: str) -> None:
    assert decode_id(encode_id(network_id)) == network_id


def test_every_network_with_a_stored_layout_has_a_number() -> None:
    assert set(NUMBERED) == set(NETWORKS) == {path.stem for path in LAYOUTS.glob("*.json")}
