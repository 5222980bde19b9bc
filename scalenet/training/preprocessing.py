"""What a network expects of its images: their size, how they come to it, and the scale of their colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field

from scalenet.arch import strict_json
from scalenet.arch.config import Finite, Multiplier, as_data
from scalenet.arch.layers import both
from scalenet.arch.options import Resolution
from scalenet.arch.records import Record, as_tuple

if TYPE_CHECKING:
    from scalenet.training.feed import Normalization

Interpolation: TypeAlias = Literal["bilinear", "bicubic"]
"""How pixels are resampled, antialiased."""

INTERPOLATIONS = get_args(Interpolation)

Means = Annotated[tuple[Finite, Finite, Finite], BeforeValidator(as_tuple)]
Deviations = Annotated[tuple[Multiplier, Multiplier, Multiplier], BeforeValidator(as_tuple)]

_NOISE = 1e-6


class Preprocessing(Record):
    """What becomes of an image before a network sees it.

    The short side is resized to `resize` pixels, of which the centre of `size` is taken: `crop` is their ratio. Where
    `size` is oblong the square at the centre is squeezed to height and width `squeezed`, as in training. Then `mean` is
    subtracted from values between 0 and 1, and the result divided by `std`. `source` says whose weights expect that.
    """

    size: Resolution
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Interpolation = "bilinear"
    mean: Means
    std: Deviations
    classes: int
    source: str

    @property
    def resize(self) -> int:
        """The short side of the image of which the centre is taken, pixels."""
        return before_crop(max(both(self.size)), self.crop)

    @property
    def squeezed(self) -> tuple[int, int]:
        """Height and width, in pixels, that the square at an image's centre is resized to before the centre is cut."""
        tall, wide = both(self.size)
        return tuple(round(self.resize * side / max(tall, wide)) for side in (tall, wide))  # type: ignore[return-value]

    @property
    def normalization(self) -> Normalization:
        """Mean and standard deviation of each channel, of values from 0 to 255."""
        return tuple(255 * one for one in self.mean), tuple(255 * one for one in self.std)

    def data(self) -> dict[str, Any]:
        """Return what files and JSON have, for people and other programs."""
        tall, wide = self.squeezed
        return {"size": self.size, "resize": self.resize if tall == wide else [tall, wide], **as_data(self)}

    def text(self) -> str:
        """Return the text of a file."""
        return strict_json.dumps(self.data(), indent=2) + "\n"


def before_crop(size: int, crop: float) -> int:
    """Return how many pixels a side has of which the share `crop` is `size`: 232 for 224 and 224/232."""
    return math.ceil(size / crop - _NOISE)
