"""The README's figure is what its script draws."""

from __future__ import annotations

from picture import FIGURE, answered, drawn


def test_the_figure_is_drawn_again_to_the_byte(tmp_path):
    assert drawn(answered(tmp_path)) == FIGURE.read_bytes()
