"""Whether training in pure bfloat16 ends where float32 ends.

    KERAS_BACKEND=jax python scripts/half_precision.py --tasks mnist1d-mlp digits-cnn --seeds 5

Trains a task over several seeds in float32, in bfloat16 as it is, with compensated weights, and
with compensated weights and slots of bfloat16. Prints the last loss of each: mean and standard
deviation over the seeds, and the distance from float32 in those standard deviations.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_optim_lab as kol
from keras_optim_lab import tasks

FORMS = {
    "float32": ("float32", {}),
    "bfloat16": ("bfloat16", {"compensated": False}),
    "compensated": ("bfloat16", {}),
    "compensated, state bfloat16": ("bfloat16", {"state_dtype": "bfloat16"}),
    "state bfloat16": ("float32", {"state_dtype": "bfloat16"}),
}


def final_losses(task, seed: int, policy: str, settings: dict, epochs: int) -> dict[str, float]:
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    model = task.build(kol.optimizers.Adam(1e-3, **settings), seed)
    losses = model.fit(
        *task.train,
        batch_size=task.batch_size,
        epochs=epochs,
        validation_data=task.validation,
        verbose=0,
    ).history
    return {name: losses[name][-1] for name in ("loss", "val_loss")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=["mnist1d-mlp", "digits-cnn"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of the task's own number")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds must be 2 or more: distances are told in spreads of the seeds")
    rows = []
    for name in options.tasks:
        task = tasks.get(name)
        full: dict[str, list[float]] = {}
        for form, (policy, settings) in FORMS.items():
            runs = [
                final_losses(task, seed, policy, settings, options.epochs or task.epochs)
                for seed in range(options.seeds)
            ]
            for metric in ("loss", "val_loss"):
                found = [run[metric] for run in runs]
                full.setdefault(metric, found)
                spread = statistics.stdev(full[metric])
                away = (statistics.mean(found) - statistics.mean(full[metric])) / spread
                print(
                    f"{name:12} {form:28} {metric:8} {statistics.mean(found):.4f} "
                    f"± {statistics.stdev(found):.4f}  {away:+.2f} spreads",
                    flush=True,
                )
                rows.append({"task": name, "form": form, "metric": metric, "losses": found})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
