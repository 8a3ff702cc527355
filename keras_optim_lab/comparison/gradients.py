"""In the process of one backend: gradients at given weights, and how far rounding moves them.

Called as `python -m keras_optim_lab.comparison.gradients FOLDER OUTPUT`; `OUTPUT` holds the
questions and receives the answers.
"""

import json
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optim_lab.comparison.job import load_arrays, read_job, save_arrays
from keras_optim_lab.comparison.recording import batches, fresh_model
from keras_optim_lab.optimizers import GradientDescent
from keras_optim_lab.optimizers.shell.record import Record

_NUDGES = 16


@dataclass(frozen=True)
class Question:
    """The gradient of which number, in which step's batch; its weights stand beside it.

    Attributes:
        tensor: position among the trainable weights.
        index: position in that tensor, flattened.
    """

    step: int
    tensor: int
    index: int


class Witness(GradientDescent):
    """Keeps the gradient and leaves the weights, so that Keras's own training step yields it."""

    slots = ("gradient",)

    def rule(self, g: Any, w: Any, slot: Record, h: Record) -> tuple[Any, Record]:
        return ops.zeros_like(g), slot(gradient=g)

    @property
    def gradients(self) -> list[Any]:
        return self._slot_variables["gradient"]


def nudged(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same weights with each one moved to the next number up or down."""
    direction = np.where(rng.random(weights.shape) < 0.5, -np.inf, np.inf)
    return np.nextafter(weights, direction.astype(weights.dtype))


def answer(model: keras.Model, question: Question, weights: np.ndarray, batch: Any) -> tuple:
    """The number's gradient, once more, at nudged weights; and the whole tensor's."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)

    def gradient(at: np.ndarray) -> np.ndarray:
        start = 0
        for variable in model.trainable_variables:
            size = int(np.prod(variable.shape))
            variable.assign(at[start : start + size].reshape(tuple(variable.shape)))
            start += size
        model.train_on_batch(x, y, sample_weight=sample_weight)
        kept = model.optimizer.gradients[question.tensor]
        return np.ravel(np.array(ops.convert_to_numpy(kept)))

    rng = np.random.default_rng(0)
    whole = gradient(weights)
    again = gradient(weights)
    moved = [float(gradient(nudged(weights, rng))[question.index]) for _ in range(_NUDGES)]
    told = {
        "gradient": float(whole[question.index]),
        "again": float(again[question.index]),
        "nudged": moved,
    }
    return told, whole


def main(folder: Path, output: Path) -> None:
    job, task, initial = read_job(folder)
    text = (output / "questions.json").read_text(encoding="utf-8")
    questions = [Question(**fields) for fields in json.loads(text)]
    weights = load_arrays(output / "weights.npz")
    model = fresh_model(job, task, Witness(), initial)
    answers, tensors = [], []
    for question, at in zip(questions, weights, strict=True):
        batch = next(islice(batches(task, job.seed), question.step - 1, None))
        told, tensor = answer(model, question, at, batch)
        answers.append(told)
        tensors.append(tensor)
    save_arrays(output / "gradients.npz", tensors)
    (output / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
