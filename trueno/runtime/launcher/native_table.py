"""The memory that the native look-up reads: records of entries, and hash tables of records."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

from trueno.runtime.entry import Entry
from trueno.runtime.launcher.abi import FUNCTION, RECORD, WORD
from trueno.runtime.launcher.records import Functions, View, describe


class Record:
    """One RECORD and the arrays that its words point to, in one piece of memory."""

    __slots__ = ("_keep", "address", "hash", "key")

    def __init__(
        self, entry: Entry | View, args: tuple[Any, ...], key: bytes, hash_words: Callable[..., int], keep: Any,
        after: Callable[..., None] | None = None,
    ) -> None:  # fmt: skip
        description = describe(entry, args)
        fields = {
            "owner": id(self),
            "after": 0 if after is None else id(after),
            "arity": description.arity,
            "operand_count": len(description.operands),
        }
        arrays = {"operands": [word for o in description.operands for word in (o[0], id(o[1]), *o[2:])]}
        if isinstance(entry, View):
            fields |= {"view": 1, "meta": entry.byte_offset}
            arrays["outputs"] = [id(entry.layout), 0, -1]
        else:
            _add_entry(entry, fields, arrays)
        words = (ctypes.c_int64 * (len(key) // WORD)).from_buffer_copy(key)
        arrays["key"] = list(words)
        self.hash = fields["hash"] = hash_words(words, len(words))
        fields["key_words"] = len(words)
        memory = (ctypes.c_int64 * (RECORD["size"] // WORD + sum(map(len, arrays.values()))))()
        self.address = ctypes.addressof(memory)
        end = RECORD["size"] // WORD
        for name, array in arrays.items():
            memory[end : end + len(array)] = array  # type: ignore[assignment]
            fields[name] = self.address + end * WORD
            end += len(array)
        for name, value in fields.items():
            memory[RECORD[name] // WORD] = value
        self.key = key
        self._keep = (memory, entry, description, keep, after)


def _add_entry(entry: Entry, fields: dict[str, int], arrays: dict[str, list[int]]) -> None:
    fields |= {
        "kernel": entry.function,
        "meta": entry.meta_address,
        "parallel": entry.parallel,
        "single": entry.single,
        "in_place": any(alias >= 0 for alias in entry.aliases),
        "tensor_count": len(entry.tensors),
        "output_count": len(entry.outputs),
        "scratch_count": len(entry.scratch),
        "scalar_count": len(entry.scalars),
    }
    outputs = zip(entry.outputs, entry.aliases, strict=True)
    arrays["outputs"] = [word for layout, alias in outputs for word in (id(layout), layout.nbytes, alias)]
    arrays["scratch"] = list(entry.scratch)
    arrays["scalars"] = [word for s in entry.scalars for word in (s.operand, s.kind == "i", s.low, s.high, s.bits)]


class ArrayRecord:
    """A RECORD that stands for the layout of arrays with a key; only the look-up and code_array.py read it."""

    __slots__ = ("_keep", "address", "hash", "key")

    def __init__(self, key: bytes, layout: Any, hash_words: Callable[..., int], keep: Any) -> None:
        count, head = len(key) // WORD, RECORD["size"] // WORD
        memory = (ctypes.c_int64 * (head + count))()
        self.address, self.key = ctypes.addressof(memory), key
        ctypes.memmove(self.address + RECORD["size"], key, len(key))
        self.hash = hash_words(self.address + RECORD["size"], count)
        fields = {"hash": self.hash, "key_words": count, "key": self.address + RECORD["size"], "meta": id(layout)}
        for name, value in fields.items():
            memory[RECORD[name] // WORD] = value
        self._keep = (memory, layout, keep)


class _Table:
    """An open-addressing hash table of records."""

    __slots__ = ("count", "mask", "memory", "places")

    def __init__(self, records: Iterable[Record | ArrayRecord], size: int) -> None:
        self.mask, self.count = size - 1, 0
        self.memory = (ctypes.c_int64 * (size + 1))(self.mask)
        self.places: list[Record | ArrayRecord | None] = [None] * size
        for record in records:
            self.add(record)

    def add(self, record: Record | ArrayRecord) -> None:
        """Store a record in place of one with an equal key, or in a free place."""
        index = record.hash & self.mask
        while (found := self.places[index]) is not None and found.key != record.key:
            index = (index + 1) & self.mask
        self.count += found is None
        self.places[index] = record
        # From here on the native code finds the new record; the old one is dropped by whoever holds it.
        self.memory[index + 1] = record.address


class Shared:
    """What the callables of one function share: the words that the native code reads, and the records by key."""

    __slots__ = ("__weakref__", "_table", "functions", "name", "operands", "probe", "records", "words")
    functions: Functions

    def __init__(self, name: str, operands: int) -> None:
        self.name, self.operands = name, operands
        self.words = (ctypes.c_int64 * (FUNCTION["size"] // WORD))()
        self.words[FUNCTION["operands"] // WORD] = operands
        self.records: dict[bytes, Record | ArrayRecord] = {}
        self.probe: Callable[..., bytes | None] = lambda: None
        self._rebuild(1)

    def _rebuild(self, size: int) -> None:
        """Replace the table; the old one lives until the native code cannot find it any more."""
        table = _Table(list(self.records.values()), size)
        self.words[FUNCTION["table"] // WORD] = ctypes.addressof(table.memory)
        self._table = table

    def add(self, record: Record | ArrayRecord) -> None:
        """Make a record known; it replaces one with an equal key."""
        if 2 * (self._table.count + 1) > self._table.mask:
            self._rebuild(max(4, 2 * (self._table.mask + 1)))
        # A record that is replaced must outlive its place in the table.
        replaced = self.records.get(record.key)
        self._table.add(record)
        self.records[record.key] = record
        del replaced

    def clear(self) -> None:
        """Forget all records."""
        dropped, self.records = self.records, {}
        self._rebuild(1)
        dropped.clear()

    def __del__(self) -> None:
        if hasattr(self, "functions"):  # the table of arrays is no function
            self.functions.retire(self)

    @property
    def counts(self) -> tuple[int, int]:
        """Hits and misses."""
        return self.words[FUNCTION["hits"] // WORD], self.words[FUNCTION["misses"] // WORD]

    @counts.setter
    def counts(self, counts: tuple[int, int]) -> None:
        self.words[FUNCTION["hits"] // WORD], self.words[FUNCTION["misses"] // WORD] = counts
