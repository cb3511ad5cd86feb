"""Making the integer model of an export with the native engine: calibrate, fine-tune, convert."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.recipe import ExportRecipe, FineTuningConfig, IntegerConfig
from keras_faceattr.convert.source import ExportListener, Source
from keras_faceattr.convert.temperatures import Temperatures, divide_logits
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.mixing import mixed_order, source_weights
from keras_faceattr.errors import DataError, ModelError
from keras_faceattr.evaluation.predictions import Outputs, keras_predictor, predict_split
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.network import Network
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.fine_tune import fine_tune, fine_tuning_experiment
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.noise import layer_noise
from keras_faceattr.quantization.plan import HEAD, Plan
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing, sha256, write_json
from keras_faceattr.training.checkpoint import best_checkpoint, load_loss_memory
from keras_faceattr.training.loop import make_losses
from keras_faceattr.training.provenance import provenance

CALIBRATION_BATCH = 10
NOISE_PHOTOS = 40
IDENTITY = "quantization.json"
"""File that says what recipe and model a fine-tuning belongs to."""
FINISHED = "finished.json"
RETAKEN = "temperatures_after_fine_tuning"
"""Detail that is no part of the sidecar: it is in the file's temperatures."""
IN_HEAD = "head: its 256 steps would be coarse; recipe int8_full makes it integer"
"""Why the layers of a head stay in float."""


@dataclass(frozen=True)
class Integer:
    """An integer model.

    Attributes:
        content: of the `.tflite` file.
        outputs: of the fake-quantized model on the held-out photos; None where there is no such model.
        float_layers: layers that were left in float on purpose.
        details: for the sidecar.
        exact_layers: layers that must not be integer.
        unrounded: of a control, outputs on the held-out photos after fine-tuning in float and before quantization.
    """

    content: bytes
    outputs: Outputs | None
    float_layers: frozenset[str]
    details: dict[str, Any]
    exact_layers: frozenset[str] = frozenset()
    unrounded: Outputs | None = None
    temperatures: Temperatures | None = None


def make_integer(source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int) -> Integer:
    """Quantizes natively; the fine-tuned model is left in `folder` as a run of its own.

    Of a control, that model computes in floats, and is quantized here after its last epoch.

    Args:
        folder: of that run; a call that was killed goes on there, and one that finished is used again.
    """
    settings = recipe.integer
    assert settings is not None
    tuning = settings.fine_tuning
    run = Run(folder)
    finished = _open(run, source, recipe)
    details: dict[str, Any] = {"engine": "native"}
    if finished is not None:
        listener.say(f"{recipe.name}: using the model that an earlier export left in {folder}")
    folded, unrounded = source.folded, None
    if recipe.is_control:
        folded, kept = _without_rounding(source, recipe, run, listener, finished)
        details |= kept
        unrounded = predict_split(keras_predictor(folded), source.held_out)
    learned = tuning is not None and tuning.learned_ranges
    quantized = quantize_network(
        folded, source.tasks, all_integer=settings.heads, learned_ranges=learned, keep_float=settings.keep_float,
        kernel_bits=4 if recipe.weights == "int4" else 8,
    )  # fmt: skip
    reasons, inference = float_layers(recipe, quantized.plan), quantized.network.inference
    if finished is None or recipe.is_control:
        details |= _calibrate(source, recipe, quantized, folded, listener)
        if tuning and not recipe.is_control:
            details |= _tune(
                source, recipe, run, listener, quantized.network, ranges=quantized.ranges().values(),
                frozen_epochs=tuning.frozen_epochs, range_rate=tuning.range_rate,
            )  # fmt: skip
        round_biases(inference)
        if not recipe.is_control:
            _finish(run, inference, details)
    else:
        details = finished
        inference.set_weights(load_model(run.model_path).get_weights())
    listener.say(f"{recipe.name}: converting")
    content = convert(
        quantized.body, batch=batch, weights=recipe.weights, integer_input=True, integer_output=settings.heads
    )
    outputs = predict_split(keras_predictor(inference), source.held_out)
    seed, weights = source.experiment.seed, source_weights(source.experiment.data.sources)
    looked_at = draw(source.held_out, NOISE_PHOTOS, seed, weights)
    noise = [dataclasses.asdict(row) for row in layer_noise(quantized, folded, batches(looked_at))]
    details |= {"layers": noise, "noise_sources": _by_source(source, looked_at)}
    exact = quantized.plan.float_nodes
    details["float_layers"] = reasons
    temperatures = source.temperatures.then(Temperatures(**details.pop(RETAKEN, {"factors": {}, "photos": {}})))
    return Integer(content, outputs, exact | quantized.borders, details, exact, unrounded, temperatures)


def float_layers(recipe: ExportRecipe, plan: Plan) -> dict[str, str]:
    """Why a layer stays in float, by its name, in the words of an export.

    Raises:
        ModelError: no layer is left to be integer.
    """
    if not plan.ranges:
        raise ModelError(
            f"recipe {recipe.name}: no layer is left to be integer; use recipe float32, or fewer integer.keep_float"
        )
    return {name: IN_HEAD if reason == HEAD else reason for name, reason in plan.reasons.items()}


def _calibrate(
    source: Source, recipe: ExportRecipe, quantized: QuantizedNetwork, folded: keras.Model, listener: ExportListener
) -> dict[str, Any]:
    """Takes the ranges from training photos; returns how many there were, in all and by source."""
    assert recipe.integer is not None
    settings, weights = recipe.integer.calibration, source_weights(source.experiment.data.sources)
    drawn = draw(source.data.parts.get("train"), settings.photos, source.experiment.seed, weights)
    listener.say(f"{recipe.name}: calibrating on {len(drawn)} photos")
    calibrate(quantized, folded, batches(drawn), settings.observer)
    return {"calibration_photos": len(drawn), "calibration_sources": _by_source(source, drawn)}


def _without_rounding(
    source: Source, recipe: ExportRecipe, run: Run, listener: ExportListener, finished: dict[str, Any] | None
) -> tuple[keras.Model, dict[str, Any]]:
    """The folded net after the recipe's epochs in float, and the details of `_tune`.

    Batch norms are folded as in the rounded net: what remains between both trainings is the rounding.
    """
    folded = keras.models.clone_model(source.folded)
    if finished is not None:
        folded.set_weights(load_model(run.model_path).get_weights())
        return folded, {key: finished[key] for key in ("fine_tuned", RETAKEN) if key in finished}
    folded.set_weights(source.folded.get_weights())
    nodes = read_graph(folded).nodes
    raw = {task: nodes[f"{task}_raw"].output for task in source.tasks}
    kept = _tune(source, recipe, run, listener, Network(keras.Model(folded.input, raw, name=folded.name), folded))
    _finish(run, folded, kept)
    return folded, kept


def _tune(
    source: Source, recipe: ExportRecipe, run: Run, listener: ExportListener, network: Network, **ranges: Any
) -> dict[str, Any]:
    """Fine-tunes with the run's own losses, after which the temperatures are taken anew.

    Returns:
        `fine_tuned`: whether the new weights were kept; and then `RETAKEN`: the further temperatures.
    """
    experiment, how = run.experiment(), " without rounding" if recipe.is_control else ""
    listener.say(f"{recipe.name}: fine-tuning{how} for {recipe.epochs} epochs")
    losses = make_losses(experiment, source.tasks, source.data.forms)
    # People are told apart by weights that only the losses have, as the run left them.
    load_loss_memory(best_checkpoint(source.run), [v for loss in losses.values() for v in loss.variables])
    kept = fine_tune(network, experiment, source.data, run, listener, losses=losses, **ranges)
    if not kept:
        listener.say(f"{recipe.name}: fine-tuning made a task worse; keeping the weights from before")
    # Integer heads have ranges that the weights must keep.
    if not kept or (recipe.integer and recipe.integer.heads):
        return {"fine_tuned": kept}
    further = divide_logits(network.inference, source.tasks, source.data.parts.get("val"))
    return {"fine_tuned": kept, RETAKEN: dataclasses.asdict(further)}


def _finish(run: Run, model: keras.Model, details: dict[str, Any]) -> None:
    with replacing(run.model_path) as temporary:
        model.save(temporary)
    write_json(run.folder / FINISHED, details)


def draw(part: LabelledCrops | None, photos: int, seed: int, weights: np.ndarray | None) -> LabelledCrops:
    """Photos drawn at random, without their labels, mixed as training mixes its sources.

    Args:
        photos: there are fewer where a source has not as many as its share asks for.
        weights: (sources,) of `source_weights`.

    Raises:
        DataError: there are none.
    """
    if part is None:
        raise DataError("no photos to calibrate with: the train split is empty")
    if weights is None or part.sources is None:
        at = np.random.default_rng(seed).permutation(len(part))[:photos]
    else:
        order = mixed_order(part.sources, weights, photos, 1, seed, 0)
        at = np.array(list(dict.fromkeys(order.tolist())))
    sources = None if part.sources is None else part.sources[at]
    return dataclasses.replace(part, labels={}, rows=part.rows[at], sources=sources)


def batches(part: LabelledCrops) -> list[np.ndarray]:
    """The photos of a part, (b, side, side, 3) from 0 to 255 each."""
    pixels = part.crops.take(part.rows).astype("float32")
    return [pixels[start : start + CALIBRATION_BATCH] for start in range(0, len(pixels), CALIBRATION_BATCH)]


def _open(run: Run, source: Source, recipe: ExportRecipe) -> dict[str, Any] | None:
    """Makes the run ready to start or to go on; returns its details if it has finished.

    What another recipe or another model left there is thrown away.
    """
    assert recipe.integer is not None
    identity = {
        "model": sha256(source.run.model_path),
        "heads": list(source.tasks),
        "weights": recipe.weights,
        "temperatures": source.temperatures.factors,
        "integer": recipe.integer.model_dump(mode="json"),
        "labels": source.data.manifest.label_hash(),
        "photos": source.data.manifest.photo_hash(),
        "splits": source.data.manifest.split_hash(),
    }
    path = run.folder / IDENTITY
    try:
        left = json.loads(path.read_text(encoding="utf-8"))
        # A key that recipes did not have then had what is its default now.
        left.setdefault("weights", "int8")
        left.setdefault("temperatures", {})
        left["integer"] = IntegerConfig.model_validate(left["integer"]).model_dump(mode="json")
        if left == identity:
            if run.model_path.exists():
                return dict(json.loads((run.folder / FINISHED).read_text(encoding="utf-8")))
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    start_run(run.folder, source, recipe)
    # Last, because it says that all the others belong to this recipe.
    write_json(path, identity)
    return None


def start_run(folder: Path, source: Source, recipe: ExportRecipe) -> Run:
    """A run for the fine-tuning of a recipe, without anything that another recipe or model left there."""
    assert recipe.integer is not None
    run = Run(folder)
    for stale in (run.model_path, run.checkpoint_path, run.history_path, folder / FINISHED, folder / IDENTITY):
        stale.unlink(missing_ok=True)
    run.drop_best_but(0)
    tuning = recipe.integer.fine_tuning or FineTuningConfig()
    name = f"{source.experiment.name}_{recipe.name}"
    experiment = fine_tuning_experiment(source.experiment, name, tuning.epochs, tuning.learning_rate, tuning.augmented)
    run.write_config(experiment, source.tasks)
    write_json(run.provenance_path, provenance(experiment, source.data))
    return run


def _by_source(source: Source, part: LabelledCrops) -> dict[str, int]:
    names = list(source.data.manifest.sources)
    numbers = np.zeros(len(part), "int64") if part.sources is None else part.sources
    return dict(zip(names, np.bincount(numbers, minlength=len(names)).tolist(), strict=True))
