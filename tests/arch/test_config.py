"""Config files: strict to read, the same bytes every time, never half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

import scalenet
from scalenet.arch import registry
from scalenet.arch.config import Config, digest, dumps, load_config, loads, save
from scalenet.arch.errors import ConfigError, RunError

HAND_WRITTEN = """\
schema: scalenet/1
name: tiny
model:
  resolution: [48, 64]
  activation: relu
  norm: {eps: 1e-5}
  stem: {width: 8}
  stages:
  - {block: basic, depth: 1, width: 8}
  - {block: mbconv, depth: 2, width: 16, stride: 2, expand: 4}
  head: {kind: linear, classes: 10}
"""
B0 = registry.file("efficientnet_b0").read_text(encoding="utf-8")


def text_of(name: str) -> str:
    return registry.file(name).read_text(encoding="utf-8")


LONG = "x" * 201


@pytest.mark.parametrize("name", registry.names())
def test_a_shipped_baseline_is_written_again_byte_for_byte(name: str) -> None:
    config = registry.registered(name)
    assert config.name == name
    assert dumps(config) == text_of(name)


@pytest.mark.parametrize("name", registry.names())
def test_an_architecture_is_written_and_read_back_equal(name: str, tmp_path: Path) -> None:
    architecture = scalenet.load(name)
    save(architecture, tmp_path / "file.yaml")
    assert scalenet.load(tmp_path / "file.yaml").model == architecture.model
    assert dumps(load_config(tmp_path / "file.yaml")) == dumps(architecture)


def test_a_hand_written_file_needs_only_schema_name_and_model() -> None:
    config = loads(HAND_WRITTEN)
    assert config.model.size == (48, 64)
    assert config.model.norm.eps == 1e-5
    assert config.model.stages[1].options() == {
        "kernel": 3,
        "expand": 4.0,
        "se": 0.0,
        "multiple_of": None,
        "activation": None,
    }
    assert config.architecture().rounding == "efficientnet"
    assert scalenet.cost(config.architecture()).params > 0


def test_a_hand_written_file_is_resolved_when_it_is_written() -> None:
    once = dumps(loads(HAND_WRITTEN))
    assert "resolution: [48, 64]" in once
    assert "momentum: 0.1" in once
    assert dumps(loads(once)) == once


def test_a_whole_number_where_a_ratio_stands_gives_the_same_digest() -> None:
    assert digest(loads(B0.replace("expand: 6.0", "expand: 6")).model) == digest(loads(B0).model)


def test_the_digest_is_the_same_in_every_version() -> None:
    assert digest(scalenet.load("efficientnet_b0").model) == (
        "sha256:afee1cbde85b0317fdf44bb48f0c7525c85537c6e4f2fb87562771cc36d84675"
    )


@pytest.mark.parametrize(("old", "new"), [("width: 16", "width: 24"), ("0.001", "0.002"), ("silu", "relu")])
def test_the_digest_changes_with_the_model(old: str, new: str) -> None:
    assert digest(loads(B0.replace(old, new, 1)).model) != digest(loads(B0).model)


def test_the_digest_does_not_depend_on_the_name_or_the_layout() -> None:
    other = B0.replace("name: efficientnet_b0", "name: mine").replace("  activation: silu\n", "")
    other = other.replace("model:\n", "model:\n  activation: silu\n")
    assert digest(loads(other).model) == digest(loads(B0).model)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expand: 6.0", "expnd: 6.0", "13: model.stages[1].expnd: unknown key (did you mean 'expand'?)"),
        ("block: mbconv", "blok: mbconv", "12: model.stages[0].blok: unknown key (did you mean 'block'?)"),
        (
            "block: mbconv",
            "block: mbcon",
            "12: model.stages[0]: unknown block 'mbcon' (did you mean 'mbconv' or 'mnas_mbconv'?)",
        ),
        ("resolution:", "resolutoin:", "5: model.resolutoin: unknown key (did you mean 'resolution'?)"),
        ("width: 32", "widht: 32", "10: model.stem.widht: unknown key (did you mean 'width'?)"),
        ("{title:", "{titel:", "3: baseline.titel: unknown key (did you mean 'title'?)"),
        ("model:\n", "modle:\n", "5: modle: unknown key (did you mean 'model'?)"),
        ("head: {kind: conv", "head: {kind: linear", "19: model.head.width: unknown key (known: kind, classes, norm)"),
        ("{kind: conv, width: 1280, ", "{kind: conv, ", "19: model.head.width: missing"),
        (
            "head: {kind: conv",
            "head: {kind: cnv",
            "19: model.head.kind: expected 'conv', 'linear', 'mlp', 'vgg', 'maps', found 'cnv'",
        ),
        ("depth: 1, ", "", "12: model.stages[0].depth: missing"),
        ("schema: scalenet/1\n", "", "1: schema: missing"),
        ("depth: 1,", "depth: 0,", "12: model.stages[0].depth: expected greater than or equal to 1, found 0"),
        ("depth: 1,", "depth: 1.5,", "12: model.stages[0].depth: expected a valid integer, found 1.5"),
        ("depth: 1,", "depth: '1',", "12: model.stages[0].depth: expected a valid integer, found '1'"),
        ("depth: 1,", "depth: true,", "12: model.stages[0].depth: expected a valid integer, found True"),
        ("kernel: 5", "kernel: 4", "14: model.stages[2].kernel: a kernel size must be odd, found 4"),
        (": 224", ": [9, 0]", "5: model.resolution[1]: expected greater than or equal to 1, found 0"),
        ("silu", "silo", "7: model.activation: expected 'relu', 'relu6', 'silu', 'hardswish' or 'gelu', found 'silo'"),
        ("scalenet/1", "scalenet/2", "1: schema: expected 'scalenet/1', found 'scalenet/2'"),
        ("dropout: 0.2", "dropout: 2", "20: model.regularization.dropout: expected less than or equal to 1, found 2"),
        ("name: efficientnet_b0\n", "name: a/b\n", "2: name: a name must be usable as a file name, found 'a/b'"),
        ("name: efficientnet_b0\n", 'name: "\\e"\n', r"2: name: a name must be usable as a file name, found '\x1b'"),
        ("name: efficientnet_b0", f"name: {LONG}", f"2: name: a name is at most 200 bytes long, found '{LONG}'"),
        ("name: efficientnet_b0\n", "name: 5\n", "2: name: expected a valid string, found 5"),
        ("name: efficientnet_b0\n", "name: a\nname: b\n", "3: key 'name' stands twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_line_key_and_nearest_good_key(old: str, new: str, message: str) -> None:
    assert old in B0
    with pytest.raises(ConfigError) as caught:
        loads(B0.replace(old, new, 1), place="f.yaml")
    assert str(caught.value) == f"f.yaml:{message}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("groups: 1", "groups: 3", "5: model: stages[0].width 64 is not divisible by its 3 groups"),
        ("expansion: 4", "expanson: 4", "16: model.stages[0].expanson: unknown key (did you mean 'expansion'?)"),
        ("{kind: max,", "{kind: avg,", "14: model.stem.pool.kind: expected 'max', found 'avg'"),
        ("{kind: max,", "{x: 1,", "14: model.stem.pool.x: unknown key (known: kind, kernel, stride, padding, ceil)"),
    ],
)  # fmt: skip
def test_a_mistake_in_another_block_is_named_as_well(old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text_of("resnet50").replace(old, new, 1), place="f.yaml")
    assert str(caught.value) == f"f.yaml:{message}"


@pytest.mark.parametrize(
    "rule",
    [
        "{kind: shares, depth: 0.5, width: 0.5, resolution: 0.5, phi: 1}",
        "{kind: compound, alpha: 0, beta: 1.1, gamma: 1.1, phi: 1}",
        "{kind: compound, alpha: 1.2, beta: 1.1, gamma: 1.1, phi: .nan}",
        "{kind: multipliers, depth: .inf, width: 1, resolution: 1}",
        "{kind: unheard}",
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: str) -> None:
    ratios = "{depth: 1, width: 1, resolution: 1, flops_ratio: 1}"
    scaling = (
        "scaling:\n  base: {name: a, digest: b}\n"
        f"  rule: {rule}\n  rounding: {{name: efficientnet, version: 1}}\n  regularization: linear\n"
        f"  asked: {ratios}\n  nominal: 1\n  applied: {ratios}\n"
    )
    with pytest.raises(ConfigError, match=r"^f\.yaml:14: scaling\.rule"):
        loads(HAND_WRITTEN + scaling, place="f.yaml")


@pytest.mark.parametrize(("text", "found"), [("", "NoneType"), ("- 1", "list"), ("text", "str")])
def test_a_document_without_keys_is_refused(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"^f.yaml: expected keys and values, found {found}$"):
        loads(text, place="f.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path, reason in [
        (tmp_path / "absent.yaml", "No such file or directory"),
        (tmp_path / "binary.yaml", "not UTF-8 text"),
    ]:
        with pytest.raises(scalenet.ScalenetError) as caught:
            load_config(path)
        assert str(caught.value) == f"{path}: {reason}"


def test_a_folder_without_a_config_is_told_which_ones_have_one(tmp_path: Path) -> None:
    with pytest.raises(scalenet.ScalenetError) as caught:
        load_config(tmp_path)
    assert caught.value.message == f"{tmp_path}: this folder has no config.yaml"
    assert "`scalenet train` or `--keep-models` wrote have one" in str(caught.value.hint)
    (tmp_path / "config.yaml").write_text(HAND_WRITTEN)
    assert load_config(tmp_path) == loads(HAND_WRITTEN)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_bytes(b"\xef\xbb\xbf" + B0.replace("\n", "\r\n").encode())
    assert load_config(tmp_path / "file.yaml") == loads(B0)


def test_a_config_cannot_be_changed_in_place() -> None:
    config = loads(HAND_WRITTEN)
    with pytest.raises(ValueError, match="frozen"):
        config.model.stem.width = 16  # type: ignore[misc]


def test_an_existing_file_survives_a_failure_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("before", encoding="utf-8")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RunError, match="cannot be written: disk full"):
        save(loads(HAND_WRITTEN), path)
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_makes_folders_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.yaml"
    for _ in range(2):
        save(loads(HAND_WRITTEN), path)
    assert isinstance(load_config(path), Config)
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o400


@pytest.mark.parametrize("name", ["1e5", "1e-5", "08", "099", "12e03", "no", "null", "~", "true"])
def test_a_name_like_another_value_stays_text(name: str) -> None:
    architecture = scalenet.Architecture(name, scalenet.load("resnet18").model)
    assert loads(dumps(architecture)).name == name


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("expand: 6.0", "expand: .inf", "model.stages[1].expand"),
        ("eps: 0.001", "eps: .inf", "model.norm.eps"),
        ("block: mbconv", "block: [a]", "model.stages[0].block"),
        ("block: mbconv", "block: 7", "model.stages[0].block"),
        ("kind: conv, width: 1280", "knd: conv, width: 1280", "model.head.kind: missing"),
        ("resolution: 224", "resolution: [224]", "model.resolution: expected one number of pixels or [height, width]"),
        ("resolution: 224", "resolution: 7.5", "model.resolution: expected one number of pixels or [height, width]"),
    ],
)
def test_other_mistakes_are_named_by_their_place(old: str, new: str, place: str) -> None:
    with pytest.raises(ConfigError) as error:
        loads(B0.replace(old, new, 1))
    assert place in str(error.value)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18"])
def test_a_saved_architecture_keeps_its_rounding_set(name: str, tmp_path: Path) -> None:
    architecture = scalenet.load(name)
    save(architecture, tmp_path / "own.yaml")
    assert scalenet.load(tmp_path / "own.yaml") == architecture
