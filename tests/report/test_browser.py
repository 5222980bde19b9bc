"""The page in a real browser, on a phone and on a desk: nothing sticks out, all can be read, commands stay whole."""

from __future__ import annotations

import pytest
from browser import CHROMIUM, look

from scalenet.report.page import write_report

SUMMARY = (
    "best: α = 1.2, β = 1.1, γ = 1.15: 71.30 ± 0.40 %, 1.99× the FLOPs",
    "no candidate is better by more than 0.97 points (95 %)",
    "more training narrows this: scalenet search resume /a/folder/with/a/long/name/that/is/wider/than/phones --spend 2",
    "learning rate: 0.0011, by a pilot of the baseline at " + ", ".join(f"0.{number:05}" for number in range(20)),
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_its_window_and_can_be_read(tmp_path, invent, width):
    page = write_report(invent(40, rungs=2, curves=True, summary=SUMMARY, chance=0.1), tmp_path)
    found = look(page, tmp_path, width=width)
    assert found["width"] == width
    assert found["across"] <= width
    assert found["wide"] == found["faint"] == found["small"] == found["broken"] == found["console"] == []
    (columns,) = found["columns"]
    assert columns[:4] == ["rank", "standing", "accuracy, %", "±"]  # what is seen without scrolling
    ((scrolls, shadows),) = found["cued"]
    assert scrolls == (width == 400)
    assert shadows.count("gradient") == 4


def test_a_command_is_code_of_its_own(tmp_path, invent):
    text = write_report(invent(summary=SUMMARY), tmp_path).read_text()
    command = SUMMARY[2].partition(": ")[2]
    assert f"narrows this:\n<code>{command}</code>" in text
    assert text.count("<code>") == 1
