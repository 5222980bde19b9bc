"""YAML is read strictly, by the YAML 1.2 core schema, and written canonically."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scalenet.arch.errors import ConfigError
from scalenet.arch.strict_yaml import dump, line_of, parse


def value(text: str) -> object:
    return parse(f"key: {text}", "here")[0]["key"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5),
        ("1E3", 1e3),
        ("2.5e+2", 250.0),
        (".5", 0.5),
        ("-.5e3", -500.0),
        ("1.", 1.0),
        ("-.inf", -math.inf),
    ],
)
def test_a_number_with_exponent_or_point_is_a_float(text: str, expected: float) -> None:
    assert value(text) == expected
    assert isinstance(value(text), float)


@pytest.mark.parametrize(("text", "expected"), [("224", 224), ("-3", -3), ("+7", 7), ("0", 0)])
def test_a_whole_number_is_an_int(text: str, expected: int) -> None:
    assert value(text) == expected
    assert isinstance(value(text), int)


def test_nan_is_a_float() -> None:
    assert math.isnan(value(".nan"))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["no", "yes", "on", "off", "y", "1:30", "2020-01-01", "1_000", "+", ".", "e5"])
def test_what_yaml_1_1_would_convert_stays_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("False", False), ("null", None), ("~", None)])
def test_booleans_and_null_are_read(text: str, expected: object) -> None:
    assert value(text) is expected


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a"),
        ("top:\n  x: 1\n  x: 1\n", 3, "x"),
        ("{a: 1, a: 2}", 1, "a"),
        ('1: a\n"1": b', 2, "1"),
    ],
)
def test_a_key_that_stands_twice_is_an_error_on_its_second_line(text: str, line: int, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^here:{line}: key '{key}' stands twice$"):
        parse(text, "here")


@pytest.mark.parametrize("text", ["a: &mark 1", "a: [&mark {b: 1}]", "a: *mark", "a: &mark {b: 1}\nc: *mark"])
def test_anchors_and_aliases_are_errors(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here:1: anchors and aliases are not taken$"):
        parse(text, "here")


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse("<<: {a: 1}", "here")[0] == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:os.system ["true"]',
        "a: !!python/name:os.system",
        "a: !!python/tuple [1]",
        "a: !mine 1",
        "a: !!bool maybe",
        "a: !!set {b}",
    ],
)
def test_tags_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here:1: tags are not taken$"):
        parse(text, "here")


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "a: " + "[" * 5000 + "]" * 5000, "- " * 3000])
def test_deep_nesting_is_an_error_and_no_crash(text: str, fast: bool) -> None:
    with pytest.raises(ConfigError, match=r"^here:1: nested deeper than 100 levels$"):
        parse(text, "here", fast=fast)


@pytest.mark.parametrize("text", ["9" * 101, "-" + "9" * 5000])
def test_a_number_without_end_is_an_error_on_its_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here:2: a number has at most 100 digits$"):
        parse(f"a: 1\nb: {text}", "here")


def outcome(text: str, *, fast: bool) -> object:
    try:
        return repr(parse(text, "here", fast=fast))
    except ConfigError as error:
        return str(error)


PIECES = st.sampled_from(
    [
        *"a1,#'\"[]{}~%@!\\\n\t\u2028\x85\ufeffé\x07",
        "b: ",
        "- ",
        "\n  ",
        ": ",
        "? ",
        "1e-5",
        "&x ",
        "*x",
        "---\n",
        "\r\n",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("- \n- \n- {a: \n}")
@example("a:\tb")
@example("{é? }")
@settings(max_examples=400)
def test_both_parsers_read_the_same_on_the_same_lines_and_refuse_in_the_same_words(text: str) -> None:
    assert outcome(text, fast=True) == outcome(text, fast=False)


def test_a_long_text_is_read_and_refused_too() -> None:
    items = "a: [" + "1, " * 50_000 + "2]\n"
    data, node = parse(items + "b: 1", "here")
    assert (len(data["a"]), line_of(node, ["b"])) == (50_001, 2)
    with pytest.raises(ConfigError, match=r"^here:2: key 'a' stands twice$"):
        parse(items + "a: 1", "here")


@pytest.mark.parametrize(
    "text", ["a: \x00", "a: [1", "a: 'open", "a:\n\tb: 1", "? [a]\n: 1", "---\na: 1\n---\nb: 2", "a: " + "9" * 5000]
)
def test_broken_text_is_one_line_that_names_the_place(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "here")
    assert str(caught.value).startswith("here:")
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="ab:-,[]{}#'\"|>&*!%@? \n0123456789.eE+~", max_size=30))
@example("a: b: c")
def test_any_text_is_data_or_a_config_error(text: str) -> None:
    try:
        parse(text, "here")
    except ConfigError as error:
        assert str(error).startswith("here")  # noqa: PT017 - either outcome is good, another exception is not


def test_a_path_leads_to_its_line_and_a_wrong_one_to_the_nearest() -> None:
    _, node = parse("a: 1\nb:\n  c:\n  - 1\n  - 2\n", "here")
    assert line_of(node, ["a"]) == 1
    assert line_of(node, ["b", "c", 1]) == 5
    assert line_of(node, ["b", "c", 7]) == 4
    assert line_of(node, []) == 1


WORDS = st.from_regex(r"[a-z_ÄΩ][a-z_]{0,8}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers(-(10**99), 10**99) | st.floats(allow_nan=False) | WORDS
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


@given(st.dictionaries(WORDS, DATA, max_size=4))
def test_what_is_written_is_read_back_equal(data: dict[str, object]) -> None:
    assert parse(dump(data), "here")[0] == (data or {})


@pytest.mark.parametrize(
    "text", ["no", "null", "~", "1:30", "2020-01-01", "1", "1.5", "true", "a: b", " a", "#a", "é", "a\nb", "*a", ""]
)
def test_text_that_looks_like_something_else_is_written_so_that_it_stays_text(text: str) -> None:
    assert parse(dump({"key": text}), "here")[0] == {"key": text}


def test_innermost_mappings_stand_on_one_line_and_keys_keep_their_order() -> None:
    data = {"z": 1, "a": {"list": [{"b": 1, "a": [2, 3]}], "empty": {}}}
    assert dump(data) == "z: 1\na:\n  list:\n  - {b: 1, a: [2, 3]}\n  empty: {}\n"


def test_an_object_that_stands_twice_is_written_twice_without_anchors() -> None:
    shared = {"x": [1]}
    assert dump({"a": shared, "b": shared}) == "a: {x: [1]}\nb: {x: [1]}\n"


def test_a_key_without_a_value_is_null() -> None:
    assert parse("key:", "here")[0] == {"key": None}
