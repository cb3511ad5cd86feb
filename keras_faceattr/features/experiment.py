"""Config of a run on features: where they come from, and which regressors are fitted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from keras_faceattr.config import PhotoExperiment, PixelScale, Section


class FeatureConfig(Section):
    """Source of the features.

    Attributes:
        source: `layers` of a Keras model, a `tflite` file that gives a vector, or `bif`, bio-inspired features.
        path: of a run, a `.keras` or a `.tflite` file.
        layers: names of the model's layers, whose outputs are flattened and joined.
        grid: maps are averaged to so many parts a side first; null leaves them whole.
        scale: how a `.tflite` file wants its pixels.
    """

    source: Literal["layers", "tflite", "bif"] = "layers"
    path: str | None = None
    layers: list[str] = Field(["features"], min_length=1, max_length=100)
    grid: Annotated[int, Field(ge=1, le=1024)] | None = None
    scale: PixelScale = "auto"

    @model_validator(mode="after")
    def _with_path(self) -> FeatureConfig:
        if (self.path is None) != (self.source == "bif"):
            raise ValueError(
                "features.path: " + ("bif needs none" if self.path else "which run, .keras or .tflite file?")
            )
        return self


class FeatureExperiment(PhotoExperiment):
    """Regressors on features of photos, whole.

    Attributes:
        regressors: names of `features.regressors.FEATURE_REGRESSORS`.
        preprocessing: of the features; null for each regressor's usual one.
    """

    kind: Literal["features"]
    features: FeatureConfig
    regressors: Annotated[list[str], Field(min_length=1, max_length=100)]
    preprocessing: Literal["none", "standardise", "l2"] | None = None

    @model_validator(mode="after")
    def _sensible(self) -> FeatureExperiment:
        twice = [name for name in self.regressors if self.regressors.count(name) > 1]
        if twice:
            raise ValueError(f"regressors: {twice[0]} stands twice")
        for name, task in self.tasks.items():
            if task.method:
                raise ValueError(f"tasks.{name}.method: regressors are what learns here; leave it out")
        return self
