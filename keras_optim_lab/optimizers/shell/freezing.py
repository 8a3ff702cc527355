"""Layers that are frozen or unfrozen between fits: the state of what stays is carried over.

A weight that joins later has a count of steps of its own, and with it shared state of its own: a
rule that is told t = 1 with empty slots begins as it is meant to, beside weights at t = 1000.
"""

from collections.abc import Sequence

import keras
from keras import ops

from keras_optim_lab.optimizers.shell.following import key, training_model
from keras_optim_lab.optimizers.shell.state import AVERAGE, KeepsState


def carry_over(optimizer: KeepsState, variables: list) -> None:
    """Builds the optimizer on other weights; those that it has had keep their state."""
    stays, births = joining(optimizer, variables)
    old = [*optimizer.states()]
    shared = {cohort.birth: cohort.shared for cohort in optimizer._cohorts}
    rebuild(optimizer, variables, births)
    for variable, new, i in zip(variables, optimizer.states(), stays, strict=True):
        for name, state in new.items():
            if i is not None:
                state.assign(old[i][name])
            elif name == AVERAGE:
                state.assign(ops.copy(ops.cast(variable, state.dtype)))  # JAX gives it away
    for cohort in optimizer._cohorts:
        for name, variable in shared.get(cohort.birth, {}).items():
            cohort.shared[name].assign(variable)


def joining(optimizer: KeepsState, variables: list) -> tuple[list[int | None], list[int]]:
    """By weight, which of those before it was, and after how many steps it joined."""
    former = {key(optimizer, v): i for i, v in enumerate(optimizer._trainable_variables)}
    stays = [former.get(key(optimizer, variable)) for variable in variables]
    now = int(ops.convert_to_numpy(optimizer.iterations))
    return stays, [now if i is None else optimizer._births[i] for i in stays]


def rebuild(optimizer: KeepsState, variables: list, births: Sequence[int]) -> None:
    """Builds the optimizer anew on weights that joined after so many steps."""
    optimizer.find(variables, training_model(optimizer))
    optimizer.check_weights(variables)
    optimizer._untrack_variable(*optimizer.state_variables())
    optimizer._trainable_variables_indices = {}
    optimizer.__dict__["_births"] = [*births]
    optimizer._build(variables)
    optimizer.__dict__["_outdates"] = True


def check_trainable(who: str, model: keras.Model) -> None:
    """Refuses a model in which nothing can be trained; Keras would train it without a change."""
    if not model.trainable_variables:
        why = "all its layers are frozen" if model.weights else "none of its layers has weights"
        raise ValueError(
            f"{who}: the model {model.name!r} has no trainable weights: {why}. Unfreeze what is "
            "to be trained, layer.trainable = True, or add layers with weights."
        )
