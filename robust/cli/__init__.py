"""The command line. One file per command; nothing heavy is imported before it is needed."""

from robust.cli.app import main

__all__ = ["main"]
