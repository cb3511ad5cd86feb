"""The configuration of a comparison of regressors on a table: its sections, keys, ranges and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from keras_faceattr.config import MOST_CLASSES, BatchSize, Epochs, Rate, RunName, Section, Seed, Share
from keras_faceattr.models.tabular_dnn import BRANCH_UNITS, BRANCHES, SHARED_UNITS

Units = Annotated[tuple[Annotated[int, Field(ge=1, le=65_536)], ...], Field(min_length=1, max_length=20)]


class TableSource(Section):
    """Which table, which of its columns is predicted, and from which.

    Attributes:
        reader: `records`, the embedded ones, or `csv`, a file of one's own.
        path: of the csv.
        target: column to predict.
        columns: to predict it from; None: all others.
        options: of the reader: `count` and `seed` of the embedded records.
        max_bad_share: a larger share of rows with empty cells is an error.
    """

    reader: Literal["records", "csv"] = "records"
    path: str | None = None
    target: str = "score"
    columns: Annotated[list[str], Field(min_length=1, max_length=MOST_CLASSES)] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    max_bad_share: Share = 0.05


class RecordOptions(Section):
    """Options of the embedded records."""

    count: Annotated[int, Field(ge=1, le=1_000_000)] = 7000
    seed: Seed = 0


class MtbDnnConfig(Section):
    """Widths of MTB-DNN; see `models.tabular_dnn.mtb_dnn`."""

    shared: Units = SHARED_UNITS
    branches: Annotated[int, Field(ge=1, le=64)] = BRANCHES
    branch_units: Units = BRANCH_UNITS


class TableTraining(Section):
    """How the nets are trained: Adam with decoupled weight decay, the rate falling by a cosine to zero.

    Attributes:
        loss: on the target in its own unit.
        early_stop_epochs: a net stops after this many epochs without a better validation MAE; None: never. The best
            epoch's weights are kept either way.
    """

    epochs: Epochs = 60
    batch_size: BatchSize = 128
    learning_rate: Rate = 3e-3
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.5
    loss: Literal["mae", "mse"] = "mae"
    early_stop_epochs: Epochs | None = 15


class RepeatedSplits(Section):
    """Random splits, each drawn anew: shares of all rows for the test and of the others for validation."""

    repeats: Annotated[int, Field(ge=2, le=1000)] = 10
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1


class TableExperiment(Section):
    """A comparison of regressors on one table over repeated splits, whole.

    Attributes:
        baselines: names of `tabular.regressors.TABLE_REGRESSORS` that MTB-DNN is compared with.
        seed: of splits, initial weights and batches.
    """

    kind: Literal["table"]
    name: RunName
    table: TableSource = TableSource()
    model: MtbDnnConfig = MtbDnnConfig()
    training: TableTraining = TableTraining()
    splits: RepeatedSplits = RepeatedSplits()
    baselines: tuple[str, ...] = ("ridge", "lasso", "knn", "svr_rbf", "svr_linear", "svr_poly", "mlp")
    seed: Seed = 0

    @model_validator(mode="after")
    def _once(self) -> TableExperiment:
        twice = [name for name in self.baselines if self.baselines.count(name) > 1 or name == "mtb_dnn"]
        if twice:
            raise ValueError(f"baselines: {twice[0]} stands twice (mtb_dnn always takes part)")
        return self
