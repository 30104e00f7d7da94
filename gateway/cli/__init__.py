"""The command line. `main` is the entry point."""

from gateway.cli.app import main

__all__ = ["main"]
