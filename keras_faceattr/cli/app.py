"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import keras_faceattr
from keras_faceattr.cli.arguments import (
    CONFIG_HELP,
    Answered,
    BudgetName,
    DataPaths,
    Json,
    MeasuredPaths,
    PhotoRoot,
    Runs,
    Set,
    listed,
)
from keras_faceattr.cli.benchmark_commands import benchmark_app
from keras_faceattr.cli.data_commands import data_app
from keras_faceattr.cli.environment import onednn_of, start_backend, start_counting_backend
from keras_faceattr.cli.help_pages import SETTINGS, Command, Group

app = typer.Typer(
    name="keras-faceattr",
    cls=Group,
    help="From a folder of labelled photos to a face-attribute model on a phone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
)
app.add_typer(data_app, name="data")
app.add_typer(benchmark_app, name="benchmark")

RUN_OR_FILE = "Folder of a finished run, an exported .tflite file, or the name of a shipped net (see `zoo`)."
TTA_HELP = "Test-time augmentation: none, or flip (average with the mirrored photo)."


def _version(value: bool) -> None:
    if value:
        print(f"keras-faceattr {keras_faceattr.__version__}")
        raise typer.Exit


def _file_of(name: Path) -> Path:
    """The exported file of a shipped net that is meant by its name; any other path as it is."""
    from keras_faceattr.zoo import file_of

    return file_of(name)


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


@app.command(cls=Command)
def fit(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help=f"{CONFIG_HELP}  [default: quickstart]")
    ] = None,
    data: DataPaths = [],  # noqa: B006  Typer copies defaults
    set_: Set = [],  # noqa: B006
    runs: Runs = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Folder of an unfinished run to continue.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option(help="Write logs for TensorBoard into the run.")] = False,
    json: Json = False,
) -> None:
    """Train a model; by default TinyAttNet on drawn faces."""
    if resume is None:
        start_backend()
    else:
        start_backend(onednn_of(resume))
    from keras_faceattr.cli.fit import run_fit

    run_fit(config, data, set_, runs, resume, tensorboard, json)


@app.command(cls=Command)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_OR_FILE)],
    data: MeasuredPaths = [],  # noqa: B006
    split: Annotated[str, typer.Option(metavar="NAME", help="Photos to measure on: train, val or test.")] = "test",
    tta: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{TTA_HELP}  [default: that of the run's config]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV to which predictions are also written, one row per photo.")
    ] = None,
    jitter: Annotated[
        bool,
        typer.Option("--jitter", help="Measure how shifted, scaled and rotated crops change predictions, instead."),
    ] = False,
    json: Json = False,
) -> None:
    """Measure a run or an exported file on a split of its data, with 95 % intervals, overall and by group."""
    run = _file_of(run)
    _start_backend_unless_exported(run)
    from keras_faceattr.cli.evaluate import run_evaluate

    run_evaluate(run, data, split, tta, out, jitter, json)


@app.command(cls=Command)
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs, or exported .tflite files.")
    ] = [],  # noqa: B006
    task: Annotated[list[str], typer.Option(metavar="NAME", help="Task to compare; repeatable.  [default: all]")] = [],  # noqa: B006
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Add one row per group: gender, race, age, source, or a task's classes."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV to which results are also written, one row per run, task and metric."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare runs and exported files, with paired differences to the first on the same photos."""
    from keras_faceattr.cli.compare import run_compare

    run_compare([_file_of(run) for run in runs], task, by, out, json)


@app.command(cls=Command)
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_OR_FILE)],
    photos: Annotated[
        Path, typer.Argument(metavar="PHOTOS", help="A photo, a folder of photos, or a CSV with a column named image.")
    ],
    others: Annotated[
        list[Path],
        typer.Option(
            "--with",
            metavar="RUN",
            help="Another run or file, whose predictions are averaged with the first one's; repeatable.",
        ),
    ] = [],  # noqa: B006
    task: Answered = [],  # noqa: B006
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write to: .csv, .parquet or .jsonl; after a stop the same command continues.  "
            "[default: print]",
        ),
    ] = None,
    tta: Annotated[str, typer.Option(metavar="NAME", help=TTA_HELP)] = "none",
    face: Annotated[
        str, typer.Option(metavar="NAME", help="Faces to predict where crops need a face: all, largest or central.")
    ] = "all",
    min_face: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the smallest face to look for; the larger, the faster.  [default: that of the net's crop]",
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Leave classes and yes/no answers that are less likely empty."),
    ] = None,
    max_width: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Leave scalars whose 90 % interval is wider empty; in the task's unit."),
    ] = None,
    json: Json = False,
) -> None:
    """Predict photos, one row per photo or face, in constant memory."""
    run, others = _file_of(run), [_file_of(other) for other in others]
    for net in (run, *others):
        _start_backend_unless_exported(net)
    from keras_faceattr.cli.predict import run_predict
    from keras_faceattr.evaluation.face import Limits

    limits = Limits(min_probability, max_width)
    run_predict(run, photos, others, listed(task), out, tta, face, min_face, limits, json)


@app.command(cls=Command)
def align(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Folder of photos, CSV, READER=PATH, or config (name or path).")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for crops and tables; after a stop the same command continues.")
    ],
    size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Side of a crop in pixels.  [default: 224]")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How crops are cut: five_points, face_box, centre_square or whole_photo.  [default: five_points]",
        ),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Margin on each side, as a share of the face.  [default: 0.2]")
    ] = None,
    face: Annotated[
        str | None, typer.Option(metavar="NAME", help="Faces to cut: largest, central or all.  [default: largest]")
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Crop of photos without a face: centre_square or whole_photo.  [default: skip them]"
        ),
    ] = None,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change another key of the crop, such as min_face=40; repeatable."
        ),
    ] = [],  # noqa: B006
    data: DataPaths = [],  # noqa: B006
    photo_root: PhotoRoot = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="Format of the crops: png (lossless) or jpg (a fifth of the size)."
        ),
    ] = "png",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of processes.  [default: one per core]")
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="Where the work runs: local or ray.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of the Ray cluster, ray://HOST:10001.  [default: this machine]"),
    ] = None,
    max_bad_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Largest allowed share of bad rows and photos without a crop."
        ),
    ] = 0.5,
    preview: Annotated[bool, typer.Option("--preview", help="Also draw a picture of faces, points and crops.")] = False,
    json: Json = False,
) -> None:
    """Detect, align and crop faces once, for all later trainings."""
    from keras_faceattr.cli.align import run_align

    run_align(
        source,
        out,
        data,
        json,
        size=size,
        method=method,
        margin=margin,
        face=face,
        fallback=fallback,
        set=set_,
        photo_root=photo_root,
        encoding=format_,
        workers=workers,
        engine=engine,
        address=address,
        max_bad_share=max_bad_share,
        preview=preview,
    )


@app.command(cls=Command)
def info(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of a net, folder of a run, .keras file, or exported .tflite file."),
    ],
    size: Annotated[
        int,
        typer.Option(
            min=32, max=1024, metavar="PIXELS", help="Side of the input of a net named by its name, in pixels."
        ),
    ] = 224,
    json: Json = False,
) -> None:
    """Show parameters and multiply-adds by layer; for an exported file also what was verified on it."""
    from keras_faceattr.zoo import file_of, shipped_names

    path = file_of(Path(name)) if name in shipped_names() else Path(name)
    if path.suffix == ".tflite":
        from keras_faceattr.cli.info_file import print_file

        print_file(path, json)
        return
    start_counting_backend()
    from keras_faceattr.cli.info import print_net

    print_net(name, size, json)


@app.command(cls=Command)
def export(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Folder of a finished run; optional with --detector.")
    ] = None,
    tflite: Annotated[
        bool,
        typer.Option("--tflite", help="Write LiteRT (.tflite) files, the only format; always on.", show_default=False),
    ] = True,
    recipe: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Recipe: a name, a path, or all (every recipe that the net supports); repeatable.  "
            "[default: float32, int8_qat]",
        ),
    ] = [],  # noqa: B006
    budget: BudgetName = None,
    heads: Annotated[list[str], typer.Option(metavar="TASK", help="Task to export; repeatable.  [default: all]")] = [],  # noqa: B006
    batch: Annotated[int, typer.Option(metavar="N", help="Fixed batch size of the files.")] = 1,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Engine that quantizes to integers: native, converter, litert_quantizer or tfmot.  "
            "[default: of the recipe]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the files.  [default: RUN/export; with --detector RUN/export/detector or ./detector]",
        ),
    ] = None,
    detector: Annotated[
        bool,
        typer.Option("--detector", help="Export the face detector instead, with the settings of RUN or the defaults."),
    ] = False,
    photo: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the detector's photos in pixels.")
    ] = "320x240",
    windows: Annotated[
        str, typer.Option(metavar="R,O", help="Batch sizes of the detector's second and third net.")
    ] = "16,4",
    data: DataPaths = [],  # noqa: B006
    set_: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe or of the detector; repeatable."),
    ] = [],  # noqa: B006
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="Also train the same fine-tuning epochs without rounding, to show what rounding-aware training gains.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Quantize and convert a run, and verify the files on held-out photos.

    Exits 1 if a gate or a limit of the budget is not met, 3 if one that applies was not measured or proven.
    """
    if detector:
        from keras_faceattr.cli.export_detector import run_export_detector

        run_export_detector(run, out, photo, windows, set_, json)
        return
    start_backend()
    from keras_faceattr.cli.export import ExportOptions, run_export

    run_export(ExportOptions(run, recipe, engine, budget, heads, batch, out, data, set_, control, json))


@app.command(cls=Command)
def zoo(json: Json = False) -> None:
    """List the nets that ship with the package, with the results of their files."""
    from keras_faceattr.cli.zoo import run_zoo

    run_zoo(json)


@app.command(cls=Command)
def cache(
    clean: Annotated[bool, typer.Option("--clean", help="Remove the entries shown, except those in use.")] = False,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Only entries last used at least this many days ago.")
    ] = 0,
    kind: Annotated[
        list[str],
        typer.Option(
            metavar="KIND",
            help="Only this kind: crops, synthetic, fer2013, teachers, detector, references, demo or leftovers; "
            "repeatable.  [default: all]",
        ),
    ] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Show the cache of derived data, or clear it; everything in it can be rebuilt."""
    from keras_faceattr.cli.cache import run_cache

    run_cache(clean, older_than, listed(kind), json)


@app.command(cls=Command)
def demo(
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT...", help="Exported .tflite files, or folders of runs or exports.")
    ],
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to serve on.  [default: 127.0.0.1 (this machine only); with --https, every network]",
        ),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", help="Port to serve on; 0 chooses a free one.")] = 8080,
    https: Annotated[
        bool,
        typer.Option(
            "--https", help="Make a certificate and serve the network: phones allow the camera only over https."
        ),
    ] = False,
    task: Answered = [],  # noqa: B006
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for results sent by phones.  [default: the run's folder, or the cache]"
        ),
    ] = None,
    build: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder to which the page is written for a static host, instead of serving it."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Open exported files in a phone's browser: live view, photos and a benchmark."""
    from keras_faceattr.cli.demo import DemoOptions, run_demo

    files = [_file_of(artifact) for artifact in artifacts]
    run_demo(DemoOptions(files, host, port, https, listed(task), results, build, json))
