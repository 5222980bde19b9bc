"""`python -m scalenet_cli` is `scalenet`; what lies in the working directory is not imported, as with the command."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]

from .entry import main

main()
