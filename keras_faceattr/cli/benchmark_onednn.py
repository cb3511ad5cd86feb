"""`keras-faceattr benchmark pipeline --onednn`."""

from __future__ import annotations

from rich.table import Table

from keras_faceattr.api.configs import read_experiment
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.terminal.console import plain_console, say
from keras_faceattr.training.onednn_benchmark import benchmark_onednn


def run_benchmark_onednn(config: str | None, data: list[str], overrides: list[str], steps: int, json: bool) -> None:
    """Print images/s of training with oneDNN off and on, and their ratio."""
    result = benchmark_onednn(read_experiment(config, data_paths(data), overrides), steps, say)
    if json:
        print_json(result)
        return
    table = Table("oneDNN", "images/s of fit", box=None)
    for name, speed in result["images_per_s"].items():
        table.add_row(name, f"{speed:.1f}")
    console = plain_console()
    console.print(table)
    kinds = ", ".join(result["instruction_sets"]) or "instruction sets unknown"
    limit = f"; ONEDNN_MAX_CPU_ISA={result['limited_to']}" if result["limited_to"] else ""
    console.print(f"on to off: {result['ratio']:.2f} ×")
    console.print(
        f"batch {result['batch_size']}, crop {result['crop_size']}², {result['rounds']} rounds in turn; "
        f"{result['device']}, {result['processor']} ({kinds}{limit})",
    )
