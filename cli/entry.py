"""Where the `scalenet` command begins: Ctrl-C is one line from the start, not only once a command runs.

To the first process of a container SIGTERM is Ctrl-C.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if os.getpid() == 1:  # the first process of a container hears only what it has a handler for
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    from .main import main as run

    run()


def interrupt_as_usual() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on: a command hears it."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    """End at once: an exception in the middle of an import may come out as another one, or not at all."""
    try:
        os.write(2, b"scalenet: interrupted\n")
    finally:
        os._exit(130)
