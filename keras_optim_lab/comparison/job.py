"""What a comparison hands to the process of a backend, as files: JSON, and arrays without pickle.

The one exception is a `Task` of the user's own, which this same program has pickled.
"""

import json
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_optim_lab import tasks
from keras_optim_lab.comparison.plan import Plan
from keras_optim_lab.tasks import Task

_JOB, _INITIAL, _TASK = "job.json", "initial.npz", "task.pickle"


@dataclass(frozen=True)
class Job:
    """What every backend runs, in a folder.

    Attributes:
        task: name of a built-in task; None if the folder holds one of the user's own.
        methods: label and serialized optimizer of each run.
        recorded: the steps after which weights are kept, in order.
        settings: Keras's global ones, under which the initial weights were made.
    """

    task: str | None
    methods: list[tuple[str, dict[str, Any]]]
    recorded: list[int]
    seed: int
    settings: dict[str, str]


def write_job(plan: Plan, folder: Path) -> None:
    job = Job(
        task=None if plan.pickled is not None else plan.task.name,
        methods=[(method.label, method.config) for method in plan.methods],
        recorded=list(plan.recorded),
        seed=plan.seed,
        settings={
            "floatx": keras.config.floatx(),
            "dtype_policy": keras.config.dtype_policy().name,
            "image_data_format": keras.config.image_data_format(),
        },
    )
    (folder / _JOB).write_text(json.dumps(asdict(job)), encoding="utf-8")
    save_arrays(folder / _INITIAL, plan.initial)
    if plan.pickled is not None:
        (folder / _TASK).write_bytes(plan.pickled)


def read_job(folder: Path) -> tuple[Job, Task, list[np.ndarray]]:
    """The job, its task and the initial weights, with Keras set as they need it."""
    job = Job(**json.loads((folder / _JOB).read_text(encoding="utf-8")))
    apply_settings(job)
    if job.task is not None:
        task = tasks.get(job.task)
    else:
        task = pickle.loads((folder / _TASK).read_bytes())
    return job, task, load_arrays(folder / _INITIAL)


def apply_settings(job: Job) -> None:
    keras.config.set_floatx(job.settings["floatx"])
    keras.config.set_image_data_format(job.settings["image_data_format"])
    keras.config.set_dtype_policy(job.settings["dtype_policy"])


def save_arrays(path: Path, arrays: list[np.ndarray]) -> None:
    np.savez(path, allow_pickle=False, **{str(i): array for i, array in enumerate(arrays)})


def load_arrays(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as held:
        return [held[str(i)] for i in range(len(held.files))]
