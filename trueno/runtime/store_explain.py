"""Why a key is not in the store: the nearest entry and the fields in which it differs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trueno.runtime.store_entry import Key, Stored

_SHORT = 60


class Field(NamedTuple):
    """One named part of a key in which two keys differ; None where a key lacks it."""

    name: str
    stored: str | None
    asked: str | None

    def sentence(self, here: str = "in the cache", there: str = "asked for") -> str:
        """Say the difference in one line; of long texts, the first line that differs."""
        stored, asked, place = self.stored, self.asked, ""
        if stored is not None and asked is not None and max(len(stored), len(asked)) > _SHORT:
            number, stored, asked = _first_difference(stored, asked)
            place = f", line {number}"
        return f"{self.name}{place}: {_short(stored)} {here}, {_short(asked)} {there}"


class Explanation(NamedTuple):
    """The stored entry nearest to a key, and the fields in which its key differs."""

    entry: Stored
    fields: tuple[Field, ...]

    def sentence(self) -> str:
        """Say it in one line."""
        differences = "; ".join(field.sentence() for field in self.fields)
        return f"nearest is {self.entry.name} {self.entry.digest[:12]}; {differences}"


def explain(key: Key, entries: Iterable[Stored]) -> Explanation | None:
    """Return the entry with the fewest differing fields, among equals the one whose texts agree longest."""
    best, best_rank = None, None
    for entry in entries:
        if entry.digest == key.digest:
            continue
        fields = differences(entry.key, key)
        agreement = sum(_agreement(field) for field in fields)
        rank = (len(fields), -agreement, -entry.used)
        if best_rank is None or rank < best_rank:
            best, best_rank = Explanation(entry, fields), rank
    return best


def differences(stored: Key, asked: Key) -> tuple[Field, ...]:
    """Return the fields in which two keys differ, in the keys' order."""
    left = {"target": stored.target, **dict(stored.parts)}
    right = {"target": asked.target, **dict(asked.parts)}
    names = dict.fromkeys([*right, *left])
    return tuple(
        Field(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)
    ) or (Field("order of fields", ", ".join(left), ", ".join(right)),)


def _agreement(field: Field) -> int:
    """Return how many characters of the two values agree from the start."""
    stored, asked = field.stored or "", field.asked or ""
    shorter = min(len(stored), len(asked))
    return next((index for index in range(shorter) if stored[index] != asked[index]), shorter)


def _first_difference(stored: str, asked: str) -> tuple[int, str, str]:
    left, right = stored.splitlines() or [""], asked.splitlines() or [""]
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same]:
        same += 1
    ends = [lines[same] if same < len(lines) else "(end)" for lines in (left, right)]
    return same + 1, ends[0].strip(), ends[1].strip()


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    return repr(text) if len(text) <= _SHORT else repr(text[: _SHORT - 1] + "…")
