"""The notebook runs from a baseline to a family, and ends with files that verify."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import scalenet
from scalenet.arch import registry

NOTEBOOK = Path(__file__).parents[2] / "examples" / "baseline_to_family.py"


def test_the_notebook_goes_from_a_baseline_to_a_family(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.setattr(registry, "_registered", {})
    names = {"__name__": "__main__"}
    with contextlib.chdir(tmp_path):
        exec(compile(NOTEBOOK.read_text(encoding="utf-8"), str(NOTEBOOK), "exec"), names)
    folder = tmp_path / "runs" / "baseline_to_family"
    assert all((folder / f"{name}.png").stat().st_size > 1000 for name in ("shares", "cost"))
    own = scalenet.cost(names["baseline"]).flops
    for config, times in zip(names["family"], (2, 4, 8), strict=True):
        assert abs(scalenet.cost(folder / f"{config.name}.yaml").flops / own / times - 1) < 0.011
        assert scalenet.verify(folder / f"{config.name}.yaml") == []
    assert names["search"].answer.alpha == names["family"][0].scaling.rule.ray.alpha
    assert names["result"].top1 > 0.25
    assert "be told from it" in capsys.readouterr().out
