"""Losses: each a pure function of labels and a head's raw outputs, and an object for `model.compile`.

The functions, in the modules below, give a value per photo on every Keras backend. The classes here call them. Their
configs round-trip, and a compiled model that holds one is saved and loaded as any other, as long as
`keras_faceattr.losses` has been imported.
"""

from keras_faceattr.losses.class_and_value import CRNetLoss
from keras_faceattr.losses.classification import DEX
from keras_faceattr.losses.distillation import Distillation, FeatureDistance, YesNoDistillation
from keras_faceattr.losses.embedding_match import EmbeddingMatch
from keras_faceattr.losses.huber import SmoothHuber, SmoothL1
from keras_faceattr.losses.label_distribution import DLDL, DLDLv2, ExpectationRegression
from keras_faceattr.losses.metric_learning import ArcFace, Triplet
from keras_faceattr.losses.ranking import Ranking
from keras_faceattr.losses.regression import MetricRegression

__all__ = [
    "DEX",
    "DLDL",
    "ArcFace",
    "CRNetLoss",
    "DLDLv2",
    "Distillation",
    "EmbeddingMatch",
    "ExpectationRegression",
    "FeatureDistance",
    "MetricRegression",
    "Ranking",
    "SmoothHuber",
    "SmoothL1",
    "Triplet",
    "YesNoDistillation",
]
