"""A PostgreSQL server of the tests' own: found or installed, started in a temporary folder, gone with the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIRED = "SCALENET_REQUIRE_POSTGRESQL"

# PostgreSQL refuses to run as root: another user of this machine, or one in a namespace where /dev/null is root's own.
_AS_ANOTHER = (
    ["unshare", "--user", "--map-user=1000", "--map-group=1000"],
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"],
)
# The shell stops the server once its stdin says how, or ends with the tests, whatever ended them.
_GUARD = """
"$@" & server=$!
read -r how || gone=1
kill -s "${how:-QUIT}" $server
wait $server
[ -z "$gone" ] || rm -rf "$PWD"
"""
_QUICK = ["-F", "-c", "max_connections=60", "-c", "shared_buffers=16MB"]


class Server:
    """A server on a free port of this machine, with one database for all tests, which each finds empty."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        """Make its files."""
        self.binaries, self.folder = binaries, folder
        self.port = _free_port()
        self.user = next((words for words in _users() if self._made(words)), None)
        if self.user is None:
            raise RuntimeError(f"{binaries}/initdb failed: {self.said}")

    def start(self) -> None:
        """Start, and wait for it."""
        own = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", "", "-c", "listen_addresses=127.0.0.1"]
        words = [*(self.user or []), "sh", "-c", _GUARD, "sh", str(self.binaries / "postgres"), *own, *_QUICK]
        log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            words, cwd=self.folder, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True
        )
        log.close()
        self._wait()

    def stop(self, how: str = "fast") -> None:
        """Stop as `pg_ctl stop -m fast` or `-m immediate` does."""
        assert self.process.stdin is not None
        self.process.communicate({"fast": "INT\n", "immediate": "QUIT\n"}[how], timeout=60)

    def database(self) -> str:
        """Return the URL of the database, emptied: what a test before left connected is thrown out.

        A database a test costs 8 MB each, and minutes to remove where the disk is busy.
        """
        import psycopg

        url = f"postgresql://scalenet@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return url

    def _made(self, user: list[str]) -> bool:
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        words = [str(self.binaries / "initdb"), "-D", str(data), "-U", "scalenet", "-A", "trust"]
        words += ["-N", "--no-locale", "-E", "UTF8"]
        if user[:1] == ["setpriv"]:
            shutil.chown(self.folder, "postgres")
        done = subprocess.run([*user, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        self.said = done.stderr.strip()
        return done.returncode == 0

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        ready = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.05)


@contextmanager
def running() -> Iterator[Server]:
    """Run a server; skip the test where there is none, or fail it where the environment requires one."""
    binaries = find_binaries()
    if binaries is None:
        say = pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip
        say("needs PostgreSQL's server (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="scalenet-postgresql-"))
    try:
        server = Server(binaries, folder)
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_binaries() -> Path | None:
    """Return the folder of initdb and postgres: that of PATH, of Debian's newest version, or of pg_config."""
    places = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    places += sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    if config := shutil.which("pg_config"):
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        places.append(Path(asked.stdout.strip()))
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def _users() -> list[list[str]]:
    if os.geteuid():
        return [[]]
    return [words for words in _AS_ANOTHER if shutil.which(words[0])]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
