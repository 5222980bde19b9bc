"""The embedded task: images rendered from a seed, so that a search runs without a download.

Each image shows one *striped object* among plain objects and striped clutter. There are 16 classes: four outlines
(disc, square, triangle, cross) times four stripe directions (0, 45, 90 and 135 degrees). The three dimensions of a
network are asked for as follows.

- **Resolution: fine detail.** The direction is carried by stripes alone. Their period is drawn log-uniformly from
  ``PERIOD``, in halves of the image's side: at 22 px a quarter of the images have stripes finer than two pixels,
  which no network can see, at 30 px hardly any. The coarse end of the range gets a training started.
- **Width: several cues at once.** A class is a conjunction. Outline, direction, colour, contrast, period, size,
  rotation and position are drawn independently, so that a network has to carry detectors of many edges, corners,
  directions and periods side by side; no single cue gives the class.
- **Depth: composition over large distances.** An outline is a property of a whole object, which spans from a third
  to two thirds of the image. Plain objects have an outline and no stripes, clutter has stripes and no outline: only
  who joins stripes to the outline that encloses them, over the object's whole extent, names the class.

Scenes live in coordinates from -1 to 1 and are drawn from the seed before any pixel is: labels and geometry do not
depend on the size, the first images of a longer series are the shorter series, and classes are balanced within
every 16 images. A scene is drawn with edges softened by analytic coverage at twice the asked size or more (never
below ``CANVAS`` pixels, where the finest stripes are still resolved), then averaged down over whole boxes, so that
no size shows aliases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

SHAPES = ("disc", "square", "triangle", "cross")
DIRECTIONS = (0, 45, 90, 135)
CLASS_NAMES: tuple[str, ...] = tuple(f"{shape}-{direction:03d}" for shape in SHAPES for direction in DIRECTIONS)

# Lengths are in halves of the image's side, angles in degrees, colours and contrasts from 0 to 1. The ranges were
# chosen by measurement: both cues have to be learned early in a training of a few epochs, by every candidate.
PERIOD = (0.13, 0.70)
CONTRAST = (0.18, 0.42)
RADIUS = (0.36, 0.62)
PLAIN_RADIUS = (0.10, 0.20)
CLUTTER_SPREAD = (0.10, 0.20)
TURN = 17.0
TILT = 5.0
GROUND = (0.05, 0.35)
PAINT = (0.50, 0.85)
NOISE = 0.03
PLAIN = 2
CLUTTER = 2

SMALLEST, LARGEST = 48, 128
"""Pixels that networks are given the images at: those for smaller ones are resampled, and larger ones ask too much."""

CANVAS = 96
CHUNK = 48

_OBJECT_NUMBERS = 12
_SCENE_NUMBERS = (1 + PLAIN + CLUTTER + 1) * _OBJECT_NUMBERS


class EmbeddedTaskError(ScalenetError):
    """Report an image count, a size or a seed that cannot be rendered."""


def render(count: int, *, size: int, seed: int) -> tuple[NDArray[np.uint8], Integers]:
    """Render images of the embedded task with their labels.

    Images are uint8 [count, 3, size, size], labels int64 [count], indices into ``CLASS_NAMES``. Raise
    ``EmbeddedTaskError`` for a count below 1, a size below 8 or a negative seed.
    """
    labels = _labels(count, size=size, seed=seed)
    images = np.empty((count, 3, size, size), dtype=np.uint8)
    grain = _streams(seed)[2]
    for part, numbers in _scenes(count, seed):
        picture = _box_average(_draw(numbers, labels[part], side=_canvas_side(size)), size)
        picture += NOISE * grain.standard_normal(picture.shape, dtype=np.float32)
        images[part] = np.clip(picture * 255.0 + 0.5, 0.0, 255.0)
    return images, labels


def render_masks(count: int, *, size: int, seed: int) -> NDArray[np.uint8]:
    """Return how much of each pixel of `render`'s images the striped object covers, uint8 [count, size, size].

    255 is all of it. Errors are those of `render`.
    """
    labels = _labels(count, size=size, seed=seed)
    masks = np.empty((count, size, size), dtype=np.uint8)
    side = _canvas_side(size)
    for part, numbers in _scenes(count, seed):
        canvas = np.zeros((len(numbers), 3, side, side), dtype=np.float32)
        shapes = labels[part] // len(DIRECTIONS)
        _paint_outlines(canvas, _slots(numbers)[-1], shapes=shapes, radius=RADIUS, white=True)
        masks[part] = np.rint(255 * _box_average(canvas, size)[:, 0])
    return masks


def _streams(seed: int) -> list[np.random.Generator]:
    """Return random numbers for labels, scenes and grain: apart, so that the first images are those of fewer."""
    return [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(3)]


def _labels(count: int, *, size: int, seed: int) -> Integers:
    _check(count, size=size, seed=seed)
    blocks = -(-count // len(CLASS_NAMES))
    drawn = _streams(seed)[0].random((blocks, len(CLASS_NAMES)))
    labels: Integers = np.argsort(drawn, axis=1, kind="stable").reshape(-1)[:count]
    return labels.astype(np.int64)


def _scenes(count: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Yield places of images and the uniform numbers [n, _SCENE_NUMBERS] that they are drawn from."""
    scenes = _streams(seed)[1]
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        yield part, scenes.random((part.stop - start, _SCENE_NUMBERS), dtype=np.float32)


def _slots(numbers: Floats) -> list[Floats]:
    """Return the numbers of background, plain objects, clutter and the striped object."""
    return np.split(numbers, _SCENE_NUMBERS // _OBJECT_NUMBERS, axis=1)


def rendered_size(wanted: int) -> int:
    """Return the size to render at for networks that want at most so many pixels, or raise `EmbeddedTaskError`."""
    if wanted > LARGEST:
        raise EmbeddedTaskError(
            f"the embedded images are for small networks, and this one wants {wanted} px",
            hint="give images with --data, or another size with --resolution 32",
        )
    return max(SMALLEST, wanted)


def _check(count: int, *, size: int, seed: int) -> None:
    if count < 1:
        raise EmbeddedTaskError(f"embedded task: {count} images asked for; ask for 1 or more")
    if size < 8:
        raise EmbeddedTaskError(f"embedded task: images of {size} px asked for; ask for 8 px or more")
    if seed < 0:
        raise EmbeddedTaskError(f"embedded task: seed {seed} is negative; give 0 or a positive number")


def _canvas_side(size: int) -> int:
    """Return the side to draw at: a whole multiple of the size, twice it at least, ``CANVAS`` at least."""
    return size * max(2, -(-CANVAS // size))


def _box_average(canvas: Floats, size: int) -> Floats:
    """Average whole boxes of a canvas [N, 3, S, S] down to [N, 3, size, size]."""
    factor = canvas.shape[-1] // size
    # Strided sums are several times faster than a mean over axes of length two or three.
    rows = canvas[:, :, ::factor].copy()
    for start in range(1, factor):
        rows += canvas[:, :, start::factor]
    total = rows[..., ::factor].copy()
    for start in range(1, factor):
        total += rows[..., start::factor]
    total *= np.float32(1.0 / factor**2)
    return total


def _draw(numbers: Floats, labels: Integers, *, side: int) -> Floats:
    """Draw scenes given as uniform numbers [N, _SCENE_NUMBERS] on canvases [N, 3, side, side], values about 0 to 1."""
    slots = _slots(numbers)
    canvas = _background(slots[0], side=side)
    for slot in slots[1 : 1 + PLAIN]:
        _paint_outlines(canvas, slot, shapes=(slot[:, 11] * len(SHAPES)).astype(np.int64), radius=PLAIN_RADIUS)
    for slot in slots[1 + PLAIN : 1 + PLAIN + CLUTTER]:
        _paint_clutter(canvas, slot)
    directions = np.asarray(DIRECTIONS, dtype=np.float32)[labels % len(DIRECTIONS)]
    _paint_outlines(canvas, slots[-1], shapes=labels // len(DIRECTIONS), radius=RADIUS, directions=directions)
    return canvas


def _background(slot: Floats, *, side: int) -> Floats:
    """Return canvases [N, 3, side, side] of a colour that drifts linearly from edge to edge."""
    axis = _axis(side)
    drift = _between(slot[:, 3:5], -0.15, 0.15)
    plane = drift[:, 0, None, None] * axis[:, None] + drift[:, 1, None, None] * axis
    colour = _between(slot[:, 0:3], *GROUND)
    canvas: Floats = plane[:, None] + colour[:, :, None, None]
    return canvas


def _paint_outlines(
    canvas: Floats,
    slot: Floats,
    *,
    shapes: Integers,
    radius: tuple[float, float],
    directions: Floats | None = None,
    white: bool = False,
) -> None:
    """Paint one object an image, striped where directions (degrees, [N]) are given, plain where not, or `white`."""
    reach = 1.35 * radius[1]
    for shape, name in enumerate(SHAPES):
        chosen = np.flatnonzero(shapes == shape)
        if not len(chosen):
            continue
        numbers = slot[chosen]
        size = _between(numbers[:, 0], *radius)
        window = _Window(
            canvas, chosen, centre=_between(numbers[:, 1:3], -1.0, 1.0) * (1.0 - size)[:, None], reach=reach
        )
        cover = _coverage(name, *window.turned(np.deg2rad(_between(numbers[:, 3], -TURN, TURN))), size, window.pixel)
        colour = np.ones_like(numbers[:, 4:7]) if white else _between(numbers[:, 4:7], *PAINT)
        if directions is None:
            window.blend(cover, colour, None)
        else:
            tilt = directions[chosen] + _between(numbers[:, 7], -TILT, TILT)
            window.blend(cover, colour, _stripes(window, tilt, numbers[:, 8:11]))


def _paint_clutter(canvas: Floats, slot: Floats) -> None:
    """Add one patch of stripes in any direction, with a soft edge, to each image."""
    spread = _between(slot[:, 0], *CLUTTER_SPREAD)
    everyone = np.arange(len(canvas))
    window = _Window(canvas, everyone, centre=_between(slot[:, 1:3], -0.8, 0.8), reach=0.40)
    fall = (-0.5 / spread**2).astype(np.float32)
    envelope = np.exp(fall[:, None, None] * window.y**2) * np.exp(fall[:, None, None] * window.x**2)
    envelope *= _stripes(window, slot[:, 7] * np.float32(180.0), slot[:, 8:11])
    window.add(envelope)


def _stripes(window: _Window, degrees: Floats, numbers: Floats) -> Floats:
    """Return a wave [n, P, P] whose crests run along the given directions ([n])."""
    low, high = np.log(PERIOD)
    pace: Floats = np.float32(2 * np.pi) * np.exp(-_between(numbers[:, 0], low, high))
    angle = np.deg2rad(degrees).astype(np.float32)
    across, down = pace * -np.sin(angle), pace * np.cos(angle)
    shift = numbers[:, 1] * np.float32(2 * np.pi)
    wave: Floats = (across[:, None, None] * window.x + shift[:, None, None]) + down[:, None, None] * window.y
    np.sin(wave, out=wave)
    wave *= _between(numbers[:, 2], *CONTRAST)[:, None, None]
    return wave


def _coverage(name: str, x: Floats, y: Floats, size: Floats, pixel: float) -> Floats:
    """Return how much of each pixel an outline covers, 0 to 1, [n, P, P]; the areas of all outlines are alike."""
    inside = _inside(name, x, y, size[:, None, None])
    inside *= np.float32(1.0 / pixel)
    inside += np.float32(0.5)
    return np.clip(inside, 0.0, 1.0, out=inside)


def _inside(name: str, x: Floats, y: Floats, size: Floats) -> Floats:
    """Return the signed distance to an outline, positive inside."""
    distance: Floats
    if name == "disc":
        distance = size - np.sqrt(x * x + y * y)
        return distance
    across, down = np.abs(x), np.abs(y)
    if name == "square":
        distance = 0.88 * size - np.maximum(across, down)
    elif name == "triangle":
        distance = 0.70 * size - np.maximum(-y, 0.8660254 * across + 0.5 * y)
    else:
        distance = np.minimum(1.25 * size - np.maximum(across, down), 0.33 * size - np.minimum(across, down))
    return distance


class _Window:
    """Hold the square part of some canvases that an object can touch, and the coordinates in it."""

    def __init__(self, canvas: Floats, chosen: Integers, *, centre: Floats, reach: float) -> None:
        """Take the windows around centres ([n, 2] as x, y) that extend to ``reach`` on every side."""
        side = canvas.shape[-1]
        span = min(side, int(np.ceil(reach * side)) + 2)
        corner = np.rint((centre + 1.0) * (side / 2) - span / 2).astype(np.int64)
        corner = np.clip(corner, 0, side - span)
        axis = _axis(side)
        steps = axis[corner[:, :, None] + np.arange(span)] - centre[:, :, None]
        self.pixel = 2.0 / side
        self.x: Floats = steps[:, 0, None, :]
        self.y: Floats = steps[:, 1, :, None]
        # Views: image by image is faster than a gather and a scatter over all.
        self._parts = [canvas[n, :, y : y + span, x : x + span] for n, (x, y) in zip(chosen, corner, strict=True)]

    def turned(self, angle: Floats) -> tuple[Floats, Floats]:
        """Return the coordinates [n, P, P] of a frame turned by angles in radians [n]."""
        cosine: Floats = np.cos(angle)[:, None, None]
        sine: Floats = np.sin(angle)[:, None, None]
        across: Floats = cosine * self.x + sine * self.y
        down: Floats = cosine * self.y - sine * self.x
        return across, down

    def blend(self, cover: Floats, colour: Floats, wave: Floats | None) -> None:
        """Cover the canvases with a colour ([n, 3]), lightened and darkened by a wave."""
        for index, part in enumerate(self._parts):
            paint = colour[index, :, None, None]
            np.add(part, cover[index] * ((paint if wave is None else paint + wave[index]) - part), out=part)

    def add(self, wave: Floats) -> None:
        """Lighten and darken all channels by a wave [n, P, P]."""
        for index, part in enumerate(self._parts):
            np.add(part, wave[index], out=part)


def _axis(side: int) -> Floats:
    """Return the pixel centres of one axis, -1 to 1."""
    return ((np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0 / side) - 1).astype(np.float32)


def _between(uniform: Floats, low: float, high: float) -> Floats:
    """Map uniform numbers from [0, 1) to [low, high)."""
    return np.float32(low) + uniform * np.float32(high - low)
