"""The candidates of a study: trials that it is asked for, and told of."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.tuning.budget import Budget
from keras_optim_lab.tuning.checks import Callback
from keras_optim_lab.tuning.engines.engine import Candidate, Candidates, Run, runs_of_a_trial
from keras_optim_lab.tuning.freeze_thaw import FreezeThaw
from keras_optim_lab.tuning.interruption import raise_if_interrupted
from keras_optim_lab.tuning.samplers import GENERATIONS, learns
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.start import enqueue
from keras_optim_lab.tuning.storages.abandoned import ERROR, Known, is_repeated
from keras_optim_lab.tuning.study_result import StudyResult


class Asked(Candidates):
    """Asks a study for one trial after the other, as long as it needs more.

    The first ones are those that it starts with.

    Args:
        tuning: the study.
        trials: how many finished ones it is to have.
        callbacks: called as `callback(study, trial)` after every trial that is told.
        stopped: set when it needs no more, whatever it has.
        budget: the time for it.
    """

    def __init__(
        self,
        tuning: StudyResult,
        trials: int,
        callbacks: Sequence[Callback],
        stopped: Event | None = None,
        budget: Budget | None = None,
    ):
        self.structures = tuning.space.structures
        self.folds = tuning.folds
        self.runs = tuning.seeds_per_trial * (tuning.folds or 1)
        self.scheduled = bool(tuning.space.scheduled)
        self.objective = tuning.objective.name
        self._tuning = tuning
        self._trials = trials
        self._callbacks = callbacks
        self._stopped = stopped or Event()
        self._budget = budget or Budget()
        self._asked: set[int] = set()
        self._known = Known(tuning.storage.has_ended)
        enqueue(tuning, trials)
        self.at_once = max(1, self.left // GENERATIONS) if learns(tuning.study.sampler) else None

    def together(self) -> AbstractContextManager[None]:
        return self._tuning.storage.together()

    def take(self, count: int) -> Iterator[Candidate]:
        if count > 1:
            waiting = self._tuning.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            self._tuning.storage.expect(max(0, min(count, self.left) - len(waiting)))
        return super().take(count)

    @property
    def left(self) -> int:
        if self.ended:
            return 0
        return max(0, self._trials - self._taken(self._tuning.study.get_trials(deepcopy=False)))

    @property
    def ended(self) -> bool:
        """Whether there are no more, however many the study has."""
        return self._stopped.is_set() or not self._budget.has_time_for_another

    def _taken(self, trials: Sequence[FrozenTrial], before: int | None = None) -> int:
        """How many are finished, or will be if all goes well; of those before a number."""
        own = None if self._tuning.storage.finds_abandoned else self._asked
        return self._known.taken(trials, before, own)

    def __next__(self) -> "StudyCandidate":
        raise_if_interrupted()
        trial = self._ask()
        # All that another process needs to train it again is stored at once.
        with self.together():
            chosen = self._tuning.space.suggest(trial)
            # A trial that takes up an abandoned one has its seed already.
            seed = trial.user_attrs.get("seed", self._tuning.seed + trial.number * self.runs)
            runs = runs_of_a_trial(seed, self._tuning.seeds_per_trial, self.folds)
            return StudyCandidate(self._tuning, trial, chosen, runs, self._callbacks, self._budget)

    def _ask(self) -> optuna.Trial:
        study = self._tuning.study
        while self.left:
            trial = study.ask()
            number = trial.number
            self._asked.add(number)
            trials = study.get_trials(deepcopy=False)
            has_place = self._taken(trials, before=number) < self._trials
            if has_place and not is_repeated(trials[number], trials):
                return trial
            trial.set_user_attr(ERROR, "another process began the last trial at the same moment")
            study.tell(trial, state=TrialState.FAIL)
        raise StopIteration


class StudyCandidate(Candidate):
    """A trial of a study, judged by the mean of its runs.

    On leaving its context the trial is told as complete, pruned or failed. A diverged trial is told
    as pruned, so that samplers learn to stay away from where it was, and carries the attribute
    `diverged`. One that is cut off because the time is over fails without an error, as one whose
    process has died, and is taken up by the next run. Every trial keeps the `epochs` it was trained
    and the `seconds` from entering the context to leaving it.
    """

    trial: optuna.Trial

    def __init__(
        self,
        tuning: StudyResult,
        trial: optuna.Trial,
        configuration: Configuration,
        runs: Sequence[Run],
        callbacks: Sequence[Callback],
        budget: Budget,
    ):
        task = configuration.on(tuning.task)
        super().__init__(configuration, runs, task, tuning.objective.name, trial)
        self._study = tuning.study
        self._callbacks = callbacks
        self._budget = budget
        self._first_epoch = math.inf  # when it had ended
        self._values: list[float] = []
        self._state = TrialState.COMPLETE
        self._given_up = False  # by others, who took this process for dead
        self._attributes: dict[str, Any] = {}
        self._begun = time.perf_counter()
        trial.set_user_attr("seed", self.runs[0].seed)

    def record(self, **attributes: Any) -> None:
        self._attributes.update(attributes)

    def report(self, epoch: int, *logs: Mapping[str, float]) -> bool:
        lost = any(map(self.diverges, logs))
        self.record(epochs=epoch + 1)
        if lost:
            self.record(diverged=True)
            self._state = TrialState.PRUNED
            return False
        self._values = [float(run[self.objective]) for run in logs]
        try:
            self.trial.report(self._mean, epoch)
            pruned = self.trial.should_prune()
        except UpdateFinishedTrialError:
            self._given_up = True
            return False
        if pruned:
            self._state = TrialState.PRUNED
            return False
        return self._in_time(epoch)

    def _in_time(self, epoch: int) -> bool:
        """Whether there is time for the next epoch; what is cut off is trained again later."""
        now = time.perf_counter()
        self._first_epoch = min(self._first_epoch, now)
        if epoch + 1 == self.task.epochs:
            # Without the first one, in which programs are compiled.
            pace = (now - self._first_epoch) / epoch if epoch else now - self._begun
            self._budget.trained(pace * self.task.epochs)
        elif not self._budget.left_for_trials:
            self._state = TrialState.FAIL
            return False
        return True

    @property
    def waits(self) -> bool:
        pruned = self._state == TrialState.PRUNED and "diverged" not in self._attributes
        return pruned and isinstance(self._study.pruner, FreezeThaw)

    def goes_on(self) -> bool:
        if self.trial.should_prune() or not self._budget.left_for_trials:
            return False
        self._state = TrialState.COMPLETE
        self.record(thawed=self._attributes.get("thawed", 0) + 1)
        return True

    @property
    def _mean(self) -> float:
        return sum(self._values) / len(self._values)

    def __enter__(self) -> "StudyCandidate":
        self._begun = time.perf_counter()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self._given_up:
            return
        self.record(seconds=round(time.perf_counter() - self._begun, 3))
        if error is not None:
            self.record(**{ERROR: f"{kind.__name__}: {error}"})
            self._state = TrialState.FAIL
        if len(self._values) > 1:
            self.record(values=self._values, spread=float(np.std(self._values, ddof=1)))
        for name, value in self._attributes.items():
            self.trial.set_user_attr(name, value)
        value = self._mean if self._state == TrialState.COMPLETE else None
        told = self._study.tell(self.trial, value, self._state)
        if self._state != TrialState.FAIL:
            for callback in self._callbacks:
                callback(self._study, told)


@contextmanager
def stoppable(study: optuna.Study) -> Iterator[Event]:
    """Lets `study.stop()` set an event: grid samplers call it, and Optuna refuses it here."""
    stopped = Event()
    study.stop = stopped.set  # type: ignore[method-assign]
    try:
        yield stopped
    finally:
        del study.stop
