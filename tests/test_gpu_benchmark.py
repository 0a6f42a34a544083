from __future__ import annotations

import json

import pytest

from benchmarks import gpu


def test_the_benchmark_of_a_gpu_runs_dry_on_a_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "WAYS", {"uniform": {}})
    assert gpu.main(["cpu", "--parts", "solver,round,step,shares"]) == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    figures = {line.pop("figure"): line for line in lines}
    assert list(figures)[:2] == ["machine", "solver: 32 x 288, cpu"]
    assert figures["round: uniform"]["same_bytes_twice"]
    assert figures["round: uniform"]["score"] == figures["round: uniform"]["score_on_cpu"]
    assert figures["step: levels"]["ms"] > 0
    assert figures["shares"] == {"at": figures["shares"]["at"], "skipped": "no GPU"}


def test_one_part_that_fails_leaves_the_others_their_turn_and_is_named_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(gpu, "measure_solver", fail)
    assert gpu.main(["cpu", "--parts", "solver"]) == ["solver"]
    assert '"error": "RuntimeError: out of luck"' in capsys.readouterr().out
