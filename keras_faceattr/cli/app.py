"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import keras_faceattr
from keras_faceattr.backend import start_backend

app = typer.Typer(
    name="keras-faceattr",
    help="From a folder of labelled photos to a face-attribute model on a phone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True)
benchmark_app = typer.Typer(help="Measure speed, as ratios within one run.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(benchmark_app, name="benchmark")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the config, such as training.epochs=5.")
]
DataPaths = Annotated[
    list[str], typer.Option("--data", metavar="READER=PATH", help="Where a source of the config lies.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder in which the run's folder is made.")]


def _version(value: bool) -> None:
    if value:
        print(f"keras-faceattr {keras_faceattr.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of labelled photos to a face-attribute model on a phone."""


@app.command()
def fit(
    config: Annotated[str | None, typer.Argument(help="Name of a recipe or path of a YAML file.")] = None,
    data: DataPaths = [],  # noqa: B006  Typer copies defaults
    set_: Set = [],  # noqa: B006
    runs: Runs = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option(help="Write logs for TensorBoard into the run.")] = False,
    json: Json = False,
) -> None:
    """Train a model; without a config, TinyAttNet on embedded drawn faces."""
    start_backend()
    from keras_faceattr.cli.fit import run_fit

    run_fit(config, data, set_, runs, resume, tensorboard, json)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: DataPaths = [],  # noqa: B006
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    tta: Annotated[str | None, typer.Option(help="none, or flip: average with the mirrored photo.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a row a photo to this CSV.")] = None,
    json: Json = False,
) -> None:
    """Measure a run on a split of its data, with 95 % intervals and by group."""
    start_backend()
    from keras_faceattr.cli.evaluate import run_evaluate

    run_evaluate(run, data, split, tta, out, json)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    photos: Annotated[Path, typer.Argument(help="A photo, a folder, or a CSV with a column image.")],
    out: Annotated[
        Path | None, typer.Option(help="Write to this .csv, .parquet or .jsonl file instead of printing.")
    ] = None,
    tta: Annotated[str, typer.Option(help="none, or flip: average with the mirrored photo.")] = "none",
    json: Json = False,
) -> None:
    """Predict photos, a row each; memory does not grow with their number."""
    start_backend()
    from keras_faceattr.cli.predict import run_predict

    run_predict(run, photos, out, tta, json)


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of a net, or folder of a run.")],
    size: Annotated[int, typer.Option(help="Side of the input in pixels, for a net.")] = 224,
    json: Json = False,
) -> None:
    """Show parameters and multiply-adds, layer by layer."""
    start_backend()
    from keras_faceattr.cli.info import run_info

    run_info(name, size, json)


@data_app.command("inspect")
def data_inspect(
    source: Annotated[str, typer.Argument(help="Config (name or path), READER=PATH, or a CSV.")],
    picture: Annotated[Path | None, typer.Option(help="Write label histograms and sample photos to this PNG.")] = None,
    set_: Set = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Show counts, label histograms, missing labels, duplicates and bad files."""
    from keras_faceattr.cli.inspect import run_inspect

    run_inspect(source, picture, set_, json)


@data_app.command("list")
def data_list(json: Json = False) -> None:
    """List the readers and the recipes."""
    from keras_faceattr.cli.inspect import run_list

    run_list(json)


@benchmark_app.command("pipeline")
def benchmark_pipeline(
    config: Annotated[str | None, typer.Argument(help="Name of a recipe or path of a YAML file.")] = None,
    data: DataPaths = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    steps: Annotated[int, typer.Option(min=5, help="Batches per measurement.")] = 40,
    json: Json = False,
) -> None:
    """Compare `fit`, the bare training step, and decoding with augmentation, in one run."""
    start_backend()
    from keras_faceattr.cli.benchmark import run_benchmark_pipeline

    run_benchmark_pipeline(config, data, set_, steps, json)
