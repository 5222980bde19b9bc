"""Values, texts and files that no one means well with; all chance comes from one `random.Random`."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

SECRET = "hunter2"
"""The password in every URL; no output may hold it."""

NUMBERS = (
    *("0", "-0", "-1", "1", "2", "3.5", "0.1", "00", "1e3", "-1e-3", "1e-320", "1e300", "1e309", "-1e309"),
    *("nan", "NaN", ".nan", "inf", "-inf", ".inf", "-.inf", "Infinity", "1e", "0x10", "1_000", "1,5", "٣"),
    *("4097", "65536", "1000000000", "1000000001", "2147483648", "9223372036854775808", "1e99999", "+1", "1."),
    *("1" + "0" * 300, "9" * 5000),
    *("0." + "9" * 300, "0." + "0" * 400 + "1", "true", "null", "~", ""),
)
TEXTS = (
    *("", " ", "a", "x" * 300, "y" * 100_000, "-", "--", "--help", "-x", "*", "?", "[", "]", "~", "null", "no", "<<"),
    *("\x1b[31mred", "a\nb", "a\r\nb", "a\rb", "a\tb", "\x00", "\x07", "\x7f", "\x85", "\u2028", "\ud800", "\udcff"),
    *("\n::error file=a::pwned", "\r::add-mask::x", "::error::x", "%0A::error::x", "\n##[error]x", "]]>", "<b>", "a|b"),
    *("\u202eabc", "\u2066a", "\ufeffa", "שלום", "عربي", "😀", "é", "e\u0301", "𝟙", "a\u200bb", "[bold]a[/bold]"),
    *("/", "..", "../x", "a/b", "a\\b", "C:\\x", "a:b", ".a", "a.yaml", "con", "$(id)", "`id`", "'", '"', "%s", "{0}"),
    *("{config}", "!!python/name:os.system", "&a", "*a", "a: b", "# a", "---", "...", "__class__", "os:getcwd", "x:y"),
)
SIZES = ("0", "1", "7", "32", "8x8", "8x9", "32x", "x32", "1x1000000000", "8×8", "08", "8x8x8", "-8", "8.5", "8 x 8")
AMOUNTS = (
    *("1", "1k", "2x", "0x", "0.5x", "1e6x", "1000000000x", "4G", "4B", "4g", "4 G", "1M,2M", "1M,", ",", "0", "-1M"),
    *(
        "1GiB",
        "1 KiB",
        "0B",
        "1b",
        "9" * 30 + "GiB",
        "9" * 5000 + "x",
        "1.5.5M",
        "0.0000001",
        "5ms",
        "0ms",
        "1us",
        "1h",
    ),
    *("1e400s", "9" * 400 + "s", "1M" + ",1M" * 2000),
)
RANGES = (
    "1..3",
    "1..1000",
    "1..1001",
    "3..1",
    "0..1e9",
    "1...3",
    "..3",
    "1..",
    "nan..nan",
    "1,2,3",
    "-400",
    "1e3",
    "2000",
)
SHARES = (
    "0.3,0.3,0.4",
    "1,0,0",
    "2,-1,0",
    "1e17,-1e17,1",
    "nan,0,1",
    "1,0",
    "0,0,0,1",
    "-600,601,0",
    "inf,-inf,1",
    ",,",
)
PATHS = (
    *(".", "..", "./", "net.yaml", "./net.yaml", "net.yaml/x", "missing.yaml", "missing/x.yaml", "folder", "folder/"),
    *("folder/out.yaml", "out.yaml", "out", "*.yaml", "**.yaml", "**/*", "[.yaml", "x" * 256, "x/" * 3000, "a\nb.yaml"),
    *(
        "dangling",
        "loop",
        "link",
        "pipe",
        "full",
        "null",
        "locked",
        "latin",
        "é.yaml",
        "/proc/self/mem",
        "/proc/nope/x",
    ),
    *(
        "table:net.yaml",
        "table:",
        "markdown=out.md",
        "json=folder",
        "junit=full",
        "json=pipe",
        "json=dangling",
        "json=",
    ),
)
URLS = (
    *(f"postgresql://user:{SECRET}@127.0.0.1:1/db", f"postgresql://user@x:{SECRET}@127.0.0.1:1/db"),
    *(f"postgresql://127.0.0.1:1/db?password={SECRET}", f"postgresql://127.0.0.1:1/db?PASSWORD={SECRET}"),
    *(f"postgresql://127.0.0.1:1/db?sslpassword={SECRET}", f"postgresql:///db?passfile={SECRET}"),
    *(f"nosql://u:{SECRET}@127.0.0.1/x", f"postgresql://u:{SECRET}@127.0.0.1:port/x"),
    *(f"postgresql+nope://u:{SECRET}@127.0.0.1/x", f"mysql://u:{SECRET}@127.0.0.1:1/x"),
    *(f"postgresql://u:{SECRET}@[::1/x", f"sqlite://u:{SECRET}@/x.db", f"password={SECRET} host=x"),
    *("sqlite:///folder", "sqlite:///missing/x.db", "sqlite:///net.yaml", "sqlite://", "x"),
)
STORAGES = (*URLS, f"//u:{SECRET}@", f":{SECRET}", f"u:{SECRET}@h")
"""Also what only one who waits for a URL can know to hold a password."""
SHAPES = ("1x3x8x8", "1x3", "0x3", "1x77:int64", "1x3:int65", "1000000000x1000000000", "1" + "x1" * 3000, "8" * 5000)
SETTINGS = (
    "epochs=1",
    "epochs=1e9",
    "optimizer.lr=nan",
    "optimizer=1",
    "optimizer.lr.x=1",
    "a",
    "=",
    "name=\x1b",
    "x=1",
)
POOLS = (NUMBERS, TEXTS, SIZES, AMOUNTS, RANGES, SHARES, PATHS, URLS, SHAPES, SETTINGS)

_TOKEN = re.compile(r"[^\s{}\[\],:\"'=#<>]+")
_DEEP = 5000


def word(chance: Random, pool: tuple[str, ...] | None = None) -> str:
    """Return a value as an argument of a program can be: any of `pool`, or of all pools."""
    found = chance.choice(pool or chance.choice(POOLS))
    return (
        found.replace("\x00", "")
        .encode("utf-8", "surrogateescape" if found == "\udcff" else "replace")
        .decode("utf-8", "surrogateescape")
    )


def damaged(chance: Random, text: str) -> tuple[bytes, bool]:
    """Return a text as bytes with some damage to it, and whether no reader of YAML, JSON or TOML may take them."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        text = chance.choice(_CHANGES)(chance, text)
    how = chance.choice(_ENCODINGS) if chance.random() < 0.15 else _plain
    content = how(chance, text)
    return content, how in _UNREADABLE


def placed(chance: Random, path: Path, content: bytes) -> bool:
    """Put content at a path, or now and then something there that is no file; return whether it is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if chance.random() < 0.9:
        path.write_bytes(content)
        return False
    other = path.with_name("elsewhere")
    chance.choice(_OBJECTS)(path, other, content)
    return not path.is_file()


def surroundings(folder: Path) -> None:
    """Put into a folder what the hostile paths name: links, a pipe, devices, a folder, text of another encoding."""
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "link").symlink_to("net.yaml")
    os.mkfifo(folder / "pipe")
    for name, minor in (("null", 3), ("full", 7)):
        _device(folder / name, minor)
    (folder / "locked").write_bytes(b"x")
    (folder / "locked").chmod(0)
    (folder / "latin").write_bytes("schema: é".encode("latin-1"))


# Changes of a text, whatever its language.


def _token(chance: Random, text: str) -> str:
    """Replace a word of the text by a hostile value."""
    tokens = list(_TOKEN.finditer(text))
    if not tokens:
        return text
    at = chance.choice(tokens)
    return text[: at.start()] + _value(chance) + text[at.end() :]


def _value(chance: Random) -> str:
    kind = chance.random()
    if kind < 0.55:
        return chance.choice(NUMBERS)
    if kind < 0.9:
        return json.dumps(chance.choice(TEXTS), ensure_ascii=chance.random() < 0.7)
    if kind < 0.95:
        opening, closing = chance.choice((("[", "]"), ("{a: ", "}"), ('{"a": ', "}"), ("- ", ""), ("((", "))")))
        return opening * _DEEP + closing * chance.choice((0, _DEEP))
    return chance.choice(("[]", "{}", "[1, 2]", "{a: 1}", '{"a": [{}]}', "&a 1", "*a", "!!int 1", "? a", "| \n a", ">"))


def _lines(change: Callable[[Random, list[str], int], list[str]]) -> Callable[[Random, str], str]:
    def changed(chance: Random, text: str) -> str:
        lines = text.splitlines(keepends=True) or [""]
        return "".join(change(chance, lines, chance.randrange(len(lines))))

    return changed


def _doubled(chance: Random, lines: list[str], at: int) -> list[str]:
    return lines[:at] + lines[at : at + 1] * chance.choice((2, 2, 2, 3, 5000)) + lines[at + 1 :]


def _dropped(_: Random, lines: list[str], at: int) -> list[str]:
    return lines[:at] + lines[at + 1 :]


def _moved(chance: Random, lines: list[str], at: int) -> list[str]:
    rest = lines[:at] + lines[at + 1 :]
    to = chance.randrange(len(lines))
    return [*rest[:to], lines[at], *rest[to:]]


def _indented(chance: Random, lines: list[str], at: int) -> list[str]:
    return [*lines[:at], chance.choice((" ", "\t", "- ", "# ", "? ")) + lines[at], *lines[at + 1 :]]


def _key_added(chance: Random, lines: list[str], at: int) -> list[str]:
    name = json.dumps(chance.choice(TEXTS), ensure_ascii=chance.random() < 0.5)
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    sign = chance.choice((": ", " = ", ","))
    return [*lines[:at], f"{indent}{name}{sign}{_value(chance)}\n", *lines[at:]]


def _cut(chance: Random, text: str) -> str:
    return text[: chance.randrange(len(text) + 1)]


def _inserted(chance: Random, text: str) -> str:
    at = chance.randrange(len(text) + 1)
    added: str = chance.choice((*TEXTS, *":,[]{}\"'#-?!&*|>%@`=\\"))
    return text[:at] + added + text[at:]


def _swollen(chance: Random, text: str) -> str:
    """Add a megabyte: a comment, a list, or keys."""
    start = f"{chance.choice(('colour', 'name', 'stages'))}{chance.choice((': ', ' = '))}"
    more = (
        "# " + "x" * 1_000_000,
        start + "[" + "1, " * 300_000 + "1]",
        start + "{" + ", ".join(f"k{number}: {number}" for number in range(60_000)) + "}",
        "\n".join(f"k{number}: {number}" for number in range(60_000)),
        "\n" * 1_000_000,
    )
    return text + "\n" + chance.choice(more) + "\n"


_CHANGES: tuple[Callable[[Random, str], str], ...] = (
    *(_token,) * 12,
    *map(_lines, (_doubled, _dropped, _moved, _indented, _key_added, _key_added)),
    *(_cut, _inserted, _inserted),
    _swollen,
)


# Changes of bytes.


def _plain(_: Random, text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _utf_16(_: Random, text: str) -> bytes:
    return text.encode("utf-16", "surrogatepass")


def _latin(_: Random, text: str) -> bytes:
    return text.encode("latin-1", "replace") + b"\xe9\n"


def _marked(_: Random, text: str) -> bytes:
    return b"\xef\xbb\xbf" + _plain(_, text)


def _with_null(chance: Random, text: str) -> bytes:
    content = _plain(chance, text)
    at = chance.randrange(len(content) + 1)
    return content[:at] + b"\x00" + content[at:]


def flipped(chance: Random, content: bytes) -> bytes:
    """Return bytes of which some are others."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 4, 32))):
        if changed:
            changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(changed)


def cut(chance: Random, content: bytes) -> bytes:
    """Return the beginning of some bytes."""
    return content[: chance.randrange(len(content) + 1)]


def _noise(chance: Random, _: str) -> bytes:
    return chance.randbytes(chance.choice((1, 16, 4096)))


def _huge(_: Random, text: str) -> bytes:
    return _plain(_, text) + b"#" * 17 * 2**20


_UNREADABLE = (_utf_16, _latin, _with_null, _huge)
_ENCODINGS: tuple[Callable[[Random, str], bytes], ...] = (
    *_UNREADABLE[:3] * 2,
    *(_huge, _marked, _noise),
    lambda chance, text: flipped(chance, _plain(chance, text)),
    lambda chance, text: cut(chance, _plain(chance, text)),
)


# What may lie where a file is expected.


def _device(path: Path, minor: int) -> None:
    """Make a device of our own, which a wrong program may replace; a plain file where we must not."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
    except OSError:
        path.write_bytes(b"")


def _socket(path: Path, _: Path, __: bytes) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # a socket's whole path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.fchdir(here)
    os.close(here)


def _linked(path: Path, other: Path, content: bytes) -> None:
    other.write_bytes(content)
    path.symlink_to(other.name)


_OBJECTS: tuple[Callable[[Path, Path, bytes], None], ...] = (
    lambda path, _, __: path.mkdir(),
    lambda path, _, __: path.symlink_to("nowhere"),
    lambda path, _, __: path.symlink_to(path.name),
    lambda path, _, __: os.mkfifo(path),
    lambda path, _, __: _device(path, 3),
    lambda path, _, __: _device(path, 5),  # zeros without end
    lambda *_: None,
    _socket,
    _linked,
)
