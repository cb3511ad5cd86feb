"""Results of a finished training: metrics, predictions, plots, report and model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from keras_faceattr.config_files import with_paths
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.manifest import QUARANTINE_COLUMNS, Manifest
from keras_faceattr.data.targets import label_array
from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.model_card import model_card
from keras_faceattr.evaluation.plots import plot_history, plot_relations, plot_task
from keras_faceattr.evaluation.predictions import Outputs, keras_predictor, write_predictions
from keras_faceattr.evaluation.protocol import Measured, measure
from keras_faceattr.evaluation.report import html_report
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import PHOTO_PARTS, Run
from keras_faceattr.storage import replacing, write_json, write_text


def evaluate_run(
    run: Run,
    split: str = "test",
    tta: str | None = None,
    progress: Progress | None = None,
    paths: dict[str, str] | None = None,
) -> Measured:
    """Measure a run's `model.keras` on a split; arguments as of `measure`.

    Args:
        paths: where the data lies now, by reader, if it has moved.

    Raises:
        RunError: no run, or one that never finished.
        DataError: the split has no rows.
    """
    experiment = with_paths(run.experiment(), paths or {})
    predictor = keras_predictor(load_model(run.model_path))
    return measure(predictor, experiment, run.tasks(), split, tta, progress)


def write_results(run: Run, progress: Progress | None = None) -> dict[str, Any]:
    """Evaluate a finished run on its test split and write all that people read.

    Returns:
        The results as they stand in `metrics.json`.
    """
    measured = evaluate_run(run, "test", progress=progress)
    results, data, outputs = measured.results, measured.data, measured.outputs
    put_aside = append_quarantine(run, data.manifest.quarantine)
    write_json(run.metrics_path, results)
    write_predictions(run.predictions_path, data.manifest, run.tasks(), outputs)
    provenance = run.provenance(*PHOTO_PARTS)
    plots = write_plots(run, data.manifest, outputs)
    write_text(run.model_card_path, model_card(run.experiment(), run.tasks(), results, provenance))
    write_text(run.report_path, html_report(run.experiment(), results, provenance, plots, put_aside))
    return results


def append_quarantine(run: Run, quarantine: pd.DataFrame) -> int:
    """Add rows to `quarantine.csv` that are not in it yet; return how many it then holds.

    Raises:
        RunError: the file is damaged.
    """
    # As text: a photo called `007` or `NA` is neither a number nor missing.
    parts = [_read_quarantine(run.quarantine_path), quarantine[QUARANTINE_COLUMNS].astype("string").fillna("")]
    whole = pd.concat(parts).drop_duplicates(["source", "image", "row"])
    with replacing(run.quarantine_path) as temporary:
        whole.to_csv(temporary, index=False)
    return len(whole)


def _read_quarantine(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype="string", keep_default_na=False, encoding="utf-8")
        return table[QUARANTINE_COLUMNS]
    except FileNotFoundError:
        return pd.DataFrame(columns=QUARANTINE_COLUMNS, dtype="string")
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{path} is damaged: {reason}; delete it, and run the command again") from None


def write_plots(run: Run, manifest: Manifest, outputs: Outputs) -> list[Path]:
    """Draw the training curves and each task's picture into `plots/`."""
    folder = run.folder / "plots"
    folder.mkdir(exist_ok=True)
    plots = []
    if run.history_path.exists():
        plots += plot_history(pd.read_csv(run.history_path), folder)
    for name, task in run.tasks().items():
        if set(task.columns) <= set(manifest.rows.columns):
            plots += plot_task(task, label_array(manifest, task), outputs[name], folder)
        if run.relations_path(name).exists():
            plots.append(plot_relations(name, pd.read_csv(run.relations_path(name), index_col=0), folder))
    return plots
