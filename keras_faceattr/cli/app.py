"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import keras_faceattr
from keras_faceattr.backend import start_backend
from keras_faceattr.cli.default_command import ModelsByDefault

app = typer.Typer(
    name="keras-faceattr",
    help="From a folder of labelled photos to a face-attribute model on a phone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True)
benchmark_app = typer.Typer(cls=ModelsByDefault, help="Measure speed, as ratios within one run.", no_args_is_help=True)
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


def _start_backend_unless_exported(name: Path) -> None:
    """An exported file is measured without TensorFlow."""
    if name.suffix != ".tflite":
        start_backend()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of labelled photos to a face-attribute model on a phone."""


@app.command()
def fit(
    config: Annotated[str | None, typer.Argument(help="Name of a shipped config or path of a YAML file.")] = None,
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
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or an exported .tflite file.")],
    data: DataPaths = [],  # noqa: B006
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    tta: Annotated[
        str | None, typer.Option(help="none, or flip: average with the mirrored photo; as the run's config without.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a row a photo to this CSV.")] = None,
    jitter: Annotated[
        bool, typer.Option("--jitter", help="Show instead how shifted, scaled and turned crops move predictions.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure a run or an exported file on a split of its data, with 95 % intervals and by group."""
    _start_backend_unless_exported(run)
    from keras_faceattr.cli.evaluate import run_evaluate

    run_evaluate(run, data, split, tta, out, jitter, json)


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs, or exported .tflite files.")
    ] = [],  # noqa: B006
    task: Annotated[list[str], typer.Option(metavar="NAME", help="Compare only this task, again for more.")] = [],  # noqa: B006
    by: Annotated[str | None, typer.Option(help="Also a row a group: gender, race or source.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a row a run, task and metric to this CSV.")] = None,
    json: Json = False,
) -> None:
    """Put runs and exported files side by side; runs with paired differences to the first on the same photos."""
    from keras_faceattr.cli.compare import run_compare

    run_compare(runs, task, by, out, json)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or an exported .tflite file.")],
    photos: Annotated[Path, typer.Argument(help="A photo, a folder, or a CSV with a column image.")],
    others: Annotated[
        list[Path], typer.Option("--with", metavar="RUN", help="Average with this run or file, again for more.")
    ] = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(help="Write to this .csv, .parquet or .jsonl file instead of printing.")
    ] = None,
    tta: Annotated[str, typer.Option(help="none, or flip: average with the mirrored photo.")] = "none",
    face: Annotated[
        str, typer.Option(help="Where the crop looks for faces: all of a photo, the largest, or the most central.")
    ] = "all",
    json: Json = False,
) -> None:
    """Predict photos, a row each (or a row a face); memory does not grow with their number."""
    for net in (run, *others):
        _start_backend_unless_exported(net)
    from keras_faceattr.cli.predict import run_predict

    run_predict(run, photos, others, out, tta, face, json)


@app.command()
def align(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Folder of photos, CSV, READER=PATH, or a config (name or path).")
    ],
    out: Annotated[Path, typer.Option(help="Folder for crops and tables; the same command goes on after a stop.")],
    size: Annotated[int | None, typer.Option(help="Side of a crop in pixels; 224.")] = None,
    method: Annotated[
        str | None, typer.Option(help="five_points, face_box, centre_square or whole_photo; five_points.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Added on each side, as a share of the face; 0.2.")] = None,
    face: Annotated[str | None, typer.Option(help="largest, central or all.")] = None,
    fallback: Annotated[
        str | None,
        typer.Option(help="centre_square or whole_photo, for photos without a face, which are put aside otherwise."),
    ] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Another key of the crop, such as min_face=40.")
    ] = [],  # noqa: B006
    data: DataPaths = [],  # noqa: B006
    format_: Annotated[
        str, typer.Option("--format", help="png keeps every pixel; jpg takes a fifth of the room.")
    ] = "png",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, ray://HOST:10001; without: this machine.")
    ] = None,
    max_bad_share: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of photos without a crop; more is an error.")
    ] = 0.5,
    preview: Annotated[bool, typer.Option("--preview", help="Also draw boxes and points beside crops.")] = False,
    json: Json = False,
) -> None:
    """Find faces, turn them upright and cut them, once, for all later trainings."""
    from keras_faceattr.cli.align import AlignOptions, run_align

    crop = {"size": size, "method": method, "margin": margin, "face": face, "fallback": fallback}
    run_align(
        AlignOptions(source, out, crop, set_, data, format_, workers, engine, address, max_bad_share, preview, json)
    )


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of a net, folder of a run, or a .tflite file.")],
    size: Annotated[int, typer.Option(min=32, max=1024, help="Side of the input in pixels, for a net.")] = 224,
    json: Json = False,
) -> None:
    """Show parameters and multiply-adds, layer by layer; of an exported file also what was proven on it."""
    _start_backend_unless_exported(Path(name))
    from keras_faceattr.cli.info import run_info

    run_info(name, size, json)


@app.command()
def export(
    run: Annotated[Path | None, typer.Argument(help="Folder of a finished run; not needed for --detector.")] = None,
    tflite: Annotated[bool, typer.Option("--tflite", help="Write LiteRT files; there is no other format.")] = True,
    recipe: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Name or path, again for more; `all` for all that the net can have; float32 and int8_qat without.",
        ),
    ] = [],  # noqa: B006
    budget: Annotated[str | None, typer.Option(help="Name or path of the limits to judge by.")] = None,
    heads: Annotated[list[str], typer.Option(metavar="TASK", help="Ship only this task, again for more.")] = [],  # noqa: B006
    batch: Annotated[int, typer.Option(help="Fixed batch size of the files.")] = 1,
    engine: Annotated[str, typer.Option(help="native, converter or tfmot: what makes integers.")] = "native",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the files; RUN/export without (RUN/export/detector, ./detector).")
    ] = None,
    detector: Annotated[
        bool, typer.Option("--detector", help="Write the face detector instead, with a run's settings or its own.")
    ] = False,
    photo: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the detector's photos.")] = "320x240",
    windows: Annotated[
        str, typer.Option(metavar="R,O", help="Windows that the detector's second and third net take at once.")
    ] = "16,4",
    data: DataPaths = [],  # noqa: B006
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe, or of the detector.")
    ] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Quantize and convert a run, prove the files on held-out photos, and judge them; exit 1 if a gate is not met."""
    if detector:
        from keras_faceattr.cli.export_detector import run_export_detector

        run_export_detector(run, out, photo, windows, set_, json)
        return
    start_backend()
    from keras_faceattr.cli.export import ExportOptions, run_export

    run_export(ExportOptions(run, recipe, engine, budget, heads, batch, out, data, set_, json))


@app.command()
def demo(
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT...", help="Exported .tflite files, or folders of runs or exports.")
    ],
    host: Annotated[
        str | None,
        typer.Option(help="Address to serve on. Default: 127.0.0.1, this machine alone; with --https every network."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port; 0 chooses a free one.")] = 8080,
    https: Annotated[
        bool,
        typer.Option(
            "--https", help="Make a certificate and serve the network: phones allow the camera only over https."
        ),
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for results sent by phones. Default: the run's folder, or the cache."),
    ] = None,
    build: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the page there for any static host, and serve nothing.")
    ] = None,
    json: Json = False,
) -> None:
    """Open exported files on a phone: live view, photos and a benchmark, in the browser alone."""
    from keras_faceattr.cli.demo import DemoOptions, run_demo

    run_demo(DemoOptions(artifacts, host, port, https, results, build, json))


@data_app.command("inspect")
def data_inspect(
    source: Annotated[str, typer.Argument(help="Config (name or path), READER=PATH, or a CSV.")],
    data: DataPaths = [],  # noqa: B006
    picture: Annotated[Path | None, typer.Option(help="Write label histograms and sample photos to this PNG.")] = None,
    set_: Set = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Show counts, label histograms, missing labels, duplicates and bad files."""
    from keras_faceattr.cli.inspect import run_inspect

    run_inspect(source, data, picture, set_, json)


@data_app.command("list")
def data_list(json: Json = False) -> None:
    """List the readers and the configs."""
    from keras_faceattr.cli.inspect import run_list

    run_list(json)


@benchmark_app.command("models", hidden=True)
def benchmark_models(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL", help=".tflite files, a row each.")],
    against: Annotated[
        list[str],
        typer.Option(metavar="NET,…", help="resnet50, vgg16, mobilenet_v2, mobilenet_v3_small, or none."),
    ] = ["resnet50"],  # noqa: B006
    threads: Annotated[list[str], typer.Option(metavar="N,…", help="Numbers of threads.")] = ["1"],  # noqa: B006
    precision: Annotated[
        list[str], typer.Option(metavar="P,…", help="float32 or int8, of the reference nets; each model's own without.")
    ] = [],  # noqa: B006
    side: Annotated[
        int | None, typer.Option(help="Input side of the reference nets; each model's own without.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure for each number of threads.")] = 20.0,
    budget: Annotated[str | None, typer.Option(help="Name or path of the limits to judge by.")] = None,
    device: Annotated[
        str, typer.Option(help="host, android, browser (saved results alone), or a class of export/devices.")
    ] = "host",
    benchmark_binary: Annotated[
        Path | None, typer.Option(help="LiteRT's benchmark_model for the phone's processor.")
    ] = None,
    serial: Annotated[str | None, typer.Option(help="Which of several phones.")] = None,
    gpu: Annotated[bool, typer.Option(help="Use the phone's GPU.")] = False,
    xnnpack: Annotated[bool, typer.Option(help="Use XNNPACK on the phone.")] = True,
    cpu_mask: Annotated[str | None, typer.Option(help="Cores of the phone, in hexadecimal.")] = None,
    ops: Annotated[bool, typer.Option(help="Also show which operations take the time.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON into this folder.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of what browsers measured in the demo.")] = Path(
        "export/results"
    ),
    import_: Annotated[
        list[Path],
        typer.Option("--import", metavar="FILE", help="Put a browser's downloaded result there first, again for more."),
    ] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Compare .tflite files with well-known nets, all in one run: size, multiply-adds, metric, time, ratio."""
    from keras_faceattr.cli.benchmark_models import run_benchmark_models
    from keras_faceattr.cli.benchmark_options import BenchmarkOptions

    run_benchmark_models(
        BenchmarkOptions(
            models, against, threads, precision, side, seconds, budget, device, benchmark_binary, serial, gpu, xnnpack,
            cpu_mask, ops, out, json, results, tuple(import_),
        )
    )  # fmt: skip


@benchmark_app.command("detector")
def benchmark_detector(
    source: Annotated[
        str | None, typer.Argument(metavar="SRC", help="Folder, CSV, READER=PATH or config; drawn scenes without.")
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="How many, drawn from the source.")] = 60,
    side: Annotated[list[str], typer.Option(metavar="N,…", help="Pixels to which photos are resized.")] = ["256"],  # noqa: B006
    package: Annotated[bool, typer.Option(help="Also run the package mtcnn, which needs TensorFlow.")] = True,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON into this folder.")] = None,
    json: Json = False,
) -> None:
    """Compare our face detector with the package mtcnn, in one run: speed, and whether both find the same faces."""
    from keras_faceattr.cli.benchmark_detector import run_benchmark_detector

    run_benchmark_detector(source, photos, side, package, out, json)


@benchmark_app.command("tasks")
def benchmark_tasks(
    config: Annotated[str, typer.Argument(help="Name of a shipped config or path of a YAML file.")],
    data: DataPaths = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    steps: Annotated[int, typer.Option(min=5, help="Timed batches per measurement, in five rounds.")] = 150,
    json: Json = False,
) -> None:
    """Tell what each task, each loss with a memory and each data set costs a training step, in one run."""
    start_backend()
    from keras_faceattr.cli.benchmark import run_benchmark_tasks

    run_benchmark_tasks(config, data, set_, steps, json)


@benchmark_app.command("pipeline")
def benchmark_pipeline(
    config: Annotated[str | None, typer.Argument(help="Name of a shipped config or path of a YAML file.")] = None,
    data: DataPaths = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    steps: Annotated[int, typer.Option(min=5, help="Timed batches per measurement, in five rounds.")] = 150,
    json: Json = False,
) -> None:
    """Compare `fit`, the bare training step, and decoding with augmentation, in one run."""
    start_backend()
    from keras_faceattr.cli.benchmark import run_benchmark_pipeline

    run_benchmark_pipeline(config, data, set_, steps, json)
