"""The configuration of one training: validated, resolved from YAML by name or path, changed by `--set`."""

from __future__ import annotations

import typing
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from keras_faceattr.errors import ConfigError, nearest

CONFIG_FOLDER = Path(str(resources.files("keras_faceattr.configs")))
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SourceConfig(Section):
    """A data set: which reader, where, and the reader's options."""

    reader: str
    path: str | None = None
    options: dict[str, Any] = {}


class SplitConfig(Section):
    """How train, val and test are made; see `data.splits.split_manifest`."""

    method: Literal["given", "stratified", "kfold"] = "given"
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    fold: Annotated[int, Field(ge=1)] = 1
    folds: Annotated[int, Field(ge=2)] = 5
    seed: Seed = 0


class CropConfig(Section):
    """The model's input; see `data.crop.CropSpec`."""

    size: Annotated[int, Field(ge=16, le=1024)] = 224
    method: str = "centre_square"
    interpolation: str = "area"


class AugmentationConfig(Section):
    """Random changes of training photos; the defaults are the paper's five, `zoom`, `shift` and `erase` are ours.

    Attributes:
        flip: probability of a horizontal flip.
        grey: probability of a grey photo.
        min_scale: the short side is resampled to between this share of the size and the size, and back.
        rotation_degrees: largest rotation, either way.
        jitter: largest change of brightness, contrast and saturation, as a share.
        zoom: largest change of scale, as a share.
        shift: largest shift, as a share of the side.
        erase: probability of a grey rectangle of 2 to 15 % of the area.
    """

    flip: Share = 0.5
    grey: Share = 0.5
    min_scale: Annotated[float, Field(gt=0, le=1)] = 0.5
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.4
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    erase: Share = 0.0


class DataConfig(Section):
    """What is trained on and how photos become batches."""

    sources: Annotated[list[SourceConfig], Field(min_length=1)]
    split: SplitConfig = SplitConfig()
    crop: CropConfig = CropConfig()
    augmentation: AugmentationConfig | None = AugmentationConfig()
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    max_bad_share: Share = 0.01


class TaskConfig(Section):
    """What to learn of a task and how; the definition comes from the data set unless it stands here."""

    kind: Literal["scalar", "binary", "categorical", "multilabel"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    unit: str | None = None
    default_std: Annotated[float, Field(gt=0)] | None = None
    tolerances: list[float] | None = None
    classes: list[str] | None = None
    attributes: list[str] | None = None
    groups: dict[str, list[str]] | None = None
    method: str = "dldl_v2"
    weight: Annotated[float, Field(gt=0)] = 1.0
    expectation_weight: Annotated[float, Field(ge=0)] = 1.0
    kl_reduction: Literal["sum", "mean"] = "sum"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def definition(self) -> dict[str, Any]:
        """The task's own fields that this section sets."""
        learning = {"method", "weight", "expectation_weight", "kl_reduction", "label_smoothing"}
        return self.model_dump(exclude=learning, exclude_none=True)


class ModelConfig(Section):
    """Which net, and what it starts from."""

    name: str = "tiny_att_net"
    pooling: Literal["hybrid", "average", "max"] = "hybrid"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    init_from: str | None = None


class OptimizerConfig(Section):
    """Adam or AdamW; the defaults are the paper's."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None


class ScheduleConfig(Section):
    """How the learning rate moves: `step` as the paper, or `cosine` after a linear warm-up."""

    name: Literal["step", "cosine", "constant"] = "step"
    step_epochs: Annotated[int, Field(ge=1)] = 30
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final_share: Share = 0.0


class TrainingConfig(Section):
    """How long and how to train; the defaults are the paper's schedule."""

    epochs: Annotated[int, Field(ge=1)] = 60
    batch_size: Annotated[int, Field(ge=2)] = 128
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    first_stage_epochs: Annotated[int, Field(ge=0)] = 0
    early_stop_epochs: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    xla: bool = False
    deterministic: bool = False
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _stages(self) -> TrainingConfig:
        if self.first_stage_epochs >= self.epochs:
            raise ValueError(f"first_stage_epochs {self.first_stage_epochs} leaves nothing of {self.epochs} epochs")
        return self


class EvaluationConfig(Section):
    """How a run is measured at its end."""

    tta: Literal["none", "flip"] = "flip"
    bootstrap_samples: Annotated[int, Field(ge=0)] = 1000


class Experiment(Section):
    """One training, whole."""

    name: str
    data: DataConfig
    tasks: Annotated[dict[str, TaskConfig], Field(min_length=1)]
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Seed = 0


def load_experiment(
    config: str, overrides: list[str] | None = None, data_paths: dict[str, str] | None = None
) -> Experiment:
    """Resolves a configuration.

    Args:
        config: name of a shipped recipe, or path of a YAML file.
        overrides: `key.key=value`, the value read as YAML; entries of lists by number.
        data_paths: path of each reader's data, by the reader's name.

    Raises:
        ConfigError: no such recipe, not YAML, an unknown key (with the nearest valid one), or a wrong value.
    """
    data = _read_yaml(_find(config))
    for override in overrides or []:
        _apply(data, override)
    section = data.get("data")
    sources = section.get("sources") if isinstance(section, dict) else None
    sources = sources if isinstance(sources, list) else []
    for reader, path in (data_paths or {}).items():
        matching = [s for s in sources if isinstance(s, dict) and s.get("reader") == reader]
        if not matching:
            known = [str(s.get("reader")) for s in sources if isinstance(s, dict)]
            raise ConfigError(f"--data {reader}: this config has no such source; {nearest(reader, known)}")
        for source in matching:
            source["path"] = path
    return parse_experiment(data, config)


def parse_experiment(data: Any, where: str) -> Experiment:
    """Validates plain data; `where` stands in the error's line."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a config is a mapping of keys, not {type(data).__name__}")
    try:
        return Experiment.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_line(error)}") from None


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def _find(config: str) -> Path:
    shipped = CONFIG_FOLDER / f"{config}.yaml"
    if "/" not in config and shipped.is_file():
        return shipped
    path = Path(config)
    try:
        if path.is_file():
            return path
    except OSError:
        config = f"{config[:60]}…"
    raise ConfigError(f"no config {config!r}: neither a file nor a recipe; {nearest(config, recipe_names())}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys")
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override!r}: write key.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override!r}: the value is not YAML") from None
    if isinstance(value, str):
        value = _number(value)
    node: Any = data
    parts = key.split(".")
    for i, part in enumerate(parts[:-1]):
        if isinstance(node, list):
            if not _is_number(part) or int(part) >= len(node):
                raise ConfigError(f"--set {override!r}: {'.'.join(parts[:i])} has entries 0 to {len(node) - 1}")
            node = node[int(part)]
        else:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
        if not isinstance(node, dict | list):
            raise ConfigError(f"--set {override!r}: {'.'.join(parts[: i + 1])} is a value, not a section")
    if isinstance(node, list):
        if not _is_number(parts[-1]) or int(parts[-1]) >= len(node):
            raise ConfigError(f"--set {override!r}: {'.'.join(parts[:-1])} has entries 0 to {len(node) - 1}")
        node[int(parts[-1])] = value
    else:
        node[parts[-1]] = value


def _is_number(text: str) -> bool:
    """Whether `int` takes it; `str.isdigit` also holds for ² and the like."""
    return text.isascii() and text.isdigit()


def _number(text: str) -> Any:
    """YAML 1.1 reads 1e-4 as text; people mean the number."""
    try:
        return float(text)
    except ValueError:
        return text


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        valid = _keys_of(location[:-1])
        return f"unknown key {key!r}; {nearest(location[-1], valid)}" if valid else f"unknown key {key!r}"
    if first["type"] == "missing":
        return f"missing key {key!r}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key or 'config'} = {first.get('input')!r}: {message[:1].lower()}{message[1:]}"


def _keys_of(location: list[str]) -> list[str]:
    """Valid keys of the section at a location."""
    section: Any = Experiment
    for part in location:
        # A number in a list or a name in a mapping is no field: the section stays that of its entries.
        known = section.model_fields.get(part)
        nested = [a for a in _arguments(known.annotation) if _is_section(a)] if known else []
        if nested:
            section = nested[0]
    return list(section.model_fields)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _arguments(annotation: Any) -> list[Any]:
    """An annotation and all that stands in its brackets."""
    return [annotation, *(a for inner in typing.get_args(annotation) for a in _arguments(inner))]
