"""Labels photos that have no age by what a teacher's vectors say of those that have one: pseudo-labels as a CSV.

    .venv/bin/python docs/teachers/label_faces.py faces.csv tasks.embedding.teacher.path=faceres.tflite …

Further arguments are `--set` of the recipe distill_embedder. A support vector machine learns ages from the vectors of
the train and val photos of the sources that give ages (UTKFace), and labels those of the others. Test photos of no
source are read. The CSV is a source of its own: `{reader: csv_file, path: faces.csv, split: {method: train}}`.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.prepare import prepare
from keras_faceattr.features.regressors import fit_regressor

LEARNED = ("train", "val")


def main(out: Path, overrides: list[str]) -> None:
    """Writes the CSV: `image` and `age`."""
    data = prepare(load_experiment("distill_embedder", ["tasks.age={}", *overrides]), LEARNED)
    parts = [data.parts[split] for split in LEARNED if split in data.parts]
    vectors, ages = (np.concatenate([part.labels[name] for part in parts]) for name in ("embedding", "age"))
    photos = np.concatenate([np.asarray(part.crops.paths, object)[part.rows] for part in parts])
    known = np.isfinite(ages).all(axis=-1)
    machine = fit_regressor("svr_rbf", vectors[known], ages[known, 0], preprocessing="l2")
    task = data.tasks["age"]
    said = np.clip(machine.predict(vectors[~known]), task.minimum, task.maximum)  # type: ignore[union-attr]
    pd.DataFrame({"image": photos[~known].astype(str), "age": said.round(2)}).to_csv(out, index=False)
    print(f"{out}: {len(said)} photos by {int(known.sum())} labelled ones ({machine.note})")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit("usage: label_faces.py OUT.csv KEY=VALUE ...")
    main(Path(sys.argv[1]), sys.argv[2:])
