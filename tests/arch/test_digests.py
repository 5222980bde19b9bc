"""Digests: the same in every version, also where blocks have gained options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from networks import one_stage

import scalenet
from scalenet.arch import blocks
from scalenet.arch.config import _FIRST_KEYS, CompoundRule, digest, dumps, is_digest_of, load_config, loads, records_in
from scalenet.arch.factory import Factory
from scalenet.arch.families.mobile import mbconv
from scalenet.arch.families.resnet import basic
from scalenet.arch.layers import Layer  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.options import ActivationName, Kernel, Positive, Ratio, Share  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.slots import Slot  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.spec import Model, stage_record
from scalenet.arch.style import Norm
from scalenet.checks.verification import verify
from scalenet.scaling.rules import PAPER_COEFFICIENTS
from scalenet.scaling.scaler import base_of, load, scale_by

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE = sorted((Path(__file__).parents[1] / "golden" / "written_before").glob("*.yaml"))
"""Files that version 0.1 wrote, before digests left anything out."""

NET = one_stage("{block: ABC, depth: 2, width: 64}")


def with_option(
    slot: Slot,
    *,
    kernel: Kernel = 3,
    expand: Ratio = 6,
    se: Share = 0,
    multiple_of: Positive | None = None,
    activation: ActivationName | None = None,
    copies: Positive = 1,
) -> Layer:
    """`mbconv` of a later version, that has gained an option."""
    assert copies >= 1
    return mbconv(slot, kernel=kernel, expand=expand, se=se, multiple_of=multiple_of, activation=activation)


def with_default(slot: Slot, *, kernel: Kernel = 3, expand: Ratio = 4, se: Share = 0) -> Layer:
    """`mbconv` of a later version, in which a default is another."""
    return mbconv(slot, kernel=kernel, expand=expand, se=se)


def others_before(slot: Slot) -> Layer:
    return basic(slot)


def others(slot: Slot, *, kernel: Kernel = 3) -> Layer:
    return basic(slot, kernel=kernel)


def others_later(slot: Slot, *, kernel: Kernel = 3, copies: Positive = 1, groups: Positive = 1) -> Layer:
    assert copies == groups == 1
    return basic(slot, kernel=kernel)


def others_changed(slot: Slot, *, kernel: Kernel = 5) -> Layer:
    return basic(slot, kernel=kernel)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., Layer]], None]:
    """Return what makes a block another function, as a later version would."""

    def replace(name: str, block: Callable[..., Layer]) -> None:
        monkeypatch.setattr(blocks, "BUILT_IN", {**blocks.BUILT_IN, name: block})

    return replace


@pytest.mark.parametrize("file", BEFORE, ids=lambda file: file.stem)
def test_files_written_before_verify(file: Path) -> None:
    assert verify(load_config(file)) == []


@pytest.mark.parametrize("file", BEFORE, ids=lambda file: file.stem)
def test_files_written_before_verify_where_a_block_has_gained_an_option(file: Path, become) -> None:  # type: ignore[no-untyped-def]
    before = digest(load_config(file).model)
    become("mbconv", with_option)
    config = load_config(file)
    assert digest(config.model) == before
    assert config.scaling is None or base_of(config.scaling)
    assert [line for line in verify(config) if "digest" in line or "cost" in line] == []


def test_an_option_that_is_not_at_its_default_is_in_the_digest(become) -> None:  # type: ignore[no-untyped-def]
    become("mbconv", with_option)
    model = loads(NET.replace("ABC", "mbconv")).model
    for option in ("kernel", "copies"):
        other = model.changed(stages=tuple(stage.changed(**{option: 5}) for stage in model.stages))
        assert digest(other) != digest(model)
        assert not is_digest_of(digest(other), model)


def test_an_option_of_anothers_block_is_not_taken_for_new_where_a_stage_uses_it(become) -> None:  # type: ignore[no-untyped-def]
    two = NET.replace(
        "{block: ABC, depth: 2, width: 64}",
        "{block: others, depth: 1, width: 64}, {block: others, depth: 1, width: 64}",
    )
    become("others", others_before)
    before = digest(loads(two).model)
    become("others", others)
    model = loads(two).model
    assert is_digest_of(before, model)
    first, second = model.stages
    assert not is_digest_of(before, model.changed(stages=(first, second.changed(kernel=5))))


@pytest.mark.parametrize("name", ["mbconv", "others"])
def test_another_default_is_another_digest(name: str, become) -> None:  # type: ignore[no-untyped-def]
    become("others", others)
    before = digest(loads(NET.replace("ABC", name)).model)
    written = dumps(loads(NET.replace("ABC", name)))
    become(name, with_default if name == "mbconv" else others_changed)
    assert not is_digest_of(before, loads(NET.replace("ABC", name)).model)
    assert digest(loads(written).model) == before  # a written file holds the value, and is the network that it was


def test_a_file_of_anothers_block_verifies_after_it_has_gained_options(become) -> None:  # type: ignore[no-untyped-def]
    become("others", others)
    base = loads(NET.replace("ABC", "others")).architecture()
    text = dumps(scale_by(base, CompoundRule(**PAPER_COEFFICIENTS, phi=1)))
    assert verify(loads(text)) == []
    become("others", others_later)
    assert [line for line in verify(loads(text)) if "digest" in line] == []
    become("others", others_changed)
    assert verify(loads(text)) == []  # it says the kernel
    wrong = text.replace("kernel: 3}", "kernel: 5}")
    assert any("digest" in line for line in verify(loads(wrong)))


def test_every_record_of_a_model_says_what_its_digest_holds() -> None:
    """A record that is not listed there would have all of its keys in digests, those gained later too."""
    found, queue = set(), [Model, Factory, *(stage_record(name) for name in blocks.BUILT_IN)]
    while queue:
        record = queue.pop()
        found.add(record.__name__)
        queue += [one for field in record.model_fields.values() for one in records_in(field.annotation)]
    assert found - {"StageSpec"} == set(_FIRST_KEYS)


def test_digests_of_0_1_are_those_of_today() -> None:
    recorded = {file.stem: load_config(file).scaling for file in BEFORE}
    assert all(scaling is not None for scaling in recorded.values())
    for scaling in recorded.values():
        assert digest(load(scaling.base.name).model if scaling.base.model is None else scaling.base.model) == (
            scaling.base.digest
        )
    assert digest(scalenet.load("resnet18").model.changed(norm=Norm(eps=1e-3))) != recorded["resnet18_wide"].base.digest
