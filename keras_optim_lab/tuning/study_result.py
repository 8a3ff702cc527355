"""What a study has found, and the trials that it was found by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.storages.buffered import BufferedStorage

_CONFIRMATION = "confirmation"  # the study's attribute that holds it
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(eq=False)
class StudyResult:
    """A study as it stands.

    Attributes:
        study: the `optuna.Study`.
        storage: in which it is.
        task: what is trained.
        space: what may be chosen.
        objective: what is improved.
        seed: of the sampler, and the first one that a trial is trained with.
        seeds_per_trial: runs of each trial, which is judged by their mean.
        folds: that each of these runs is a cross-validation over; None for none.
    """

    study: optuna.Study
    storage: BufferedStorage
    task: Task
    space: SearchSpace
    objective: Criterion
    seed: int
    seeds_per_trial: int = 1
    folds: int | None = None

    @property
    def steps(self) -> int | None:
        """Optimizer steps of one training, over all epochs; None where the task cannot tell."""
        return self.task.training_steps

    @property
    def metric(self) -> str:
        """What the objective is called when a model is evaluated, on whichever split."""
        return self.objective.name.removeprefix("val_")

    @property
    def finished_trials(self) -> list[FrozenTrial]:
        """Trials that were told a result: complete, pruned or diverged."""
        return self.study.get_trials(deepcopy=False, states=FINISHED)

    @property
    def ranked_trials(self) -> list[FrozenTrial]:
        """The complete trials, best objective first.

        Raises:
            RuntimeError: no trial has been completed.
        """
        complete = self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            raise RuntimeError(
                f"The study {self.study.study_name!r} has no complete trial yet, so it has no "
                "best settings. Run more trials."
            )
        maximize = self.objective.direction == "maximize"
        return sorted(complete, key=lambda trial: cast(float, trial.value), reverse=maximize)

    @property
    def best_trial(self) -> FrozenTrial:
        """The complete trial with the best objective, over fresh seeds where it was confirmed.

        Raises:
            RuntimeError: no trial has been completed.
        """
        ranked = self.ranked_trials
        confirmed = self.confirmation
        if not confirmed:
            return ranked[0]
        sign = -1.0 if self.objective.direction == "maximize" else 1.0

        def mean(trial: FrozenTrial) -> float:
            value = sign * sum(confirmed[trial.number]) / len(confirmed[trial.number])
            return value if math.isfinite(value) else math.inf

        return min((trial for trial in ranked if trial.number in confirmed), key=mean)

    @property
    def confirmation(self) -> dict[int, list[float]]:
        """The objective over fresh seeds, by number of trial; empty once trials were added."""
        kept = self.study.user_attrs.get(_CONFIRMATION)
        if kept is None or kept["finished"] != len(self.finished_trials):
            return {}
        return {int(number): values for number, values in kept["values"].items()}

    def keep_confirmation(self, values: Mapping[int, list[float]]) -> None:
        """Keeps with the study what the objective was over fresh seeds."""
        self.study.set_user_attr(
            _CONFIRMATION, {"finished": len(self.finished_trials), "values": dict(values)}
        )

    @property
    def best_configuration(self) -> Configuration:
        """What the best trial chose."""
        return self.space.decode(self.best_trial.params)

    @property
    def best_name(self) -> str:
        """The name of the best trial's optimizer, such as "adam" or "lookahead(adam)"."""
        return self.best_configuration.name

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's hyperparameters, by the names of the optimizer's arguments.

        `schedule` and `warmup` are among them where they are part of the search space, and what a
        model that is built from the trial has chosen for itself.
        """
        params = self.best_trial.params
        settings = self.space.decode(params).settings
        known = {*settings, *self.space.distributions}
        return {**settings, **{name: params[name] for name in params if name not in known}}

    def best_optimizer(self) -> Optimizer:
        """A fresh optimizer with the best settings found.

        A schedule in it is as long as the training of the study's task.
        """
        return self.best_configuration.optimizer(self.steps)

    def default_optimizer(self) -> Optimizer:
        """A fresh optimizer of the same class with its default settings, or as it was given."""
        return self.best_configuration.default.optimizer(self.steps)
