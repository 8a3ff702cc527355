"""The arguments of a study, checked before anything is trained or stored."""

import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from keras_optim_lab.curvature.given_the_loss import GivenTheLoss
from keras_optim_lab.tasks import Task
from keras_optim_lab.tasks.checks import accepts
from keras_optim_lab.tasks.model_checks import compares_outputs
from keras_optim_lab.tasks.splits import length
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.engines.pure_model import build_metrics
from keras_optim_lab.tuning.engines.session import fresh_session
from keras_optim_lab.tuning.samplers import Grid
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.space import SearchSpace

Callback = Callable[[optuna.Study, FrozenTrial], None]


def check_callbacks(callbacks: Any) -> None:
    if not isinstance(callbacks, list | tuple):
        raise TypeError(
            f"callbacks={callbacks!r} must be a list of functions (study, trial): callbacks=[...]."
        )
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"callbacks: {callback!r} is a callback of Keras's, and a study calls its own as "
                "callback(study, trial) after every trial. What prunes trials is the `pruner`."
            )
        if inspect.isclass(callback) or not callable(callback):
            raise TypeError(
                f"callbacks: {callback!r} must be a function (study, trial), or an instance that "
                "can be called so."
            )
        if not accepts(callback, None, None):
            raise TypeError(
                f"callbacks: {callback!r} takes {inspect.signature(callback)}; it must be callable "
                "as callback(study, trial)."
            )


def check_space(task: Task, space: SearchSpace) -> None:
    """Refuses what the task cannot have, what leaves nothing to choose, and what is not stored."""
    if space.scheduled and task.training_steps is None:
        raise ValueError(
            f"space: {', '.join(map(repr, space.scheduled))} cannot be searched or set, because "
            f"the task {task.name!r} does not tell how many steps an epoch has. Give it data of "
            "known length, or leave the schedule out."
        )
    check_batch_sizes(task, space.structures)
    chosen = space.distributions or space.recipe or any(space.fixed.values())
    if not chosen and not task.depends_on_trial:
        template = space.templates[space.optimizers[0]]
        raise ValueError(
            f"{template.title} has no search space, and all trials would be equal. Pass `space` "
            f"with a (low, high) range for one or more of {', '.join(template.numeric)}; or train "
            "it as it is: task.fit(task.build(optimizer, seed), seed)."
        )
    try:
        SearchSpace.from_description(json.loads(json.dumps(space.describe())))
    except Exception as error:
        raise ValueError(
            f"optimizer: {', '.join(space.optimizers)} cannot be stored with the study, from which "
            f"other processes make it ({type(error).__name__}: {error}). Choose the weights of "
            "groups by regular expressions, and register functions and classes of your own with "
            "keras.saving.register_keras_serializable."
        ) from error


def check_batch_sizes(task: Task, configurations: Iterable[Configuration]) -> None:
    """Raises a ValueError where what is trained in one of these sizes cannot be compared."""
    sizes = {each.recipe.batch_size or 1 for each in configurations}
    if sizes == {1}:
        return
    if task.drop_remainder:
        raise ValueError(
            f"space: 'batch_size' changes what the task {task.name!r} is measured on, as "
            "drop_remainder=True leaves out the last, smaller batch of its validation too. Pass "
            "drop_remainder=False, or leave 'batch_size' out."
        )
    if max(sizes) > (samples := length(task.train)):
        raise ValueError(
            f"space: 'batch_size' may be at most {samples}, the training samples of the task "
            f"{task.name!r}. Received: {max(sizes)}"
        )


def check_sampler(task: Task, sampler: BaseSampler) -> None:
    """Refuses a grid where the model chooses too."""
    if task.depends_on_trial and isinstance(sampler, Grid):
        raise ValueError(
            f"sampler: a grid is made of the optimizer's space, and the model of {task.name!r} "
            "chooses for itself from the trial. Give an optuna.samplers.GridSampler that has its "
            "parameters as well, or choose another sampler."
        )


def check_model(task: Task, space: SearchSpace, objective: Criterion) -> None:
    """Looks at one model: at its data, what it measures, and whether optimizers can train it.

    Of a builder that takes the trial only what it returns for a trial of no study.
    """
    fresh_session()  # as before a trial: the names that Keras gives to layers count from here
    trial = _trial_of_no_study() if task.depends_on_trial else None
    if trial is not None:
        try:
            task.model(trial)
        except Exception:
            return  # which this choice alone may raise
    model = task.build_model(0, trial)
    task.check_pipelines(model)
    weights = model.trainable_variables
    special = [each for each in space.templates.values() if each.given or each.needs_objective]
    for template in special if trial is None else []:
        optimizer = template.make({})
        optimizer.find(weights, model)
        optimizer.check_places([*map(optimizer.place, weights)], optimizer.other_places)
        if isinstance(optimizer, GivenTheLoss):
            optimizer.check_model(model)
    several = len(getattr(model, "outputs", None) or []) > 1
    if compares_outputs(model) and (several or objective.name not in ("loss", "val_loss")):
        objective.check_measured(_measured(task, trial), task)


def _trial_of_no_study() -> optuna.Trial:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # which would announce a study
    try:
        return optuna.create_study(storage=InMemoryStorage(), sampler=RandomSampler(0)).ask()
    finally:
        optuna.logging.set_verbosity(verbosity)


def _measured(task: Task, trial: Any) -> dict[str, int]:
    """By name, how many axes there are in what a model's loss and metrics are after a batch."""
    model = task.build("sgd", 0, trial)
    build_metrics(task, model)
    return {name: np.ndim(value) for name, value in model.get_metrics_result().items()}
