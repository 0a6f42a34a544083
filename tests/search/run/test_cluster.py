"""What of a trial fits on a cluster."""

from __future__ import annotations

import pytest

from rdsearch.config.searchfile import ResourceConfig
from rdsearch.errors import SearchError
from rdsearch.search.run import cluster


@pytest.mark.parametrize(
    ("resources", "total", "concurrent"),
    [
        ({"cpu": 1}, {"CPU": 2.0}, 2),
        ({"cpu": 0.5}, {"CPU": 2.0}, 4),
        ({"cpu": 1, "gpu": 0.25}, {"CPU": 8.0, "GPU": 1.0}, 4),
        ({"cpu": 1, "gpu": 0.25}, {"CPU": 3.0}, 3),
        ({"cpu": 1, "concurrent": 2}, {"CPU": 16.0}, 2),
    ],
)
def test_slots_are_what_fits(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], total: dict[str, float], concurrent: int
) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: [total])
    assert cluster.slots(ResourceConfig(**resources)).concurrent == concurrent


def test_trials_are_counted_by_node(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 3.0}, {"CPU": 3.0}, {"CPU": 8.0, "GPU": 2.0}]
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    assert cluster.slots(ResourceConfig(cpu=2)).concurrent == 1 + 1 + 4
    assert cluster.slots(ResourceConfig(cpu=1, gpu=0.4)).concurrent == 2 * 2
    assert cluster.slots(ResourceConfig(cpu=0.1, gpu=0.1)).concurrent == 2 * 10
    assert cluster.slots(ResourceConfig(cpu=1, gpu=1)).concurrent == 2


def test_trial_that_fits_on_no_single_node_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: [{"CPU": 2.0}, {"CPU": 2.0}, {"memory": 1e9}])
    message = r"asks for 4 cores and 0 GPUs on one node, .* 0 cores and 0 GPUs, 2 cores and 0 GPUs \(2 nodes\)"
    with pytest.raises(SearchError, match=message):
        cluster.slots(ResourceConfig(cpu=4))


def test_a_node_that_joins_late_is_asked_for_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[dict[str, float]]] = []
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "_ask_for_nodes", asked.append)
    monkeypatch.setattr(cluster, "_nodes", lambda: [{}, {"CPU": 4.0}] if asked else [{}])
    assert cluster.slots(ResourceConfig(cpu=2), grows=True).concurrent == 2
    assert asked == [[{"CPU": 2}], []], "the request is withdrawn, or the node would be kept for ever"
    assert cluster.slots(ResourceConfig(cpu=2, concurrent=64), grows=True).concurrent == 64
