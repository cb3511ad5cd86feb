"""Initial weights from another run or model, layer by layer where name and shape agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras

from keras_faceattr.errors import ModelError
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import run_of
from keras_faceattr.tasks import Task, meaning_of


@dataclass(frozen=True)
class InitReport:
    """Report of which variables took over weights.

    Attributes:
        matched: same path and shape.
        other_shape: same path, another shape; these keep their random weights.
        other_meaning: heads whose outputs stood for something else, such as classes in another order; these keep
            their random weights.
        absent: not in the given model; these keep their random weights.
        unused: only in the given model.
    """

    matched: tuple[str, ...]
    other_shape: tuple[str, ...]
    other_meaning: tuple[str, ...]
    absent: tuple[str, ...]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report for people."""
        rows = [f"{len(self.matched)} variables initialised"]
        for title in ("other_shape", "other_meaning", "absent", "unused"):
            names = getattr(self, title)
            if names:
                rows.append(f"{title.replace('_', ' ')}: {', '.join(names)}")
        return rows


def initialise(model: keras.Model, init_from: str | dict[str, str], tasks: dict[str, Task]) -> InitReport:
    """Copy weights from run folders or `.keras` files into `model`.

    Args:
        init_from: a path; or paths by the name that stands before a layer's in `model`: `{identity: RUN}` copies the
            run's `conv1` into `identity_conv1`.
        tasks: tasks of `model`.

    Raises:
        ModelError: nothing can be loaded, or no variable matches.
    """
    starts = init_from if isinstance(init_from, dict) else {"": init_from}
    own = {v.path: v for v in model.variables}
    given: dict[str, keras.Variable] = {}
    unlike: set[str] = set()
    for name, start in starts.items():
        path, prefix = Path(start), f"{name}_" if name else ""
        run = run_of(path)
        found = {f"{prefix}{v.path}": v for v in load_model(run.model_path if path.is_dir() else path).variables}
        # Biases of heads may fit any net; a kernel tells.
        if not any(len(v.shape) > 1 and p in own and tuple(own[p].shape) == tuple(v.shape) for p, v in found.items()):
            whose = f" into layers {prefix}…" if prefix else ""
            raise ModelError(f"{start} is another model: none of its {len(found)} variables fits{whose}")
        before = run.tasks() if run.tasks_path.is_file() else {}
        others = [n for n in before if n in tasks and meaning_of(before[n]) != meaning_of(tasks[n])]
        heads = [f"{prefix}{n}_raw" for n in others]
        unlike |= {p for p in found if p.startswith(tuple(heads))}
        given |= found
    same = [p for p, v in own.items() if p in given and tuple(given[p].shape) == tuple(v.shape)]
    matched = [p for p in same if p not in unlike]
    for p in matched:
        own[p].assign(given[p])
    return InitReport(
        matched=tuple(matched),
        other_shape=tuple(p for p in own if p in given and p not in same),
        other_meaning=tuple(p for p in same if p in unlike),
        absent=tuple(p for p in own if p not in given),
        unused=tuple(p for p in given if p not in own),
    )
