"""`fit`: from a configuration to a finished run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_faceattr.api.configs import DEFAULT_CONFIG, Paths, Settings, as_overrides, as_paths, read_experiment
from keras_faceattr.config import Experiment, ModelConfig
from keras_faceattr.config_files import CONFIG_FOLDER, data_with_paths, experiment_kind, load_section, with_paths
from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.run import FEATURES, PHOTOS, TABLE, Run
from keras_faceattr.storage import replacing
from keras_faceattr.terminal.console import say_if

if TYPE_CHECKING:
    import keras

    from keras_faceattr.features.experiment import FeatureExperiment
    from keras_faceattr.tabular.experiment import TableExperiment

Say = Callable[[str], None]


def fit(
    config: str | os.PathLike[str] | None = None,
    *,
    data: Paths | None = None,
    set: Settings | None = None,
    runs: str | os.PathLike[str] = "runs",
    resume: str | os.PathLike[str] | Run | None = None,
    model: keras.Model | None = None,
    callbacks: Callable[[Run], list[keras.callbacks.Callback]] | None = None,
    tensorboard: bool = False,
    verbose: bool = True,
) -> Run:
    """Train whatever a configuration is about, and measure it on its test photos.

    Args:
        config: name of a shipped config (`keras-faceattr data list`), or path of a YAML file; without one `quickstart`,
            a small net on drawn faces.
        data: where the data lies, by name of a source or reader: `{"utkface": "/data/UTKFace"}`.
        set: changes of the config: `{"training.epochs": 5}`.
        runs: folder in which the run's folder is made.
        resume: a run that was stopped, to continue instead.
        model: the backbone, instead of the config's net: the heads read its last feature map. It starts with the
            weights that it has, and is itself left as it is. RGB pixels from 0 to 255 go in, unless
            `set={"model.preprocessing": …}` names the family of `keras.applications` whose preprocessing it expects.
            A copy is kept in `runs/backbones`, which `resume` needs. Of a net on photos alone.
        callbacks: makes Keras callbacks for the run, such as `keras.callbacks.TensorBoard`; of a net on photos alone.
        tensorboard: writes logs for TensorBoard into the run; of a net on photos alone.
        verbose: shows progress on stderr.

    Returns:
        The finished run: `run.metrics["age"]["mae"]`, `run.folder`, `run.report_path`.

    Raises:
        ConfigError: a wrong key or value; the message names it.
        ModelError: a `model` that is no backbone; the message says why.
        DataError: data that cannot be used.
        RunError: a run that cannot be continued, or a folder that cannot be written.
    """
    asked = Asked(
        None if config is None else os.fspath(config),
        as_paths(data),
        as_overrides(set),
        Path(runs),
        Run(Path(resume)) if resume is not None and not isinstance(resume, Run) else resume,
    )
    if asked.resume is None:
        _check_runs(asked.runs)
    kind = asked.kind()
    if model is not None:
        if kind != PHOTOS or asked.resume is not None:
            raise ConfigError("model= is for a new run of a net that takes photos: leave it out")
        asked = replace(asked, overrides=[*asked.overrides, *as_overrides({"model": _with_model(model, asked)})])
    if kind != PHOTOS and (tensorboard or callbacks):
        raise ConfigError(f"--tensorboard is for nets that take photos, not for {kind}: leave it out")
    if kind == TABLE:
        return _fit_table(asked, say_if(verbose))
    if kind == FEATURES:
        return _fit_features(asked, say_if(verbose))
    return _fit_photos(asked, _all_callbacks(callbacks, tensorboard), verbose)


@dataclass(frozen=True)
class Asked:
    """What is to be trained.

    Attributes:
        config: None for the config of a run, or the default.
        overrides: `key.key=value`.
    """

    config: str | None
    data: dict[str, str]
    overrides: list[str]
    runs: Path
    resume: Run | None

    def kind(self) -> str:
        """What the config or the run is about.

        Raises:
            ConfigError: they differ.
        """
        if self.resume is None:
            return experiment_kind(self.config or DEFAULT_CONFIG)
        kind = self.resume.kind()
        if self.config is not None and experiment_kind(self.config) != kind:
            raise ConfigError(
                f"{self.resume.folder} is a run of kind {kind!r}, {self.config} a config of "
                f"{experiment_kind(self.config)!r}"
            )
        return kind

    def experiment(self) -> Experiment:
        """The experiment of a net on photos: of the config, or of the run to continue with its data where it lies now.

        Raises:
            ConfigError: settings for a run, which has its own.
        """
        from keras_faceattr.training.checks import check_same_experiment

        if self.resume is None:
            return read_experiment(self.config, self.data, self.overrides)
        experiment = self.resume.experiment()
        if self.config is not None:
            check_same_experiment(self.resume, read_experiment(self.config, self.data, self.overrides))
        elif self.overrides:
            raise ConfigError("--resume goes on with the run's own config: leave out --set")
        return with_paths(experiment, self.data)


def _with_model(model: keras.Model, asked: Asked) -> dict[str, Any]:
    """The section `model` with a caller's model for the net, which is kept in a file named by its graph and weights.

    Options of the config's net, such as `pooling`, are gone with that net.

    Raises:
        ModelError: a model that is not built, is no backbone, or does not take the config's crops.
    """
    import keras

    from keras_faceattr.models.backbone import given_backbone

    if not isinstance(model, keras.Model):
        raise ConfigError(f"model: needs a keras.Model, not {type(model).__name__}; a net's name goes into the config")
    experiment = asked.experiment()
    side, section = experiment.data.crop.size, experiment.model
    preprocessing = section.options.get("preprocessing")
    # Before anything is written: what heads cannot read, and layers that a file cannot hold.
    given_backbone(model)(keras.Input((side, side, 3)), preprocessing)
    told = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        told.update(weight.tobytes())
    path = (asked.runs / "backbones" / f"{model.name}-{told.hexdigest()[:12]}.keras").absolute()
    if not path.exists():
        with replacing(path) as temporary:
            model.save(temporary)
    own = {"preprocessing": preprocessing} if preprocessing else {}
    return {**section.model_dump(include=set(ModelConfig.model_fields)), "name": str(path), **own}


def _fit_photos(asked: Asked, callbacks: Callable[[Run], list[Any]] | None, verbose: bool) -> Run:
    from keras_faceattr.terminal.progress import FitProgress
    from keras_faceattr.training.fit import fit as train

    experiment = asked.experiment()
    with FitProgress(quiet=not verbose) as progress:
        try:
            return train(experiment, asked.runs, progress, resume=asked.resume, make_callbacks=callbacks)
        except KeyboardInterrupt:
            if progress.folder:
                progress.say(f"stopped; go on with: {Run(progress.folder).resume_command}")
            raise


def _fit_table(asked: Asked, say: Say) -> Run:
    """Compares regressors on the table of a config, or goes on with a run.

    Raises:
        ConfigError: data of another reader than `csv`.
    """
    from keras_faceattr.tabular.experiment import TableExperiment
    from keras_faceattr.tabular.fit import fit_table, read_table_experiment

    experiment: TableExperiment
    if asked.config:
        paths = asked.data
        if set(paths) - {"csv"}:
            raise ConfigError(f"--data {next(iter(set(paths) - {'csv'}))}: a table comes from --data csv=FILE")
        own = ["table.reader=csv", f"table.path={paths['csv']}"] if paths else []
        experiment = load_section(TableExperiment, CONFIG_FOLDER, asked.config, "config", [*own, *asked.overrides])
    elif asked.overrides or asked.data:
        raise ConfigError("--resume goes on with the run's own config: leave out --set and --data")
    else:
        assert asked.resume is not None
        experiment = read_table_experiment(asked.resume)
    return fit_table(experiment, asked.runs, say, asked.resume)


def _fit_features(asked: Asked, say: Say) -> Run:
    """Fits regressors on the features of a config's photos, or goes on with a run."""
    from keras_faceattr.features.experiment import FeatureExperiment
    from keras_faceattr.features.fit import fit_features, read_feature_experiment

    if asked.resume and (asked.config or asked.overrides):
        raise ConfigError("--resume goes on with the run's own config: leave out the config and --set")
    experiment: FeatureExperiment
    if asked.resume:
        experiment = read_feature_experiment(asked.resume)
    else:
        experiment = load_section(FeatureExperiment, CONFIG_FOLDER, str(asked.config), "config", asked.overrides)
    features = experiment.features
    if features.path:
        features = features.model_copy(update={"path": str(Path(features.path).expanduser().absolute())})
    sources = data_with_paths(experiment.data, asked.data)
    return fit_features(
        experiment.model_copy(update={"data": sources, "features": features}), asked.runs, say, asked.resume
    )


def _all_callbacks(
    callbacks: Callable[[Run], list[Any]] | None, tensorboard: bool
) -> Callable[[Run], list[Any]] | None:
    if not tensorboard:
        return callbacks

    def make(run: Run) -> list[Any]:
        import keras

        board = keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False)
        return [board, *(callbacks(run) if callbacks else [])]

    return make


def _check_runs(runs: Path) -> None:
    """Finds a file in the way before photos are decoded, and makes nothing yet."""
    there = next(path for path in (runs, *runs.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise RunError(f"--runs {runs}: {there} is no folder; choose another")
