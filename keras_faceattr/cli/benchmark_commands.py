"""The commands of `keras-faceattr benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_faceattr.cli.arguments import CONFIG_HELP, BudgetName, DataPaths, Json, OutFolder, Set, Steps
from keras_faceattr.cli.default_command import ModelsByDefault
from keras_faceattr.cli.environment import start_backend
from keras_faceattr.cli.help_pages import Command

benchmark_app = typer.Typer(cls=ModelsByDefault, help="Measure speed, as ratios within one run.", no_args_is_help=True)

PHONE = "Options for an Android phone (--device android or its class)"
BROWSER = "Options for results of browsers"


@benchmark_app.command("models", cls=Command, hidden=True)
def benchmark_models(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL", help=".tflite files; each gets a row of its own.")],
    against: Annotated[
        list[str],
        typer.Option(
            metavar="NET",
            help="Reference net: resnet50, vgg16, mobilenet_v2, mobilenet_v3_small, or none; repeatable.",
        ),
    ] = ["resnet50"],  # noqa: B006
    threads: Annotated[list[str], typer.Option(metavar="N", help="Number of threads; repeatable.")] = ["1"],  # noqa: B006
    precision: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Precision of the reference nets: float32 or int8; repeatable.  [default: that of each model]",
        ),
    ] = [],  # noqa: B006
    side: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", help="Input side of the reference nets in pixels.  [default: that of each model]"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, metavar="S", help="Seconds of measurement for each number of threads.")
    ] = 20.0,
    budget: BudgetName = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where to measure: host, android, browser (shows saved results only), or a class of export/devices.",
        ),
    ] = "host",
    ops: Annotated[bool, typer.Option(help="Also show which operations take the time.")] = False,
    out: OutFolder = None,
    json: Json = False,
    benchmark_binary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="LiteRT's benchmark_model for the phone's processor.", rich_help_panel=PHONE),
    ] = None,
    serial: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Serial number of the phone, if several are connected.  [default: $ANDROID_SERIAL]",
            rich_help_panel=PHONE,
        ),
    ] = None,
    gpu: Annotated[bool, typer.Option(help="Run on the phone's GPU.", rich_help_panel=PHONE)] = False,
    xnnpack: Annotated[bool, typer.Option(help="Run with XNNPACK.", rich_help_panel=PHONE)] = True,
    cpu_mask: Annotated[
        str | None,
        typer.Option(
            metavar="HEX",
            help="Cores to run on, as a hexadecimal mask.  [default: the scheduler's choice]",
            rich_help_panel=PHONE,
        ),
    ] = None,
    results: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the demo's browser results.", rich_help_panel=BROWSER),
    ] = Path("export/results"),
    import_: Annotated[
        list[Path],
        typer.Option(
            "--import",
            metavar="FILE",
            help="Result downloaded from a browser, copied to that folder first; repeatable.",
            rich_help_panel=BROWSER,
        ),
    ] = [],  # noqa: B006
) -> None:
    """Compare .tflite files with well-known nets in one run: size, multiply-adds, metric, time, ratio.

    With --budget, exits 1 if a limit is not met, 3 if one that applies was not measured.
    """
    from keras_faceattr.cli.benchmark_models import run_benchmark_models
    from keras_faceattr.cli.benchmark_options import BenchmarkOptions
    from keras_faceattr.zoo import file_of

    run_benchmark_models(
        BenchmarkOptions(
            [file_of(model) for model in models], against, threads, precision, side, seconds, budget, device,
            benchmark_binary, serial, gpu, xnnpack, cpu_mask, ops, out, json, results, tuple(import_),
        )
    )  # fmt: skip


@benchmark_app.command("detector", cls=Command)
def benchmark_detector(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SRC", help="Folder, CSV, READER=PATH or config.  [default: drawn scenes]"),
    ] = None,
    photos: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of photos, drawn at random from the source.")
    ] = 60,
    side: Annotated[
        list[str],
        typer.Option(metavar="PIXELS", help="Side to which photos are resized: 32 to 1024 pixels; repeatable."),
    ] = ["256"],  # noqa: B006
    package: Annotated[bool, typer.Option(help="Also run the package mtcnn, which needs TensorFlow.")] = True,
    out: OutFolder = None,
    json: Json = False,
) -> None:
    """Compare our face detector with the package mtcnn in one run: speed, and whether both find the same faces."""
    from keras_faceattr.cli.benchmark_detector import run_benchmark_detector

    run_benchmark_detector(source, photos, side, package, out, json)


@benchmark_app.command("api", cls=Command)
def benchmark_api(
    net: Annotated[
        str, typer.Argument(metavar="NET", help="A .tflite file whose crop is of five points, or a shipped net.")
    ] = "faces",
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds of each part; the median counts.")] = 5,
    photos: Annotated[
        int, typer.Option(min=2, metavar="N", help="Photos that several processes predict in each round.")
    ] = 600,
    memory_photos: Annotated[
        int, typer.Option(min=100, metavar="N", help="Photos that are predicted while the memory is watched.")
    ] = 4000,
    out: OutFolder = None,
    json: Json = False,
) -> None:
    """Compare the Python API with the command and with the same work by hand, on drawn photos: time and memory."""
    from keras_faceattr.cli.benchmark_api import run_benchmark_api

    run_benchmark_api(net, rounds, photos, memory_photos, out, json)


@benchmark_app.command("tasks", cls=Command)
def benchmark_tasks(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help=CONFIG_HELP)],
    data: DataPaths = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    steps: Steps = 150,
    json: Json = False,
) -> None:
    """Measure what each task, each loss with a memory and each data set adds to a training step."""
    start_backend()
    from keras_faceattr.cli.benchmark import run_benchmark_tasks

    run_benchmark_tasks(config, data, set_, steps, json)


@benchmark_app.command("pipeline", cls=Command)
def benchmark_pipeline(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help=f"{CONFIG_HELP}  [default: quickstart]")
    ] = None,
    data: DataPaths = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    steps: Steps = 150,
    onednn: Annotated[
        bool, typer.Option("--onednn", help="Compare training with oneDNN's kernels and without them instead.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare `fit`, the training step alone, and decoding with augmentation, in one run."""
    if onednn:
        from keras_faceattr.cli.benchmark_onednn import run_benchmark_onednn

        run_benchmark_onednn(config, data, set_, steps, json)
        return
    start_backend()
    from keras_faceattr.cli.benchmark import run_benchmark_pipeline

    run_benchmark_pipeline(config, data, set_, steps, json)
