"""The choices that tuning has found, in the store: kept for later processes, restored before the first plan."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache

from trueno.codegen.choices import Choices, current, use
from trueno.codegen.target import resolve
from trueno.runtime import threads
from trueno.runtime.store import Key, default_store
from trueno.runtime.store_folder import warn_once


def _key() -> Key:
    parts = (("kind", "tuning"), ("features", resolve().description()), ("threads", str(threads.default_num_threads())))
    return Key(parts, "tuning-cpu")


def save() -> None:
    """Keep the present choices for processes with the same CPU features and number of threads."""
    found = current()._asdict()
    header = {
        "name": "choices", "backend": "tuning", "choices": found,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    default_store().save(_key(), json.dumps(found).encode(), header)


@cache
def restore() -> None:
    """Follow the choices that were kept, once in a process; what is not among them stays as it is."""
    found = default_store().peek(_key())
    if found is None:
        return
    try:
        values = json.loads(found.code)
        known = {name: int(value) for name, value in values.items() if name in Choices._fields and int(value) > 0}
    except (ValueError, AttributeError, TypeError) as error:
        warn_once("tuning", f"tuned choices in {found.path} cannot be read ({error}); run `trueno tune` again")
        return
    use(current()._replace(**known))


def remove() -> bool:
    """Forget what was kept; return whether there was anything."""
    return default_store().remove(_key())
