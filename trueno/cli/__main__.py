"""`python -m trueno.cli` is the command `trueno`."""

from __future__ import annotations

from trueno.cli import main

main()
