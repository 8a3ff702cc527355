"""What a study has found, and the trials that it was found by."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.criterion import Criterion
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.storages.abandoned import FINISHED as FINISHED
from keras_optim_lab.tuning.storages.buffered import BufferedStorage
from keras_optim_lab.tuning.storages.storage import STUDIES, SUFFIX, place_of
from keras_optim_lab.tuning.verdict import Verdict

DEFAULTS = "defaults"  # a trial's attribute "start", where it is the optimizer without tuning
_CONFIRMATION = "confirmation"  # the study's attribute that holds it


@dataclass(frozen=True)
class Confirmation:
    """The race of a study's best trials and the defaults, as it is kept with the study.

    Attributes:
        top: how many trials took part, at most.
        values: the objective of every run of the race, by "trial 3" or the name of the defaults.
        best: the number of the trial that was best; None where there was none but the defaults.
        reference: the optimizer whose defaults it was compared with.
        default, tuned: the objective of these defaults and of that trial, in runs that nothing was
            chosen by; in those of the race where the defaults won it.
    """

    top: int
    values: dict[str, list[float]]
    best: int | None
    reference: str | None = None
    default: list[float] = field(default_factory=list)
    tuned: list[float] = field(default_factory=list)


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
    def named_storage(self) -> dict[str, str] | None:
        """The argument `storage` with which others find the study; None if they cannot.

        It is left out where it is the default.
        """
        place, name = place_of(self.storage), self.study.study_name
        if place is None:
            return None
        return {} if Path(place) == STUDIES / f"{name}{SUFFIX}" else {"storage": place}

    @property
    def steps(self) -> int | None:
        """Optimizer steps of a training with the best settings; None where the task cannot tell.

        Raises:
            RuntimeError: no trial has been completed.
        """
        return self.best_configuration.on(self.task).training_steps

    @property
    def metric(self) -> str:
        """What the objective is called when a model is evaluated, on whichever split."""
        return self.objective.name.removeprefix("val_")

    @property
    def finished_trials(self) -> list[FrozenTrial]:
        """Trials that were told a result: complete, pruned or diverged."""
        return self.study.get_trials(deepcopy=False, states=FINISHED)

    @property
    def is_complete(self) -> bool:
        """Whether any trial has been trained to the end."""
        return bool(self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))

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
        """The complete trial with the best objective, or where trials were raced, their first.

        Whether it is better than the defaults, the `verdict` says.

        Raises:
            RuntimeError: no trial has been completed.
        """
        ranked, confirmed = self.ranked_trials, self.confirmation
        best = None if confirmed is None else confirmed.best
        return next((trial for trial in ranked if trial.number == best), ranked[0])

    @property
    def verdict(self) -> Verdict | None:
        """Whether the best settings are better than the defaults; None where nothing tells.

        It comes from the race that `confirm` asks for, and counts until trials are added.
        """
        confirmed = self.confirmation
        if confirmed is None or confirmed.reference is None:
            return None
        return Verdict(self.objective, confirmed.default, confirmed.tuned, self.folds)

    @property
    def confirmation(self) -> Confirmation | None:
        """The race of the best trials and the defaults; None once trials were added."""
        kept = self.study.user_attrs.get(_CONFIRMATION)
        if kept is None or kept["finished"] != len(self.finished_trials):
            return None
        return Confirmation(**kept["race"]) if "race" in kept else self._of_before(kept["values"])

    def _of_before(self, values: Mapping[str, list[float]]) -> Confirmation:
        """What versions before this one kept: a few runs of the best trials, and no defaults."""
        best = min(values, key=lambda number: self.objective.order(values[number]))
        return Confirmation(len(values), {f"trial {n}": v for n, v in values.items()}, int(best))

    def keep_confirmation(self, confirmation: Confirmation, finished: int) -> None:
        """Keeps a race among so many finished trials with the study."""
        kept = {"finished": finished, "race": asdict(confirmation)}
        self.study.set_user_attr(_CONFIRMATION, kept)

    @property
    def found_configuration(self) -> Configuration:
        """What the best trial chose."""
        return self.space.decode(self.best_trial.params)

    @property
    def best_configuration(self) -> Configuration:
        """What the best trial chose; the defaults, if the verdict is to keep them."""
        confirmed, verdict = self.confirmation, self.verdict
        keep = None if confirmed is None or verdict is None or verdict.better else confirmed
        if keep is None or keep.reference is None:
            return self.found_configuration
        return self.space.untuned(keep.reference)

    @property
    def best_name(self) -> str:
        """The name of the best trial's optimizer, such as "adam" or "lookahead(adam)"."""
        return self.best_configuration.name

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's hyperparameters, by the names of the optimizer's arguments.

        `schedule`, `warmup`, `batch_size` and `epochs` are among them where they are part of the
        search space, and what a model that is built from the trial has chosen for itself.
        """
        verdict = self.verdict
        # The defaults are trained with the model of the trial that the search found best.
        kept = verdict is not None and not verdict.better
        params = (self.ranked_trials[0] if kept else self.best_trial).params
        settings = self.best_configuration.settings
        known = {*settings, *self.space.distributions}
        return {**settings, **{name: params[name] for name in params if name not in known}}

    def best_optimizer(self) -> Optimizer:
        """A fresh optimizer with the best settings found; the defaults, if no others are better.

        A schedule in it is as long as the training of the study's task.
        """
        return self.best_configuration.optimizer(self.steps)

    def default_optimizer(self) -> Optimizer:
        """A fresh optimizer of the same class with its default settings, or as it was given."""
        return self.best_configuration.default.optimizer(steps=None)
