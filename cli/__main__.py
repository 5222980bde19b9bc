"""`python -m scalenet_cli` is `scalenet`."""

from .main import main

main()
