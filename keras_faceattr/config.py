"""The configuration of one training: its sections, keys, ranges and defaults."""

from __future__ import annotations

import typing
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from keras_faceattr.crop_fields import CutFields, DetectorFields
from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import LABEL_SUFFIXES, check_name

SourceName = Annotated[str, Field(pattern=r"^[^./\\=\x00-\x1f][^/\\=\x00-\x1f]*$", max_length=100)]
"""Also a folder's name, and what stands before `=` in `--data`."""

MOST_TEXT = 4096
"""Characters of a text, such as a path."""

MOST_SOURCES, MOST_TASKS, MOST_CLASSES = 100, 100, 10_000

RunName = Annotated[str, Field(pattern=r"\w", max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(ge=-1e9, le=1e9)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
NotNegative = Annotated[float, Field(ge=0, le=1e9)]
Rate = Annotated[float, Field(gt=0, le=100)]
"""A learning rate."""

Epochs = Annotated[int, Field(ge=1, le=100_000)]
MaybeEpochs = Annotated[int, Field(ge=0, le=100_000)]
BatchSize = Annotated[int, Field(ge=2, le=65_536)]
Names = Annotated[list[str], Field(max_length=MOST_CLASSES)]
PixelScale = Literal["auto", "raw", "zero_one", "minus_one_one", "mobilefacenet"]
Correlation = Annotated[float, Field(ge=-1, le=1)]


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error, and every number and text has bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=MOST_TEXT)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Otherwise `epochs: true` would be one epoch."""
        if isinstance(value, bool):
            kinds = annotations_in(cls.model_fields[str(info.field_name)].annotation)
            if int in kinds or float in kinds:
                raise ValueError("input should be a number, not true or false")
        return value


def annotations_in(annotation: Any) -> list[Any]:
    """An annotation and all that stands in its brackets."""
    return [annotation, *(a for inner in typing.get_args(annotation) for a in annotations_in(inner))]


class SplitConfig(Section):
    """How train, val and test are made; see `data.splits.split_manifest`.

    Attributes:
        plan: version of the rules by which photos are drawn, of `data.drawing.PLANS`; published results name theirs,
            so that they can be repeated when the rules change.
    """

    method: Literal["given", "stratified", "kfold", "train", "given_or_test"] = "given"
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    fold: Annotated[int, Field(ge=1, le=1000)] = 1
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    seed: Seed = 0
    plan: Literal[1, 2] = 2


class SourceConfig(Section):
    """A data set: which reader, where, and how it takes part.

    Attributes:
        options: of the reader.
        name: under which it is counted and measured, where two sources have the same reader.
        labels: by task, what the data's labels are called here; null for no label. So labels of several sets agree.
        split: as of `data.split`, for this source alone.
        weight: share of every batch, against the weights of the other sources; without weights each photo counts alike.
        exclude: photos to leave out: a text file of names, one per line, or a pattern such as `old/*.jpg`.
    """

    reader: str
    path: str | None = None
    options: dict[str, Any] = {}
    name: SourceName | None = None
    labels: dict[str, dict[str, Annotated[str, Field(min_length=1)] | None]] = {}
    split: SplitConfig | None = None
    weight: Positive | None = None
    exclude: Annotated[str, Field(min_length=1)] | None = None


# Sections are frozen by their `model_config`, which mypy does not read.
class DetectorConfig(Section, DetectorFields):  # type: ignore[misc]
    """What the face detector looks for."""


# Python collects fields from the last base on.
class CropConfig(Section, CutFields, DetectorFields):  # type: ignore[misc]
    """The model's input; see `faces.crop_spec.CropSpec`."""


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

    sources: Annotated[list[SourceConfig], Field(min_length=1, max_length=MOST_SOURCES)]
    split: SplitConfig = SplitConfig()
    crop: CropConfig = CropConfig()
    augmentation: AugmentationConfig | None = AugmentationConfig()
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    max_bad_share: Share = 0.01


class MethodSettings(Section):
    """What may be set about a task's loss; each method names those that it looks at.

    Attributes:
        expectation_weight: λ, weight of the expectation's L1 beside the divergence.
        smoothness: weight of the third differences of the log-probabilities, of photos whose label is an interval: what
            an interval leaves open is then filled as a normal distribution would.
        kl_reduction: `sum` over the bins as the paper writes it, or `mean` over the bins as the authors' code
            weights it: with `mean`, λ = 1 is K times heavier against the divergence.
        label_smoothing: of classes.
        delta: δ, in the task's unit: above it the error counts linearly.
        huber_form: `continuous`, or `paper`, whose two pieces do not meet at δ.
        class_weight: θc, weight of the classification beside the regression.
        value_weight: θr, weight of the regression.
        relation_weight: α, weight of the relations between attributes.
        relation_decay: λ, by which earlier batches count less in the relations.
        positive_relation: r_p, from which correlation on two attributes should agree.
        negative_relation: r_n, up to which correlation they should differ.
        angular_margin: in radians, added to the angle to the own person; the default is ArcFace's (section 3.1).
        angular_scale: by which cosines are multiplied before the softmax; the default is ArcFace's (section 3.1).
        center_weight: of the distance to the own person's centre.
        center_rate: α, by which centres follow their photos.
        triplet_margin: by how much a stranger must be farther away, in squared distance.
        mining: which strangers and photos of a person count: `hard` or `semi_hard`.
        cosine_weight: of 1 − cosine to the teacher's vector.
        l2_weight: of the mean squared difference of its numbers to those of the teacher's vector, both of length 1.
    """

    expectation_weight: NotNegative = 1.0
    smoothness: NotNegative = 1.0
    kl_reduction: Literal["sum", "mean"] = "sum"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    delta: Positive = 0.6
    huber_form: Literal["continuous", "paper"] = "continuous"
    class_weight: NotNegative = 0.4
    value_weight: NotNegative = 0.6
    relation_weight: NotNegative = 0.5
    relation_decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    positive_relation: Correlation = 0.8
    negative_relation: Correlation = 0.2
    angular_margin: Annotated[float, Field(ge=0, le=1.5)] = 0.5
    angular_scale: Positive = 64.0
    center_weight: NotNegative = 0.003
    center_rate: Share = 0.5
    triplet_margin: Positive = 0.2
    mining: Literal["hard", "semi_hard"] = "semi_hard"
    cosine_weight: NotNegative = 1.0
    l2_weight: NotNegative = 1.0

    @model_validator(mode="after")
    def _relations(self) -> Self:
        if self.negative_relation > self.positive_relation:
            raise ValueError("negative_relation is above positive_relation: no pair can be asked for both")
        return self


class TeacherConfig(Section):
    """Another net, whose vectors are learned; see `faces.embedder`.

    Attributes:
        path: of a `.tflite` file that takes a photo and gives a vector.
        crop: what the teacher sees of a photo, where that is not what the pupil sees.
        scale: how it wants its pixels.
    """

    path: str
    crop: CropConfig | None = None
    scale: PixelScale = "auto"


class TaskConfig(MethodSettings):
    """What to learn of a task and how; the definition comes from the data set unless it stands here.

    Attributes:
        weight: of the task's loss.
        class_weights: by which the loss of a photo is multiplied, by its class (of a yes/no task, `0` and `1`), 1 for
            classes that are not named; or `balanced`.
        sensitive: whether predictions answer the task only where it is named; None: as the data says, else no.
    """

    kind: Literal["scalar", "binary", "categorical", "multilabel", "identity", "embedding"] | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    step: Number | None = None
    unit: str | None = None
    default_std: Positive | None = None
    tolerances: Annotated[list[Number], Field(max_length=100)] | None = None
    cut_points: Annotated[list[Number], Field(max_length=MOST_CLASSES)] | None = None
    bands: Annotated[list[tuple[Number, Number]], Field(max_length=1000)] | None = None
    classes: Names | None = None
    attributes: Names | None = None
    groups: dict[str, Names] | None = None
    readings: (
        Annotated[dict[str, Annotated[dict[str, Names], Field(max_length=MOST_CLASSES)]], Field(max_length=100)] | None
    ) = None
    dimension: Annotated[int, Field(ge=2, le=4096)] | None = None
    method: str | None = None
    weight: Positive = 1.0
    class_weights: dict[str, NotNegative] | Literal["balanced"] | None = None
    teacher: TeacherConfig | None = None
    sensitive: bool | None = None

    @field_validator("class_weights", mode="before")
    @classmethod
    def _classes_are_names(cls, weights: Any) -> Any:
        """YAML reads the classes 0 and 1 as numbers."""
        return {str(name): weight for name, weight in weights.items()} if isinstance(weights, dict) else weights

    def definition(self) -> dict[str, Any]:
        """The task's own fields that this section sets."""
        learning = {"method", "weight", "class_weights", "teacher", *MethodSettings.model_fields}
        return self.model_dump(exclude=learning, exclude_none=True)

    def settings(self) -> MethodSettings:
        """Those of the method."""
        return MethodSettings(**{name: getattr(self, name) for name in MethodSettings.model_fields})


class ModelConfig(Section):
    """Which net, and what it starts from; any further key is an option of the net, such as `pooling`."""

    model_config = ConfigDict(extra="allow")

    name: str = "tiny_att_net"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    vote: Literal["majority", "soft"] = "majority"
    init_from: str | dict[str, str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Those of the net."""
        return dict(self.model_extra or {})

    @property
    def file(self) -> str | None:
        """The `.keras` file that `name` stands for, if it does."""
        return self.name if self.name.endswith(".keras") else None

    @property
    def title(self) -> str:
        """The name for people, without the folder of a file."""
        return self.name.replace("\\", "/").rsplit("/", 1)[-1] if self.file else self.name


class OptimizerConfig(Section):
    """Adam, or AdamW, which also decays weights; the defaults are the paper's."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: Rate = 1e-3
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    clip_norm: Positive | None = None


class ScheduleConfig(Section):
    """How the learning rate moves: `step` as the paper, or `cosine` after a linear warm-up."""

    name: Literal["step", "cosine", "constant"] = "step"
    step_epochs: Epochs = 30
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_epochs: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    final_share: Share = 0.0


class FeatureMatchConfig(Section):
    """A feature map of the student that is drawn to one of the teacher.

    Attributes:
        layer: of the student.
        teacher_layer: of the teacher; null for the one of the same name.
        weight: of the mean squared difference, in the sum of all losses.
    """

    layer: Annotated[str, Field(min_length=1)]
    teacher_layer: Annotated[str, Field(min_length=1)] | None = None
    weight: Positive = 1.0


class DistillationConfig(Section):
    """How a training learns from its teachers; see `methods.lessons`.

    Attributes:
        temperature: T, by which the log-probabilities of both nets are divided.
        share: weight of the teacher against the photo's own label; a photo without one learns from the teacher alone.
        crops: 0 asks the teacher about each crop that the student sees; k draws k crops of each photo once, stores what
            the teacher says about them, and the epochs go round through these.
        flips: whether the teacher's answer is its mean over the crop and its mirror image.
        features: maps that are matched.
    """

    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    share: Share = 0.5
    crops: Annotated[int, Field(ge=0, le=1000)] = 0
    flips: bool = False
    features: Annotated[list[FeatureMatchConfig], Field(max_length=100)] = []


class TrainingConfig(Section):
    """How long and how to train; the defaults are the paper's schedule.

    Attributes:
        balanced_by: task whose classes, or tenths of its range, every batch shows equally often.
        teacher: runs or exported files that are learned from besides the labels; of several the mean.
    """

    epochs: Epochs = 60
    batch_size: BatchSize = 128
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    loss_weights: Literal["fixed", "learned"] = "fixed"
    first_stage_epochs: MaybeEpochs = 0
    early_stop_epochs: Epochs | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    xla: bool = False
    deterministic: bool = False
    steps_per_epoch: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    photos_per_person: Annotated[int, Field(ge=2, le=1000)] | None = None
    balanced_by: str | None = None
    teacher: str | Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    distillation: DistillationConfig = DistillationConfig()

    @property
    def teachers(self) -> list[str]:
        """Paths of the teachers."""
        return [self.teacher] if isinstance(self.teacher, str) else list(self.teacher or ())

    @model_validator(mode="after")
    def _stages(self) -> TrainingConfig:
        if self.first_stage_epochs >= self.epochs:
            raise ValueError(f"first_stage_epochs {self.first_stage_epochs} leaves nothing of {self.epochs} epochs")
        return self

    @model_validator(mode="after")
    def _distillation(self) -> TrainingConfig:
        if not self.teachers and self.distillation != DistillationConfig():
            raise ValueError("distillation is set, but there is nobody to learn from: set teacher")
        return self


class EvaluationConfig(Section):
    """How a run is measured at its end."""

    tta: Literal["none", "flip"] = "flip"
    bootstrap_samples: Annotated[int, Field(ge=0, le=100_000)] = 1000


class PhotoExperiment(Section):
    """What every experiment on photos says: which photos, what is learned of them, how it is measured."""

    name: RunName
    data: DataConfig
    tasks: Annotated[dict[str, TaskConfig], Field(min_length=1, max_length=MOST_TASKS)]
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Seed = 0

    @field_validator("tasks", mode="before")
    @classmethod
    def _without_null(cls, tasks: Any) -> Any:
        """`tasks.NAME=null` leaves a config's task out."""
        return {name: task for name, task in tasks.items() if task is not None} if isinstance(tasks, dict) else tasks

    @field_validator("tasks")
    @classmethod
    def _named(cls, tasks: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        """A task's name is that of a column, of a layer and of files."""
        for name in tasks:
            try:
                check_name(name)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            for suffix in LABEL_SUFFIXES:
                if name.removesuffix(suffix) in tasks.keys() - {name}:
                    raise ValueError(f"task {name!r} is called as a column of another task's labels: rename it")
        return tasks


class Experiment(PhotoExperiment):
    """One training, whole."""

    kind: Literal["photos"] = "photos"
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
