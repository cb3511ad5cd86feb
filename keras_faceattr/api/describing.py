"""`info`, `file_info` and `inspect_data`: what a net costs, what was verified on a file, what a data set holds."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_faceattr.api.configs import Paths, Settings, as_overrides, as_paths
from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.run import Run, no_run
from keras_faceattr.zoo import file_of

if TYPE_CHECKING:
    import keras

    from keras_faceattr.artifact.sidecar import Sidecar
    from keras_faceattr.models.profile import ModelProfile


@dataclass(frozen=True)
class FileInfo:
    """An exported file: its operations, what was verified on it, and whether it still holds on this machine.

    Attributes:
        sidecar: everything that was measured on the file: `.metrics`, `.gates`, `.cost`, `.outputs`.
        operations: one row per operation: `index`, `kind`, `input_types`, `output_types`, `output_shape`.
        golden: by golden crop, the largest difference from the stored answers as a share of the tolerance; up to 1 is
            within it.
    """

    sidecar: Sidecar
    operations: list[dict[str, Any]]
    golden: dict[str, float]

    @property
    def reproduced(self) -> int:
        """Golden crops whose stored answers come out on this machine."""
        return sum(value <= 1 for value in self.golden.values())


def info(net: str | os.PathLike[str] | Run | keras.Model, *, size: int = 224) -> ModelProfile:
    """Count the parameters and multiply-adds of a net, layer by layer.

    Args:
        net: name of a net (`kfa.models`), folder of a run, `.keras` file, or a Keras model.
        size: side of the input in pixels, of a net named by its name.

    Returns:
        `.trainable_parameters`, `.macs` for one photo, and `.layers`.

    Raises:
        ModelError: no such net, or a model that cannot be counted.
        RunError: a folder that holds no finished run.
    """
    from keras_faceattr.models.profile import profile_model, profile_network

    if isinstance(net, str | os.PathLike | Run):
        path = net.folder if isinstance(net, Run) else Path(net)
        if not path.is_dir() and not (path.is_file() and path.suffix):
            return profile_network(os.fspath(path), size)
        model, named = _model_of(path), str(path)
    else:
        model, named = net, f"model {getattr(net, 'name', net)!r}"
    try:
        return profile_model(model)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{named}: only a model of one input picture of fixed size is counted: {reason}") from None


def _model_of(path: Path) -> keras.Model:
    """A run's model, or anybody's `.keras` file."""
    from keras_faceattr.models.loading import load_model

    if path.is_file() and path.suffix != ".keras":
        raise no_run(path, "")
    if path.is_dir() and not Run(path).model_path.is_file():
        raise no_run(path, f"it has no {Run(path).model_path.name}")
    with warnings.catch_warnings():
        # The backend that counts has no gradients, and warns of layers that have their own.
        warnings.simplefilter("ignore")
        return load_model(Run(path).model_path if path.is_dir() else path)


def file_info(file: str | os.PathLike[str]) -> FileInfo:
    """Read an exported file and its sidecar, and run its golden crops on this machine.

    Args:
        file: exported `.tflite` file, or the name of a shipped net.

    Raises:
        ArtifactError: missing, damaged, or not the file that its sidecar describes.
    """
    from keras_faceattr.artifact.cost import op_table
    from keras_faceattr.artifact.flatbuffer import read_tflite
    from keras_faceattr.artifact.loading import load_artifact, replay_golden

    artifact = load_artifact(file_of(Path(file)))
    return FileInfo(artifact.sidecar, op_table(read_tflite(artifact.path)), replay_golden(artifact))


def inspect_data(
    source: str | os.PathLike[str],
    *,
    data: Paths | None = None,
    set: Settings | None = None,
    photo_root: str | os.PathLike[str] | None = None,
    picture: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Count what is in a data set: photos, labels, groups, duplicates and bad files.

    Args:
        source: config (name or path), `READER=PATH`, CSV, or folder of crops.
        data: where the sources of a config lie.
        set: changes of the config.
        photo_root: folder below which the photos of a CSV lie; default: the CSV's folder.
        picture: PNG to which label histograms and sample photos are drawn.

    Returns:
        Plain data: `photos`, `splits`, `identities`, `groups`, `duplicates`, `put_aside` (rows quarantined, each with
        its reason), and by name under `tasks` the counts of each label.

    Raises:
        ConfigError: an unknown reader or option, or a picture that is no PNG.
        DataError: data that cannot be read.
    """
    from keras_faceattr.api.named import read_named
    from keras_faceattr.api.outputs import check_out
    from keras_faceattr.data.inspection import draw_inspection, inspect_manifest

    drawn = Path(picture) if picture is not None else None
    if drawn and drawn.suffix.lower() != ".png":
        raise ConfigError(f"--picture {drawn}: unknown kind {drawn.suffix!r}; valid: .png")
    root = Path(photo_root) if photo_root is not None else None
    named = read_named(os.fspath(source), as_paths(data), as_overrides(set), photo_root=root)
    if drawn:
        check_out(drawn, named.inputs(os.fspath(source)), named.experiment, "--picture")
    findings, manifest = inspect_manifest(named.manifest)
    if drawn:
        draw_inspection(manifest, findings, drawn)
    return findings
