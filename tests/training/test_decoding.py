"""Pixels of every kind of image: scaled rightly or refused by name, and never more than memory holds."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scalenet.training import decoding
from scalenet.training.decoding import File, decode, read_centre

if TYPE_CHECKING:
    from pathlib import Path


def grey(tmp_path: Path, values: np.ndarray, name: str) -> int | str:
    """Return the grey level that an image of these values decodes to, or why it does not."""
    file = tmp_path / name
    Image.fromarray(values).save(file)
    found = decode([File(str(file))], size=4, root=tmp_path, progress=None)
    if found.skipped:
        return found.skipped[0]
    assert found.pixels.std() == 0
    return int(found.pixels.flat[0])


@pytest.mark.parametrize(
    ("value", "kind", "name", "level"),
    [
        (0.5, np.float32, "x.tiff", 128),
        (1.0, np.float32, "x.tiff", 255),
        (128.0, np.float32, "x.tiff", 128),
        (300.0, np.float32, "x.tiff", "x.tiff: float values beyond 0 to 255"),
        (-1.0, np.float32, "x.tiff", "x.tiff: float values beyond 0 to 255"),
        (float("nan"), np.float32, "x.tiff", "x.tiff: float values beyond 0 to 255"),
        (128, np.int32, "x.tiff", "x.tiff: 32-bit numbers, whose range is not known"),
        (70000, np.int32, "x.tiff", "x.tiff: 32-bit numbers"),
        (0x8000, np.uint16, "x.tiff", 0x80),
        (0x8000, np.uint16, "x.png", 0x80),
        (0x8000, np.uint16, "x.pgm", 0x80),
        (4095, np.uint16, "x.tiff", "x.tiff: 16-bit values of 4095 at most would be black"),
        (128, np.uint16, "x.png", "x.png: 16-bit values of 128 at most would be black"),
        (0, np.uint16, "x.png", 0),
        (100, np.uint8, "x.bmp", 100),
    ],
)
def test_numbers_of_more_than_8_bits(tmp_path: Path, value: float, kind: type, name: str, level: int | str) -> None:
    found = grey(tmp_path, np.full((8, 8), value, dtype=kind), name)
    if isinstance(level, str):
        assert str(found).startswith(level)
    else:
        assert found == level


@pytest.mark.parametrize("suffix", sorted(decoding.SUFFIXES - {".mpo", ".avifs", ".pfm", ".pbm"}))
def test_every_listed_format_is_decoded(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    Image.new("RGB", (32, 32), (90, 90, 90)).convert("L" if suffix == ".pgm" else "RGB").save(file)
    assert abs(float(read_centre(File(str(file)), (4, 4)).mean()) - 90) <= 3


def test_a_format_that_is_not_listed_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(file, "TGA")
    found = decode([File(str(file))], size=4, root=tmp_path, progress=None)
    assert found.skipped == {0: "x.png: not an image that can be read"}


def test_what_stands_for_an_image_that_was_not_fetched_is_told(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "1.jpg").write_text("/annex/objects/SHA256E-s1--0.jpg\n")
    found = decode([File(str(tmp_path / f"{number}.jpg")) for number in (0, 1)], size=4, root=tmp_path, progress=None)
    assert all("git-lfs or git-annex that was not fetched" in line for line in found.skipped.values())
    assert len(found.skipped) == 2


def header(width: int, height: int) -> bytes:
    """Return a PNG that says it is as large as that, and has next to no pixels."""
    chunks = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(30))),
    ):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return chunks


@pytest.mark.parametrize(("size", "said"), [((10**4, 10**4), "10,000 × 10,000 px; "), ((10**5, 10**5), "")])
def test_a_header_of_many_pixels_is_refused_before_they_take_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], said: str
) -> None:
    files = []
    for number in range(4):
        file = tmp_path / f"{number}.png"
        file.write_bytes(header(*size))
        files.append(File(str(file)))
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("pixels were decoded"))
    with warnings.catch_warnings(record=True) as raw:
        warnings.simplefilter("always")
        found = decode(files, size=8, root=tmp_path, progress=None)
    assert not raw
    assert len(found.skipped) == 4
    assert all(line.startswith(f"{number}.png: {said}") for number, line in found.skipped.items())


def test_a_large_jpeg_is_decoded_at_an_eighth_unless_it_is_progressive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MOST_PIXELS", 10_000)
    for name, progressive in (("plain.jpg", False), ("progressive.jpg", True)):
        Image.new("RGB", (400, 400), (90, 90, 90)).save(tmp_path / name, progressive=progressive)
    files = [File(str(tmp_path / name)) for name in ("plain.jpg", "progressive.jpg")]
    found = decode(files, size=8, root=tmp_path, progress=None)
    assert found.skipped == {1: "progressive.jpg: 400 × 400 px; 10,000 pixels are the most"}


def test_a_file_of_many_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 2**20)
    with (tmp_path / "x.jpg").open("wb") as file:
        file.truncate(2**21)
    found = decode([File(str(tmp_path / "x.jpg"))], size=8, root=tmp_path, progress=None)
    assert found.skipped == {0: "x.jpg: 2 MiB; 1 MiB are the most"}


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "size"), [(232, 224), (288, 288), (97, 64)])
def test_the_centre_has_the_pixels_of_resizing_and_cropping(tmp_path, mode, resize, size):
    draw = np.random.default_rng(0)
    image = Image.fromarray(draw.integers(0, 256, (401, 530, 3), dtype=np.uint8))
    image.save(tmp_path / "x.png")
    wide = int(resize * 530 / 401)
    resized = image.resize((wide, resize), Image.Resampling[mode.upper()])
    left, top = round((wide - size) / 2), round((resize - size) / 2)
    expected = np.asarray(resized.crop((left, top, left + size, top + size)), dtype=np.int64).transpose(2, 0, 1)
    found = read_centre(File(str(tmp_path / "x.png")), (size, size), size / resize, mode)
    assert np.abs(found.astype(np.int64) - expected).max() <= 1
