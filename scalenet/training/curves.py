"""The curves of a training as a picture: loss and top-1 over the epochs."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH, _HEIGHT, _MARGIN, _GAP = 480, 320, 60, 20
_INK, _PALE = (60, 60, 60), (225, 225, 225)
_COLOURS = {"training": (31, 119, 180), "held out": (214, 98, 20)}
_PANELS = {
    "loss": ({"training": "loss", "held out": "held_out_loss"}, 1.0),
    "top-1, %": ({"training": "accuracy", "held out": "held_out_top1"}, 100.0),
}

Points: TypeAlias = list[tuple[float, float]]
Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont


def curves_png(curve: Sequence[dict[str, float]]) -> bytes:
    """Return a PNG of a curve's records, one an epoch."""
    image = Image.new("RGB", (len(_PANELS) * _WIDTH, _HEIGHT), (255, 255, 255))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for number, (title, (columns, factor)) in enumerate(_PANELS.items()):
        lines = {
            name: [(record["epoch"], factor * record[column]) for record in curve if column in record]
            for name, column in columns.items()
        }
        _panel(draw, font, title, {name: points for name, points in lines.items() if points}, left=number * _WIDTH)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _panel(draw: ImageDraw.ImageDraw, font: Font, title: str, lines: dict[str, Points], *, left: int) -> None:
    values = [value for points in lines.values() for _, value in points]
    epochs = [epoch for points in lines.values() for epoch, _ in points]
    ticks = _ticks(min(values), max(values))
    across = _scale((min(epochs), max(epochs)), (left + _MARGIN, left + _WIDTH - _GAP))
    down = _scale((ticks[0], ticks[-1]), (_HEIGHT - _MARGIN, _MARGIN))
    for tick in ticks:
        draw.line([(across(min(epochs)), down(tick)), (across(max(epochs)), down(tick))], fill=_PALE)
        draw.text((left + _MARGIN - 6, down(tick)), f"{tick:g}", fill=_INK, font=font, anchor="rm")
    for epoch in sorted({min(epochs), max(epochs)}):
        draw.text((across(epoch), _HEIGHT - _MARGIN + 8), f"{epoch:g}", fill=_INK, font=font, anchor="mt")
    draw.text((left + _WIDTH / 2, _HEIGHT - 20), "epoch", fill=_INK, font=font, anchor="mm")
    draw.text((left + _MARGIN, 24), title, fill=_INK, font=font, anchor="lm")
    for place, (name, points) in enumerate(lines.items()):
        spots = [(across(epoch), down(value)) for epoch, value in points]
        draw.line(spots, fill=_COLOURS[name], width=2)
        for x, y in spots:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_COLOURS[name])
        draw.text((left + _WIDTH - _GAP - 80 * place, 24), name, fill=_COLOURS[name], font=font, anchor="rm")


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from at or below `low` to at or above `high`."""
    span = max(high - low, 0.1 * abs(high), 1e-3)  # one value alone has a range too
    step = 10 ** math.floor(math.log10(span))
    step = next(step * part for part in (0.2, 0.5, 1, 2) if span / (step * part) <= 6)
    return [round(step * place, 9) for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _scale(numbers: tuple[float, float], pixels: tuple[float, float]) -> Callable[[float], float]:
    """Return the map of a range of numbers to a range of pixels."""
    factor = (pixels[1] - pixels[0]) / ((numbers[1] - numbers[0]) or 1.0)
    return lambda value: pixels[0] + (value - numbers[0]) * factor
