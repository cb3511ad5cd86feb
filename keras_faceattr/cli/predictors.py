"""Models for `evaluate` and `predict`: a run's, or an exported file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keras_faceattr.artifact.loading import is_artifact, load_artifact
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import with_paths
from keras_faceattr.data.elsewhere import on_other_data
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.evaluation.predictions import Predictor, keras_predictor
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.run import Run
from keras_faceattr.tasks import Task


@dataclass(frozen=True)
class Predicting:
    """Something that predicts, with what is known about it.

    Attributes:
        elsewhere: whether the experiment's sources are other data sets than those that it was trained on.
    """

    predictor: Predictor
    experiment: Experiment
    tasks: dict[str, Task]
    crop: CropSpec
    elsewhere: bool = False


def open_predictor(path: Path, data_paths: dict[str, str] | None = None) -> Predicting:
    """A run's model, or a `.tflite` file, for which TensorFlow and Keras are not imported.

    Args:
        data_paths: where the data lies now, by reader; of readers that the experiment does not have, other data sets.

    Raises:
        ConfigError: a path of no source and no reader.
        RunError: no finished run.
        ArtifactError: a file that is damaged, or that its sidecar does not describe.
    """
    if is_artifact(path):
        artifact = load_artifact(path)
        sidecar = artifact.sidecar
        experiment, elsewhere = _with_data(sidecar.experiment_object(), data_paths or {})
        return Predicting(artifact.model().predict, experiment, sidecar.task_objects(), sidecar.crop_spec(), elsewhere)
    from keras_faceattr.models.loading import load_model

    run = Run(path)
    experiment, elsewhere = _with_data(run.experiment(), data_paths or {})
    model = load_model(run.model_path)
    return Predicting(keras_predictor(model), experiment, run.tasks(), crop_spec(experiment), elsewhere)


def _with_data(experiment: Experiment, paths: dict[str, str]) -> tuple[Experiment, bool]:
    """The experiment with its data where it lies now, and whether that is other data."""
    other = on_other_data(experiment, paths)
    return (other, True) if other else (with_paths(experiment, paths), False)
