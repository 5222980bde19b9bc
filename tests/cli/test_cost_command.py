"""Memory in `scalenet cost`, and sizes in bytes."""

from __future__ import annotations

import csv
import io
import json

import pytest
from scalenet_cli.output import bytes_text

import scalenet as library
from scalenet.arch.errors import ScalenetError
from scalenet.arch.quantities import parse_bytes
from scalenet.arch.words import seconds_text


def figures(result):
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    return row


def test_the_memory_of_a_batch_is_a_table_of_its_own(scalenet):
    row = figures(scalenet("cost", "resnet18", "--batch", 32, "--training", "--moments", 1))
    found = library.memory(library.load("resnet18"), batch=32, training=True, moments=1)
    assert (row["name"], row["batch"], row["training"]) == ("resnet18", "32", "True")
    assert [int(row[key]) for key in ("weights", "gradients", "moments", "peak")] == [
        found.weights,
        found.gradients,
        found.moments,
        found.peak,
    ]


def test_json_always_holds_memory(scalenet):
    data = json.loads(scalenet("cost", "resnet18", "--json").stdout)
    assert data["memory"]["peak"] == library.memory(library.load("resnet18")).peak
    assert (data["memory"]["batch"], data["memory"]["training"]) == (1, False)


def test_fit_finds_the_largest_batch(scalenet):
    row = figures(scalenet("cost", "resnet18", "--fit", "2GiB", "--training", "--resolution", 64))
    model = library.load("resnet18").model.at(64)
    assert int(row["batch"]) == library.largest_batch(model, 2**31, training=True)
    assert int(row["peak"]) <= 2**31


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fit", "1MiB"], "1MiB holds no image: one takes 51.3 MiB"),
        (["--fit", "8XB"], "'8XB' is not a number of bytes"),
        (["--fit", "8GiB", "--batch", "2"], "--fit finds the batch"),
        (["--batch", "2", "--moments", "1"], "only training has an optimiser"),
        (["--training", "--by", "stage"], "memory has no parts"),
    ],
)
def test_what_makes_no_sense_is_one_line(scalenet, words, message):
    result = scalenet("cost", "resnet18", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 * 2**30),
        ("500MB", 500_000_000),
        ("1.5G", 1_500_000_000),
        ("0.1 gib", 107_374_182),
        ("64k", 64_000),
        ("1TiB", 2**40),
        ("1024", 1024),
        ("7B", 7),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "0", "0.1B", "8i", "8iB", "1e9", "8XB", "1,5G", "inf", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ScalenetError, match="is not a number of bytes"):
        parse_bytes(text)


def test_bytes_and_seconds_read_well():
    sizes = [bytes_text(size) for size in (7, 2048, 425_900_000, 8 * 2**30, 1023 * 2**20)]
    assert sizes == ["7 B", "2 KiB", "406.2 MiB", "8 GiB", "1023 MiB"]
    assert [seconds_text(time) for time in (2.5, 0.0324, 0.00042)] == ["2.5 s", "32.4 ms", "0.42 ms"]
