"""`keras-faceattr benchmark pipeline` and `benchmark tasks`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.api.configs import read_experiment
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.terminal.console import plain_console
from keras_faceattr.training.pipeline_benchmark import LIMITS, benchmark_pipeline
from keras_faceattr.training.task_benchmark import benchmark_tasks


def run_benchmark_pipeline(config: str | None, data: list[str], overrides: list[str], steps: int, json: bool) -> None:
    """Print images/s of each part and the ratios that matter."""
    result = benchmark_pipeline(read_experiment(config, data_paths(data), overrides), steps)
    if json:
        print_json(result)
        return
    table = Table("what", "images/s (median)", "p10–p90", box=None)
    for name, speed in result["images_per_s"].items():
        table.add_row(name, f"{speed['median']:.0f}", f"{speed['p10']:.0f}–{speed['p90']:.0f}")
    console = plain_console()
    console.print(table)
    for name, limit in LIMITS.items():
        console.print(limit.line(result["ratios"][name], *result["intervals"][name]))
    console.print(
        f"batch {result['batch_size']}, crop {result['crop_size']}², {result['device']}, peak memory "
        f"{result['peak_memory_mb']:.0f} MB",
    )


def run_benchmark_tasks(config: str, data: list[str], overrides: list[str], steps: int, json: bool) -> None:
    """Print what each task, each loss with a memory and each data set costs."""
    result = benchmark_tasks(read_experiment(config, data_paths(data), overrides), steps)
    if json:
        print_json(result)
    else:
        print_tasks(result)


def print_tasks(result: dict[str, Any]) -> None:
    """Print one row per variant of the net, and the noise, below which a share means nothing."""
    console = plain_console()
    table = Table("training step", "ms (median)", "share of a step that it costs", "of the multiply-adds", box=None)
    for name, step_ms in result["step_ms"].items():
        if name in result["shares"]:
            shares = f"{result['shares'][name]:.1%}", f"{result['mac_shares'][name]:.2%}"
            table.add_row(f"without {name}", f"{step_ms:.1f}", *shares)
        else:
            table.add_row(name, f"{step_ms:.1f}")
    console.print(table)
    console.print(f"noise: {result['noise']:.1%}, between two nets that are built alike")
    if "images_per_s" in result:
        table = Table("training on", "images/s (median)", box=None)
        for name, speed in result["images_per_s"].items():
            table.add_row(name, f"{speed:.0f}")
        console.print(table)
        console.print(f"mixed to a single data set: {result['mixed_to_single']:.3f} (aim ≥ 0.95)")
    console.print(f"batch {result['batch_size']}, crop {result['crop_size']}², {result['device']}")
