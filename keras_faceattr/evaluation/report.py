"""One self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from keras_faceattr.config import Experiment
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.evaluation.formatting import task_tables
from keras_faceattr.pages import render


def html_report(
    experiment: Experiment, results: dict[str, Any], provenance: dict[str, Any], plots: list[Path], quarantined: int
) -> str:
    """The page, with pictures inside it.

    Args:
        results: as in `metrics.json`.
        provenance: as in `provenance.json`.
        plots: PNG files.
        quarantined: number of rows in `quarantine.csv`.
    """
    facts = {key: value for key, value in provenance.items() if key != "sources"}
    return render(
        "run_report.html",
        title=experiment.name,
        experiment=experiment,
        crop=crop_spec(experiment),
        results=results,
        tasks=[task_tables(name, task) for name, task in results["tasks"].items()],
        plots=plots,
        provenance=provenance,
        quarantined=quarantined,
        facts=yaml.safe_dump(facts, sort_keys=False, allow_unicode=True),
        configuration=yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False),
    )
