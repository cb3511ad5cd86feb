"""`keras-faceattr benchmark api`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.api.speed import AIMS, measure_api
from keras_faceattr.cli.options import print_json
from keras_faceattr.storage import write_json
from keras_faceattr.terminal.console import plain_console


def run_benchmark_api(net: str, rounds: int, photos: int, memory_photos: int, out: Path | None, json: bool) -> None:
    """Prints what each way takes, and the ratios next to what is asked of them."""
    print(f"{rounds} rounds of {photos} photos, and {memory_photos} photos for the memory", file=sys.stderr)
    result = measure_api(net, rounds, photos, memory_photos)
    if out:
        write_json(out / "api.json", result)
    if json:
        print_json(result)
        return
    _print(result)
    if out:
        print(f"\nresult   {out / 'api.json'}")


def _print(result: dict[str, Any]) -> None:
    console = plain_console()
    ways = Table(
        "way", "seconds (median)", title=f"{result['net']}, {result['machine']}", title_justify="left", box=None
    )
    for way, seconds in result["seconds"].items():
        ways.add_row(way, f"{seconds:.4f}")
    console.print(ways)
    shown = Table("number", "measured", "aim", "", box=None)
    for name, aim in AIMS.items():
        value = result["numbers"][name]
        sign = "≤" if aim.at_most else "≥"
        shown.add_row(aim.title, f"{value:.3f}", f"{sign} {aim.value:g}", "met" if aim.met(value) else "not met")
    console.print(shown)
    memory = result["memory"]
    console.print(
        f"memory: {memory['warm_mb']:.0f} MB when warm, {memory['end_mb']:.0f} MB after {memory['photos']} photos"
    )
