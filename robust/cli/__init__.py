"""The command line. One file per command; nothing heavy is imported before it is needed.

The commands of the solver interface (``verify``, ``supports``, ``--name``, ``--version``) are told apart here, before
the packages of the other commands are loaded: a query must not wait for what only an audit needs.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the console command."""
    if sys.argv[1:2] and sys.argv[1] in ("verify", "supports", "capabilities", "--name", "--version"):
        from robust.cli.verify import solver_main

        sys.exit(solver_main(sys.argv[1:]))
    from robust.cli.app import main as app_main

    app_main()
