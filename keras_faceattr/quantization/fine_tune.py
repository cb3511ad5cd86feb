"""Fine-tuning a fake-quantized net as a run of its own, which loads, evaluates and goes on as any other."""

from __future__ import annotations

import numpy as np

from keras_faceattr.config import AugmentationConfig, Experiment, OptimizerConfig, ScheduleConfig
from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.quantization.graph import producer
from keras_faceattr.quantization.layers import QUANTIZED, FakeQuantize
from keras_faceattr.quantization.quantize import QuantizedNetwork
from keras_faceattr.run import Run
from keras_faceattr.training.loop import Listener, train, validation_score

WARMUP_EPOCHS = 0.5
"""Adam knows nothing of the gradients' sizes at first and moves every weight alike, which shifts the predictions."""

WORST = 1.05
"""Of the calibrated net's score, up to which a trained one is kept. The run's own epoch was chosen on the same photos,
which flatters the calibrated net: on SCUT-FBP5500 it is 0.5 % better there, and 0.6 % worse on the test photos."""


def fine_tuning_experiment(
    experiment: Experiment,
    name: str,
    epochs: int,
    learning_rate: float,
    weight_average: float = 0.0,
    augmented: bool = False,
) -> Experiment:
    """The run's own experiment with a short, low schedule; data and losses stay.

    Args:
        augmented: also the augmentation stays; else the photos are at most mirrored. Without batch norms a net has the
            statistics of plain photos, and is off on changed ones; training on these moves it off the plain ones.
    """
    augmentation = experiment.data.augmentation
    if augmentation and not augmented:
        augmentation = AugmentationConfig(flip=augmentation.flip, grey=0, min_scale=1, rotation_degrees=0, jitter=0)
    optimizer = experiment.training.optimizer.model_copy(update={"learning_rate": learning_rate})
    training = experiment.training.model_copy(
        update={
            "epochs": epochs,
            "optimizer": OptimizerConfig.model_validate(optimizer.model_dump()),
            "schedule": ScheduleConfig(name="cosine", warmup_epochs=WARMUP_EPOCHS, final_share=0.1),
            "weight_average": weight_average,
            "first_stage_epochs": 0,
            "early_stop_epochs": None,
            "precision": "float32",
        }
    )
    data = experiment.data.model_copy(update={"augmentation": augmentation})
    return experiment.model_copy(update={"name": name, "data": data, "training": training})


def fine_tune(
    quantized: QuantizedNetwork,
    experiment: Experiment,
    data: PreparedData,
    run: Run,
    listener: Listener,
    *,
    frozen_epochs: int,
    range_rate: float,
) -> bool:
    """Trains a calibrated net; goes on where a killed call stopped.

    Args:
        experiment: of `fine_tuning_experiment`.
        frozen_epochs: at the end, in which ranges stay as they are.
        range_rate: how far ranges move towards each batch's before that.

    Returns:
        Whether the trained weights were kept: if every epoch scores clearly worse on the validation photos, the
        calibrated ones stay.

    Raises:
        TrainingError: the loss is not a number.
    """
    calibrated = quantized.network.inference.get_weights()
    before = validation_score(experiment, data, quantized.network, {})

    def start_epoch(epoch: int) -> None:
        rate = range_rate if epoch < experiment.training.epochs - frozen_epochs else 0.0
        for layer in quantized.ranges().values():
            layer.set_rate(rate)

    state = train(experiment, data, quantized.network, run, listener, resume=True, start_epoch=start_epoch)
    if "val" in data.parts and state.best_score > WORST * before:
        quantized.network.inference.set_weights(calibrated)
        return False
    return True


def round_biases(quantized: QuantizedNetwork) -> None:
    """Sets every bias to what the file can hold: a multiple of the scales of its input and kernel."""
    # Not a graph: a range that several tensors share is a layer that is called several times.
    for layer in quantized.network.inference.layers:
        if type(layer) not in QUANTIZED.values() or not layer.use_bias:
            continue
        source = producer(layer.input)
        while not isinstance(source, FakeQuantize):
            source = producer(source.input)
        low, high = source.limits()
        scale = (high - low) / 255 * layer.kernel_scale()
        layer.bias.assign(np.round(np.asarray(layer.bias, "float64") / scale) * scale)
