"""In the process of one backend: every optimizer trains the task, and its weights are kept.

Called as `python -m keras_optim_lab.comparison.recording FOLDER OUTPUT`; prints the label of each
run when it is done.
"""

import gc
import json
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_optim_lab.backend.host import cores
from keras_optim_lab.comparison.job import Job, apply_settings, read_job
from keras_optim_lab.comparison.peak_memory import peak_memory, restart_peak
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.splits import Split, length, take
from keras_optim_lab.versions import versions


def batches(task: Task, seed: int) -> Iterator[Split]:
    """The batches of a training, epoch after epoch without end."""
    epoch = 0
    while True:
        split = task.training_data(seed, epoch)
        for start in range(0, length(split), task.batch_size):
            yield take(split, slice(start, start + task.batch_size))
        epoch += 1


def flat_weights(model: keras.Model) -> np.ndarray:
    """All trainable weights as one vector, in at least float32."""
    parts = [np.ravel(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    wide = any(part.dtype == np.float64 for part in parts)
    return np.concatenate([part.astype("float64" if wide else "float32") for part in parts])


def fresh_model(job: Job, task: Task, optimizer: Any, initial: list[np.ndarray]) -> keras.Model:
    """The compiled model with the initial weights that all backends share."""
    keras.utils.clear_session(free_memory=False)
    apply_settings(job)  # which the line above has forgotten
    model = task.build(optimizer, job.seed)
    model.set_weights(initial)
    return model


def record(
    job: Job, task: Task, config: dict[str, Any], initial: list[np.ndarray]
) -> tuple[dict[str, Any], np.ndarray]:
    """Trains with one optimizer; what it cost and the loss, and weights (recorded, weights)."""
    gc.collect()
    restarted = restart_peak()
    model = fresh_model(job, task, keras.saving.deserialize_keras_object(config), initial)
    seconds, sizes, losses, weights = [], [], [], []
    data = batches(task, job.seed)
    for step in range(1, job.recorded[-1] + 1):
        batch = next(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        model.reset_metrics()  # the loss would be a mean over all steps so far
        start = time.perf_counter()
        logs = model.train_on_batch(x, y, sample_weight=sample_weight, return_dict=True)
        seconds.append(time.perf_counter() - start)
        sizes.append(length(batch))
        losses.append(float(logs["loss"]))
        if step in job.recorded:
            weights.append(flat_weights(model))
    told = {
        "losses": losses,
        "seconds": seconds,
        "batch_sizes": sizes,
        "peak_memory": peak_memory(),
        "peak_of_run": restarted,
    }
    return told, np.stack(weights)


def main(folder: Path, output: Path) -> None:
    job, task, initial = read_job(folder)
    runs = {}
    for i, (label, config) in enumerate(job.methods):
        runs[label], weights = record(job, task, config, initial)
        np.save(output / f"{i}.npy", weights, allow_pickle=False)
        print(label, flush=True)
    told = {
        "runs": runs,
        "versions": versions("keras", keras.backend.backend(), "numpy"),
        "cores": cores(),
        "machine": platform.platform(),
    }
    (output / "record.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
