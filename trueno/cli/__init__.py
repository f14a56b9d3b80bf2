"""The command `trueno`: what is installed, what works, and what the kernel cache holds.

typer and rich are imported here and nowhere else in the package.
"""

from __future__ import annotations

from trueno.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="trueno")
