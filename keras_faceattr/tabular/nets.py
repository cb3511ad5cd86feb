"""Training of one net on one split."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_faceattr.errors import TrainingError
from keras_faceattr.models.tabular_dnn import tabular_model
from keras_faceattr.tabular.experiment import TableTraining
from keras_faceattr.tabular.splits import Part, SplitTable

PREDICTION_BATCH = 65536
"""Rows of a call, which bounds the memory of a large table."""


def fit_net(name: str, options: dict[str, Any], table: SplitTable, training: TableTraining) -> tuple[keras.Model, int]:
    """Trains a net on the training rows and keeps the epoch with the least validation MAE.

    Args:
        name: of `models.tabular_dnn.TABULAR_NETS`.
        options: of the net.

    Returns:
        The net from raw columns to the target, and its best epoch, from 1.

    Raises:
        TrainingError: the loss, or the validation MAE, is not a finite number.
    """
    model = tabular_model(name, table.standardisation, table.split.seed, **options)
    train, validation = _arrays(table.train), _arrays(table.validation)
    steps = -(-len(table.train.target) // training.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(training.learning_rate, steps * training.epochs)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=training.weight_decay),
        loss=training.loss,
        metrics=["mae"],
        # One call for a whole epoch: the nets are so small that the calls would cost more than the steps.
        steps_per_execution=steps,
    )
    stop = keras.callbacks.EarlyStopping(
        "val_mae",
        patience=training.early_stop_epochs or training.epochs,
        restore_best_weights=True,
        mode="min",
    )

    def check(_: int, logs: dict[str, Any]) -> None:
        if not np.isfinite([logs["loss"], logs["val_mae"]]).all():
            raise TrainingError(
                f"{name}, split {table.split.number}: the loss became infinite; lower training.learning_rate"
            )

    rows = tf.data.Dataset.from_tensor_slices(train)
    # Keras would shuffle by TensorFlow's global seed, which is not ours to set, so that no two runs were the same.
    rows = rows.shuffle(len(table.train.target), seed=table.split.seed).batch(training.batch_size)
    history = model.fit(
        rows,
        shuffle=False,
        epochs=training.epochs,
        validation_data=validation,
        # Keras' TerminateOnNaN prints to stdout, where results go, and looks at the loss alone.
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=check), stop],
        verbose=0,
    ).history
    return model, int(np.argmin(history["val_mae"])) + 1


def predict_net(model: keras.Model, columns: np.ndarray) -> np.ndarray:
    """(rows, features) raw columns → (rows,) predictions.

    Raises:
        TrainingError: one is not a finite number.
    """
    # Called, not `predict`: these nets are small, and tracing a function for each would cost seconds.
    starts = range(0, len(columns), PREDICTION_BATCH)
    batches = [model(columns[start : start + PREDICTION_BATCH].astype("float32"), training=False) for start in starts]
    predictions = np.concatenate([np.asarray(keras.ops.convert_to_numpy(batch))[:, 0] for batch in batches])
    if not np.isfinite(predictions).all():
        raise TrainingError(
            f"{model.name}: predictions became infinite; lower training.learning_rate, or fix the table's outliers"
        )
    return predictions


def _arrays(part: Part) -> tuple[np.ndarray, np.ndarray]:
    return part.columns.astype("float32"), part.target.astype("float32")[:, None]
