"""A comparison of two optimizers on three backends, whose records are made up."""

import numpy as np

from keras_optim_lab.comparison.comparison import BackendComparison
from keras_optim_lab.comparison.diagnosis import Diagnosis, Gradient
from keras_optim_lab.comparison.differences import differences
from keras_optim_lab.comparison.findings import Run, Times
from keras_optim_lab.comparison.plan import Plan, Tensor, make_plan
from tests.studies import small_task

ALL = ("tensorflow", "jax", "torch")
STEPS = (1, 4)
TENSORS = (Tensor("dense/kernel", (2, 3), 0), Tensor("dense/bias", (3,), 6))


def same_weights(backends=ALL, steps=4):
    """The same record for every backend, (steps, 9)."""
    record = np.random.default_rng(0).normal(size=(steps, 9)).astype("float32")
    return {backend: record.copy() for backend in backends}


def small_plan(optimizers=("adam", "radam"), backends=ALL, steps=STEPS, **changes) -> Plan:
    arguments = {"seed": 0, "learning_rate": None, **changes}
    return make_plan(small_task(), optimizers, backends, steps, **arguments)


MEASURED = Diagnosis(
    cause="kink",
    step=3,
    tensor="dense/kernel",
    index=(1, 0),
    gradients={
        "jax": Gradient(0.001, 0.001, [0.001, -0.002]),
        "torch": Gradient(-0.002, -0.002, [-0.002]),
    },
    largest=0.04,
    steps={"jax": -1e-3, "torch": 1e-3},
    factor=1.0,
)


def comparison(plan: Plan | None = None, backends=ALL) -> BackendComparison:
    """`adam` parts after its third step on PyTorch, and the others agree."""
    plan = plan or small_plan()
    runs = {}
    for method in plan.methods:
        weights = same_weights(backends)
        if method.label == "adam" and "torch" in weights:
            weights["torch"][2:, 3] += 0.5
        runs[method.label] = Run(
            method,
            differences(weights, TENSORS, range(1, 5)),
            {backend: [2.0, 1.5, 1.2, 1.0] for backend in backends},
            {backend: Times(1.5, 1.49, 0.0125, 300 * 2**20) for backend in backends},
            MEASURED if method.label == "adam" and "torch" in weights else None,
        )
    return BackendComparison(
        plan,
        runs,
        {backend: {"keras": "3.15.1", backend: "1.2.3"} for backend in backends},
        dict.fromkeys(backends, "Linux, 2 cores"),
        peak_of_run=True,
    )
