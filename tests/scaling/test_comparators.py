"""The paper's comparators: what is computed agrees with what is printed."""

from __future__ import annotations

import pytest

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.report.comparators import draw

FOUND = scalenet.comparators()
KNOWN = [row for row in FOUND if row.name is not None]


def test_all_of_table_2_is_there_and_the_family_is_computed() -> None:
    assert len(FOUND) == 24
    assert [row.name for row in KNOWN if row.model.startswith("EfficientNet")] == [
        f"efficientnet_b{n}" for n in range(8)
    ]


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.name)
def test_costs_are_those_that_are_printed_to_their_digits(row: scalenet.Comparator) -> None:
    assert row.params == pytest.approx(row.published_params, rel=0.03)
    assert row.flops == pytest.approx(row.published_flops, rel=0.06)  # ResNet-152's 11.5 G are printed as 11
    assert row.params == scalenet.cost(row.name or "").params


@pytest.mark.parametrize(("form", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_figures_are_the_same_bytes_again(form: str, start: bytes) -> None:
    drawn = draw(FOUND, form)
    assert drawn.startswith(start)
    assert drawn == draw(FOUND, form)


def test_a_figure_names_every_network() -> None:
    text = draw(FOUND, "svg").decode()
    assert all(row.model.removeprefix("EfficientNet-") in text for row in FOUND)
    with pytest.raises(ScalenetError, match="no figure as 'gif'"):
        draw(FOUND, "gif")
