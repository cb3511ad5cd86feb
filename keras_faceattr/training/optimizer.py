"""Optimizers and learning-rate schedules from a configuration."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.config import OptimizerConfig, TrainingConfig
from keras_faceattr.errors import ConfigError

WARM_UP = 9
"""Steps; see `WarmAverage`."""


class WarmAverage:
    """An optimizer's average of the weights whose memory grows with the training, up to its momentum.

    Of t steps it remembers about the last t / 9: with a constant decay, a short training would be judged by weights of
    its beginning, which do not agree with the latest statistics of the batch norms. The decay of step t, counted from
    0, is min(momentum, t / (t + 9)).
    """

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Nothing: at the end of each `fit` Keras would put the averages in place of the weights for good."""

    ema_momentum: float
    iterations: Any
    _model_variables_moving_average: list[Any]

    def _update_model_variables_moving_average(self, trainable_variables: list[Any]) -> None:
        steps = ops.cast(self.iterations, "float32")
        decay = ops.minimum(self.ema_momentum, steps / (steps + WARM_UP))
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                average.assign(variable + ops.cast(decay, variable.dtype) * (average - variable))


class Adam(WarmAverage, keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with such an average."""


class AdamW(WarmAverage, keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW with such an average."""


UNDECAYED = ["bias", "gamma", "beta", "minimum", "maximum", "log_variance"]
"""Parts of the names of biases, of batch norms' parameters, of learned ranges and of learned loss weights."""


def check_optimizer(config: OptimizerConfig) -> None:
    """Refuse a decay of weights by Adam, which knows none.

    Raises:
        ConfigError: naming the optimizer that does; runs of earlier versions were trained by that one.
    """
    if config.name == "adam" and config.weight_decay:
        raise ConfigError(
            f"training.optimizer: adam decays no weights, and weight_decay is {config.weight_decay:g}: "
            "write name: adamw, which does"
        )


def make_optimizer(training: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Adam, or AdamW, with its schedule; batch-norm parameters, biases and learned ranges are not decayed.

    Raises:
        ConfigError: as of `check_optimizer`.

    Source: DLDL-v2, section 4.1, for the defaults of the configuration.
    """
    config = training.optimizer
    check_optimizer(config)
    arguments: dict[str, Any] = {
        "learning_rate": make_schedule(training, steps_per_epoch),
        "beta_1": config.beta_1,
        "beta_2": config.beta_2,
        "epsilon": config.epsilon,
        "global_clipnorm": config.clip_norm,
        "name": config.name,
    }
    if training.weight_average:
        arguments |= {"use_ema": True, "ema_momentum": training.weight_average, "ema_overwrite_frequency": None}
    if config.name == "adam":
        return Adam(**arguments)
    optimizer = AdamW(weight_decay=config.weight_decay, **arguments)
    optimizer.exclude_from_weight_decay(var_names=UNDECAYED)
    return optimizer


def make_schedule(training: TrainingConfig, steps_per_epoch: int) -> Any:
    """Learning rate by step: constant, ×factor every so many epochs, or linear warm-up and a cosine to the end."""
    rate, schedule = training.optimizer.learning_rate, training.schedule
    if schedule.name == "cosine":
        warmup = round(schedule.warmup_epochs * steps_per_epoch)
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 100 if warmup else rate,
            decay_steps=max(1, training.epochs * steps_per_epoch - warmup),
            alpha=schedule.final_share,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    if schedule.name == "step":
        drops = range(schedule.step_epochs, training.epochs, schedule.step_epochs)
        # The boundary step itself still has the rate before it.
        boundaries = [epoch * steps_per_epoch - 1 for epoch in drops]
        values = [rate * schedule.step_factor**i for i in range(len(boundaries) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values) if boundaries else rate
    return rate
