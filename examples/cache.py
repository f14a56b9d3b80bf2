"""The kernel cache: what it holds, and how a kernel was made."""

from __future__ import annotations

import trueno as tn
from trueno.runtime.store import default_store

tn.softmax(tn.rand(100, 50))

# The same as `trueno cache list`, `trueno cache show softmax` and `trueno cache stats` print.
store = default_store()
entries = sorted(store.entries(), key=lambda entry: entry.used, reverse=True)
print(f"{len(entries)} kernels in {store.folder}; the most recently used:")
for entry in entries[:8]:
    print(f"{entry.digest[:12]}  {entry.name:16} {entry.backend:8} {entry.size:7} bytes")

softmax = store.find("softmax")
print(softmax.header["ir"])
counts = store.counters()
print(f"{counts['compiled']} kernels were compiled by this process, {counts['hits']} came from the disk")
