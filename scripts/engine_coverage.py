"""Which form the population engine trains Keras's layers and models in, and how near to `fit`.

    .venv/bin/python scripts/engine_coverage.py
    .venv/bin/python scripts/engine_coverage.py --backends jax --layers LSTM RandomFlip

Each layer stands in a small model, behind another one that is trained unless it takes data as they
are, and is trained for ten steps in two rows: as one vectorized step, as a loop over rows inside
one program, or one model after the other where neither can be. The first row is compared with
`fit` of the same seed: the distance of the weights as a share of the way that they have gone.
So are the small models of `keras.applications`, as they are drawn, on images of 32 × 32, but for
one step: after two, `fit` itself on images that differ by 2e-7 may be 0.7 of its way apart.
"""

import argparse
import inspect
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from layer_cases import Case, cases, made

BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
STEPS, BATCH = 10, 4
SAME = 1e-5
# Programs run for ten steps: optimizing them would take most of the time. XLA_FLAGS= does it.
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
# They are made of others, read boxes or saved models, or need another package.
NOT_TRIED = {
    "FlaxLayer",
    "InputLayer",
    "InputSpec",
    "Layer",
    "MaxNumBoundingBoxes",
    "Pipeline",
    "TFSMLayer",
    "Wrapper",
}
# Of `keras.applications`, and how they are made small.
MODELS: dict[str, dict[str, Any]] = {
    "DenseNet121": {},
    "EfficientNetB0": {},
    "MobileNet": {"alpha": 0.25},
    "MobileNetV2": {"alpha": 0.35},
    "MobileNetV3Small": {},
}
OF_ONE_BACKEND = {"JaxLayer": "jax", "TorchModuleWrapper": "torch"}


def names() -> list[str]:
    """Of all public layers, each once, and of the models."""
    import keras

    classes: dict[type, str] = {}
    for name, layer in inspect.getmembers(keras.layers, inspect.isclass):
        if name not in NOT_TRIED and (layer not in classes or name == layer.__name__):
            classes[layer] = name
    return [*sorted(classes.values()), *MODELS]


def task_of(name: str, case: Case) -> Any:
    """A task whose model has the layer in its middle, or is the one of this name."""
    import keras

    import keras_optim_lab as kol

    layers = keras.layers
    make = None if name in MODELS else case.make or made(name)
    shape = case.shape
    rng = np.random.default_rng(1)
    dtype = {"ids": "int32", "words": "string"}.get(case.data, "float32")

    def model() -> keras.Model:
        if make is None:
            known = getattr(keras.applications, name)
            size = {"weights": None, "input_shape": shape, "classes": 1}
            return known(**size, classifier_activation=None, **MODELS[name])
        inputs = [keras.Input(shape, dtype=dtype) for _ in range(case.inputs)]
        given = inputs
        if case.data == "floats":
            given = [layers.Dense(shape[-1])(x) for x in inputs]
        layer = make(layers)
        hidden = layer(*given) if case.one_by_one or len(given) == 1 else layer(given)
        hidden = hidden[0] if isinstance(hidden, list | tuple) else hidden
        if "int" in keras.backend.standardize_dtype(hidden.dtype):
            hidden = keras.ops.cast(hidden, "float32")
        if case.data == "pixels":
            hidden = layers.Rescaling(1 / 255)(hidden)
        outputs = layers.Dense(1)(layers.Flatten()(hidden))
        return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs)

    def split(samples: int) -> tuple[Any, np.ndarray]:
        def one() -> np.ndarray:
            if case.data == "ids":
                return rng.integers(0, 5, (samples, *shape)).astype("int32")
            if case.data == "words":
                return rng.choice(["a", "b", "a c"], (samples, *shape)).astype("object")
            x = rng.normal(size=(samples, *shape))
            return (255 * (x - x.min()) / np.ptp(x) if case.data == "pixels" else x).astype("f4")

        x = [one() for _ in range(case.inputs)]
        y = rng.normal(size=(samples, 1)).astype("float32")
        return (x if case.inputs > 1 else x[0]), y

    return kol.Task(
        model=model,
        train=split(BATCH * (1 if name in MODELS else STEPS)),
        validation=split(BATCH),
        loss="mse",
        batch_size=BATCH,
        epochs=1,
        name=name,
    )


def tried(name: str) -> dict[str, Any]:
    """The form that a layer takes on this backend, and the distance of its weights from `fit`'s."""
    import keras

    from keras_optim_lab.tuning.engines.pure_model import ImpureModelError

    if OF_ONE_BACKEND.get(name, keras.backend.backend()) != keras.backend.backend():
        return {"layer": name, "form": None, "why": "a layer of another backend"}
    keras.utils.clear_session()
    try:
        images = Case(shape=(32, 32, 3), data="pixels")
        task = task_of(name, images if name in MODELS else cases().get(name, Case()))
        reference, start = fitted(task)
    except Exception as error:
        return {"layer": name, "form": None, "why": _in_brief(error)}
    try:
        form, weights, why = in_rows(task)
    except ImpureModelError as reason:
        return {"layer": name, "form": "one by one", "why": str(reason)}
    distance = np.linalg.norm(weights - reference) / np.linalg.norm(reference - start)
    random = any("seed" in each.path for each in task.build_model(0).non_trainable_variables)
    return {
        "layer": name,
        "form": form,
        "distance": float(distance),
        "noise": bool(random and distance > SAME),
        "why": why,
    }


def fitted(task: Any) -> tuple[np.ndarray, np.ndarray]:
    """All weights as one vector after and before `fit`."""
    import keras

    model = task.build(_optimizer(), seed=0)

    def weights() -> np.ndarray:
        values = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
        return np.concatenate([np.ravel(value) for value in values])

    start = weights()
    task.fit(model, seed=0)
    return weights(), start


def in_rows(task: Any) -> tuple[str, np.ndarray, str]:
    """The form, all weights of the first row as one vector, and why it is not the first form."""
    import keras

    from keras_optim_lab import backend
    from keras_optim_lab.tuning.engines.batches import on_device
    from keras_optim_lab.tuning.engines.compiling import first_that_compiles
    from keras_optim_lab.tuning.engines.epoch import Epoch
    from keras_optim_lab.tuning.engines.inputs import RowEpoch
    from keras_optim_lab.tuning.engines.pure_model import PureModel
    from keras_optim_lab.tuning.spaces.configuration import Configuration

    optimizer, rows = _optimizer(), backend.rows()
    model = PureModel(task, optimizer, train_metrics=False)
    data = on_device(task)
    forms = ["vectorized", "looped"] if rows.prefers_vectorized() else ["looped", "vectorized"]
    failures = _Failures()
    log = logging.getLogger("keras_optim_lab")
    log.setLevel(logging.DEBUG)
    log.addHandler(failures)
    epoch, (program,) = first_that_compiles(
        model,
        forms,
        lambda form: Epoch(model, optimizer, width=2, form=form, scheduled=False),
        data,
    )
    state = epoch.empty()
    for row in range(2):
        state = rows.put_row(state, row, epoch.first_state(row, optimizer))
    wanted = [RowEpoch(Configuration("", {}), row, 0) for row in range(2)]
    state, _ = program(state, epoch.inputs(wanted), data)
    values = model.parts([weight[0] for weight in state["weights"]])
    weights = [np.ravel(keras.ops.convert_to_numpy(value)) for value in values]
    return epoch.form, np.concatenate(weights), "; ".join(failures.words)


class _Failures(logging.Handler):
    """Keeps in the backend's words why a form is not possible, which the engine logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.words.append(_in_brief(record.exc_info[1]))


def _optimizer() -> Any:
    import keras_optim_lab as kol

    return kol.GradientDescent(0.01)


def _in_brief(error: BaseException) -> str:
    """The first sentence of an error that says more than where it was met."""
    text = " ".join(str(error).replace("\x1b[1m", "").replace("\x1b[0m", "").split())
    text = text.partition(" Exception encountered: ")[2].strip("'") or text
    text = re.sub(r"^Exception encountered when calling \S+ ", "", text)
    return re.split(r"(?<=[a-z)]{2}\.) |(?<=[a-z)]{2}), please| Arguments received", text)[0][:160]


def in_own_process(backend: str, layers: list[str]) -> list[dict[str, Any]]:
    """What was found for each layer on a backend."""
    environment = {
        "XLA_FLAGS": QUICKLY,
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, __file__, "--run", *layers]
    found = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout or ():
            if line.startswith("{"):
                found.append(json.loads(line))
                print(f"{backend:10} {found[-1]['layer']:30} {cell(found[-1])}", flush=True)
    if process.returncode:
        raise SystemExit(f"{backend} ended with {process.returncode} after {len(found)} layers.")
    return found


def cell(row: dict[str, Any] | None) -> str:
    """What the table says of a layer on one backend."""
    if row is None or row["form"] is None:
        return "–"
    if "distance" not in row:
        return row["form"]
    if row["noise"]:
        return f"{row['form']}, noise of its own"
    return f"{row['form']}, {row['distance']:.0e}" if row["distance"] else f"{row['form']}, 0"


def page(records: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The Markdown page of what was found, by backend and layer."""
    lines = [HEAD.format(steps=STEPS, same=f"{SAME:.0e}")]
    for backend, rows in records.items():
        forms = Counter(row["form"] for row in rows.values() if row["form"])
        far = [
            n for n, row in rows.items() if not row.get("noise") and row.get("distance", 0) > SAME
        ]
        counted = ", ".join(f"{count} {form}" for form, count in forms.most_common())
        apart = f"; further than {SAME:.0e} from `fit`: {', '.join(far)}" if far else ""
        lines.append(f"- {BACKENDS[backend]}: {counted}{apart}.")
    every = sorted({name for rows in records.values() for name in rows})
    for kind, named in (
        ("layer", [name for name in every if name not in MODELS]),
        ("model", [name for name in every if name in MODELS]),
    ):
        lines += ["", f"| {kind} | {' | '.join(BACKENDS[each] for each in records)} |"]
        lines.append(f"|---|{'---|' * len(records)}")
        for name in named:
            cells = [cell(rows.get(name)) for rows in records.values()]
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    reasons: dict[str, list[str]] = {}
    for backend, rows in records.items():
        for name, row in rows.items():
            if row["why"]:
                form = row["form"] or "not trained"
                said = f"{BACKENDS[backend]}, {form}: {row['why'].rstrip('.')}"
                reasons.setdefault(said, []).append(f"`{name}`")
    lines += [
        "",
        "Why, where it is not the backend's first form, or none, in the backend's words:",
        "",
    ]
    lines += [f"- {said}: {', '.join(layers)}." for said, layers in reasons.items()]
    return "\n".join(lines) + "\n"


HEAD = """# Layers in the population engine

Written by `scripts/engine_coverage.py --output docs/layers.md`. Each layer of `keras.layers` stands
in a small model, behind a `Dense` layer unless it takes data as they are, and is trained for
{steps} steps in two rows. The number is the distance of the first row's weights from those of `fit`
with the same seed, as a share of the way that they have gone; up to {same} it is rounding.
*Vectorized* is one step of all rows, *looped* one row after the other inside the same program: each
backend has its first form, which is the faster one on a CPU. A dash: no model with it is trained
there by `fit` either, or no task takes its data. *Noise of its own*: a row's noise repeats with its
seed and is not that of `fit`. On PyTorch each row draws from its own seed; on TensorFlow XLA draws
other numbers from a seed than TensorFlow does; `AugMix` draws while it is traced, and
`RandomElasticTransform` on PyTorch from a stream without a seed. XLA hardly optimizes these
programs, to be done in half an hour; with `XLA_FLAGS=` it compiles them as a user's.

Small models of `keras.applications` follow, on images of 32 × 32 and after one step: after two,
`fit` itself on images that differ by 2e-7 is 0.7 of its way apart (`MobileNetV2` on TensorFlow).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--layers", nargs="+", default=[], metavar="LAYER", help="by default all")
    parser.add_argument(
        "--records",
        type=Path,
        default=Path("engine_coverage.json"),
        help="keeps what was found; the page has all of it (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, help="a Markdown page of all that was found")
    parser.add_argument("--run", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        warnings.simplefilter("ignore")
        for name in options.run or names():
            print(json.dumps(tried(name)), flush=True)
        return
    known = json.loads(options.records.read_text()) if options.records.exists() else {}
    records = {backend: known.get(backend, {}) for backend in BACKENDS}
    for backend in options.backends:
        for row in in_own_process(backend, options.layers):
            records[backend][row["layer"]] = row
        options.records.write_text(json.dumps(records, indent=1) + "\n")
    if options.output:
        options.output.write_text(page(records))


if __name__ == "__main__":
    main()
