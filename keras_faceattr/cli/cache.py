"""`keras-faceattr cache`."""

from __future__ import annotations

import time
from typing import Any

from rich.table import Table

from keras_faceattr.api.listing import CleanedCache, cache_entries, clean_cache
from keras_faceattr.cache import KINDS, Entry, limit
from keras_faceattr.cli.json_output import print_json
from keras_faceattr.storage import cache_folder
from keras_faceattr.terminal.console import plain_console


def run_cache(clean: bool, older_than: float, kinds: list[str], json: bool) -> None:
    """Shows what the cache holds, or removes what no process uses."""
    if clean:
        cleaned = clean_cache(kinds, older_than_days=older_than)
        _print_cleaned(cleaned, json)
        return
    found = cache_entries(kinds, older_than_days=older_than)
    rows = [_row(entry) for entry in found]
    if json:
        print_json({"folder": str(cache_folder()), "limit_bytes": limit(), "entries": rows})
        return
    table = Table("kind", "name", "MB", "last used", "", "what it is for", box=None)
    table.columns[2].justify = "right"
    for entry, row in zip(found, rows, strict=True):
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        state = "in use" if row["in_use"] else ""
        table.add_row(entry.kind, row["name"], f"{entry.size / 1e6:.1f}", used, state, row["purpose"])
    if found:
        plain_console().print(table)
    most = limit()
    of = "no limit" if most is None else f"limit {most / 1e9:.1f} GB"
    print(f"{sum(entry.size for entry in found) / 1e9:.2f} GB in {len(found)} entries of {cache_folder()} ({of})")
    if found:
        print("next     keras-faceattr cache --clean --older-than 30")


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.path.name,
        "path": str(entry.path),
        "bytes": entry.size,
        "last_used": entry.last_used,
        "in_use": entry.in_use,
        "purpose": KINDS[entry.kind].purpose,
    }


def _print_cleaned(cleaned: CleanedCache, json: bool) -> None:
    freed = cleaned.freed_bytes
    if json:
        paths = {name: [str(entry.path) for entry in getattr(cleaned, name)] for name in ("removed", "in_use")}
        print_json({"folder": str(cache_folder()), "freed_bytes": freed, **paths})
        return
    print(f"removed {len(cleaned.removed)} entries, {freed / 1e9:.2f} GB")
    for entry in cleaned.in_use:
        print(f"in use, kept: {entry.path}")
