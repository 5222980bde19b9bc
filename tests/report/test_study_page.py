"""The page of a study on a phone: nothing sticks out, and accuracies are seen without scrolling."""

from __future__ import annotations

import pytest
from browser import CHROMIUM, look

import scalenet

STUDY = """\
schema: scalenet-study/1
name: two
costs: [2, 4]
series:
  depth: {kind: ray, ray: depth}
  width: {kind: ray, ray: width}
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_of_a_study_fits_a_phone(tmp_path):
    (tmp_path / "two.yaml").write_text(STUDY)
    worth = iter(number / 20 for number in range(20))
    study = scalenet.study(
        tmp_path / "two.yaml",
        resolution=16,
        evaluate=lambda _, **__: next(worth),
        epochs=1,
        seeds=2,
        folder=tmp_path / "run",
        say=None,
    ).run(say=None)
    found = look(study.folder / "report.html", tmp_path, width=400)
    assert found["across"] <= 400
    assert found["wide"] == found["faint"] == found["small"] == found["console"] == []
    assert found["columns"][0][:3] == ["series", "accuracy, %", "±"]
