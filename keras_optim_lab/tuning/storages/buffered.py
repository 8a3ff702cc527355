"""A storage that writes what one process has to say of its trials together, not word by word."""

import copy
import logging
import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.tuning.storages.abandoned import ERROR, first_open
from keras_optim_lab.tuning.storages.database import Database
from keras_optim_lab.tuning.storages.optuna_private import id_of
from keras_optim_lab.tuning.storages.retrying import patiently
from keras_optim_lab.tuning.storages.store import Changes, Store

_log = logging.getLogger("keras_optim_lab")
_number = attrgetter("number")


def _left_to_the_storage(name: str) -> Callable[..., Any]:
    def method(self: "BufferedStorage", *arguments: Any, **named: Any) -> Any:
        return self._call(getattr(self.storage, name), *arguments, **named)

    method.__name__ = name
    return method


class BufferedStorage(BaseStorage):
    """Any Optuna storage; within `together()` it is read once and written once.

    The trials that this process has begun are its own until it tells their result: it keeps them
    in memory, so that samplers and pruners find what was just reported, and nobody else changes
    them. All other trials are those of the storage behind it, as they were when they were first
    read within `together()`. Outside of it every change is written at once.

    Every call to the storage is tried again for a while when a database cannot be reached.

    Args:
        storage: the one behind it.
    """

    def __init__(self, storage: BaseStorage):
        self.storage = storage
        self._store: Store
        if isinstance(storage, RDBStorage):
            self._store = Database(storage)
        else:
            self._store = storage if isinstance(storage, Store) else Store(storage)
        self._lock = threading.RLock()
        self._own: dict[int, FrozenTrial] = {}
        self._studies: dict[int, int] = {}  # of own trials, and of those that wait
        self._changes: dict[int, Changes] = {}
        self._distributions: dict[int, dict[str, BaseDistribution]] = {}  # of a study's parameters
        self._seen: dict[int, list[FrozenTrial]] = {}
        self._ended: dict[int, int] = {}  # how many of a study's first trials have
        self._depth = 0
        self._expected = 0
        self._begun: dict[int, deque[FrozenTrial]] = {}  # by study

    def __reduce__(self) -> tuple[type["BufferedStorage"], tuple[BaseStorage]]:
        return BufferedStorage, (self.storage,)  # what is kept here is this process's own

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keeps changes of trials until the end, and then writes all of them at once."""
        with self._lock:
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if not self._depth:
                    self._seen.clear()
                    self._expected = 0
                    self._give_back()
                    self.flush()

    def expect(self, trials: int) -> None:
        """Says how many more trials will be begun within `together()`, which then begin as one."""
        self._expected = trials

    def flush(self) -> None:
        """Writes what has been kept back."""
        with self._lock:
            changes = [self._changes[id] for id in sorted(self._changes)]
            if not changes:
                return
            lost = self._call(self._store.write, changes)
            self._changes.clear()
            told = [each.trial_id for each in changes if each.state is not None]
            for id in told:
                if id not in lost and id in self._studies:
                    self._store.keep(self._studies[id], self._own[id])
            for id in lost:
                _log.warning(
                    "Trial %d was given up by others, who found no sign of this process; its "
                    "result is not stored.",
                    self._own[id].number,
                )
            for id in {*lost, *told}:
                del self._own[id]
                self._studies.pop(id, None)

    # Trials of this process.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        if template_trial is not None:
            return self._write_through(self.storage.create_new_trial, study_id, template_trial)
        with self._lock:
            trial = self._begin(study_id)
            self._own[id_of(trial)] = trial
            self._studies[id_of(trial)] = study_id
        return id_of(trial)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        with self._lock:
            if trial_id in self._own:
                return self._finish(trial_id, state, values)
            if state == TrialState.RUNNING and trial_id in self._studies:
                return self._take(trial_id)
        return self._write_through(self.storage.set_trial_state_values, trial_id, state, values)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        if trial_id not in self._own:
            write, value = self.storage.set_trial_param, param_value_internal
            self._write_through(write, trial_id, param_name, value, distribution)
            return
        with self._change(trial_id) as (trial, changes):
            self._check_distribution(trial_id, param_name, distribution)
            value = distribution.to_external_repr(param_value_internal)
            trial.params = {**trial.params, param_name: value}
            trial.distributions = {**trial.distributions, param_name: distribution}
            changes.params[param_name] = (param_value_internal, distribution)

    def _check_distribution(self, trial_id: int, name: str, wanted: BaseDistribution) -> None:
        """Refuses another distribution than the study's earlier trials have for the parameter.

        Raises:
            ValueError: it is another one.
        """
        study_id = self._studies[trial_id]
        known = self._distributions.setdefault(study_id, {})
        if name not in known:
            trials = self.get_all_trials(study_id, deepcopy=False)
            former = (each.distributions[name] for each in trials if name in each.distributions)
            known[name] = next(former, wanted)
        check_distribution_compatibility(known[name], wanted)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        write = self.storage.set_trial_intermediate_value
        self._set(trial_id, "intermediate_values", step, intermediate_value, write)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set(trial_id, "user_attrs", key, value, self.storage.set_trial_user_attr)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set(trial_id, "system_attrs", key, value, self.storage.set_trial_system_attr)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with self._lock:
            if trial_id in self._own:
                return self._own[trial_id]
        return self._call(self.storage.get_trial, trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        with self._lock:
            trials = self._seen.get(study_id)
            if trials is None:
                trials = self._call(self._store.trials, study_id, self._own)
                if self._depth:
                    self._seen[study_id] = trials
            found = _replaced(trials, self._own_of(study_id))
            if states is not None:
                if not any(state in states for state in TrialState if state.is_finished()):
                    found = found[self._first_open(study_id, found) :]
                found = [trial for trial in found if trial.state in states]
            for trial in found if states == (TrialState.WAITING,) else ():
                self._studies[id_of(trial)] = study_id  # it may be begun next
        return copy.deepcopy(found) if deepcopy else found

    def has_ended(self, trial: FrozenTrial) -> bool:
        """Whether it is stored that a trial has ended, so that nothing can change it.

        What others have given up meanwhile is not stored as this process tells it.
        """
        with self._lock:
            return trial.state.is_finished() and id_of(trial) not in self._own

    def _first_open(self, study_id: int, trials: list[FrozenTrial]) -> int:
        start = self._ended.get(study_id, 0)
        self._ended[study_id] = first_open(trials, start, self.has_ended)
        return self._ended[study_id]

    def _own_of(self, study_id: int) -> list[FrozenTrial]:
        return [own for id, own in self._own.items() if self._studies.get(id) == study_id]

    def _begin(self, study_id: int) -> FrozenTrial:
        if not self._begun.get(study_id):
            count, self._expected = max(1, self._expected), 0
            begun = self._call(self._store.begin, study_id, count)
            for trial in begun:
                self._store.keep(study_id, trial)
            own = (each.number for each in self._own_of(study_id))
            if begun[0].number > max([len(self._seen.get(study_id, ())) - 1, *own]) + 1:
                self._seen.pop(study_id, None)  # others have begun some since it was read
            self._begun[study_id] = deque(begun)
        return self._begun[study_id].popleft()

    def _give_back(self) -> None:
        """Fails trials that were expected and not begun after all."""
        for trial in chain(*self._begun.values()):
            id = id_of(trial)
            self._own[id] = trial
            self._changes[id] = Changes(
                id, user_attrs={ERROR: "it was not needed"}, state=TrialState.FAIL
            )
        self._begun.clear()

    def _take(self, trial_id: int) -> bool:
        """Begins a trial from the queue, unless another process does."""
        won = self._call(self._store.take, trial_id)
        if won:
            self._own[trial_id] = self._call(self.storage.get_trial, trial_id)
        return won

    def _set(
        self, trial_id: int, kind: str, key: Any, value: Any, write: Callable[..., None]
    ) -> None:
        """Changes one of the trial's values of a kind; `write` is for trials of others."""
        if trial_id not in self._own:
            self._write_through(write, trial_id, key, value)
            return
        with self._change(trial_id) as (trial, changes):
            known = getattr(trial, kind)
            changes.set(kind, key, value, stored=key in known)
            setattr(trial, kind, {**known, key: value})

    @contextmanager
    def _change(self, trial_id: int) -> Iterator[tuple[FrozenTrial, Changes]]:
        """A copy of an own trial to change, and where its changes are kept."""
        with self._lock:
            own = self._own[trial_id]
            if own.state.is_finished():
                raise UpdateFinishedTrialError(f"Trial {own.number} has finished already.")
            # Whoever has been given the trial before sees it as it was.
            trial = copy.copy(own)
            yield trial, self._changes.setdefault(trial_id, Changes(trial_id))
            self._own[trial_id] = trial
            if not self._depth:
                self.flush()

    def _finish(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        with self._change(trial_id) as (trial, changes):
            if state == TrialState.RUNNING:
                return False
            trial.state = state
            trial.values = None if values is None else list(values)
            if state.is_finished():
                trial.datetime_complete = datetime.now()
            changes.state, changes.values = state, trial.values
        return True

    def _forget(self, study_id: int) -> None:
        """Keeps nothing of a study that is gone, whose id another may have now."""
        with self._lock:
            for id in [id for id, study in self._studies.items() if study == study_id]:
                for kept in (self._studies, self._own, self._changes):
                    kept.pop(id, None)
            for by_study in (self._begun, self._distributions, self._seen, self._ended):
                by_study.pop(study_id, None)
            self._store.forget(study_id)

    # Who is alive.

    @property
    def finds_abandoned(self) -> bool:
        """Whether trials of dead processes are found, so that those that seem to run do run."""
        return self._store.finds_abandoned

    @property
    def heartbeat_interval(self) -> int | None:
        """Seconds between signs of life; None where the storage needs none."""
        return self._store.heartbeat_interval

    def beat(self) -> None:
        """Gives a sign of life for every trial that this process trains."""
        with self._lock:
            training = [id for id, trial in self._own.items() if not trial.state.is_finished()]
        self._call(self._store.beat, training)

    def fail_abandoned(self, study_id: int) -> list[int]:
        """Fails the trials whose process gives no sign of life any more; returns their ids."""
        failed = []
        for id in self._call(self._store.stale, study_id):
            # Another process may be faster.
            with suppress(UpdateFinishedTrialError):
                if id not in self._own:
                    self._call(self.storage.set_trial_state_values, id, TrialState.FAIL)
                    failed.append(id)
        return failed

    # Studies.

    def claim(
        self, study_id: int, attributes: Mapping[str, object], queue: Sequence[FrozenTrial] = ()
    ) -> bool:
        """Sets user attributes of a study that has none of them; False if another was faster.

        The file or the database takes all of them as one write, with the trials that are put into
        the queue, and those of one process alone.
        """
        return self._write_through(self._store.claim, study_id, attributes, queue)

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        study_id = self._call(self.storage.create_new_study, directions, study_name)
        self._forget(study_id)
        return study_id

    def delete_study(self, study_id: int) -> None:
        self._call(self.storage.delete_study, study_id)
        self._forget(study_id)

    # All that is left to the storage as it is.

    set_study_user_attr = _left_to_the_storage("set_study_user_attr")
    set_study_system_attr = _left_to_the_storage("set_study_system_attr")
    get_study_id_from_name = _left_to_the_storage("get_study_id_from_name")
    get_study_name_from_id = _left_to_the_storage("get_study_name_from_id")
    get_study_directions = _left_to_the_storage("get_study_directions")
    get_study_user_attrs = _left_to_the_storage("get_study_user_attrs")
    get_study_system_attrs = _left_to_the_storage("get_study_system_attrs")
    get_all_studies = _left_to_the_storage("get_all_studies")
    remove_session = _left_to_the_storage("remove_session")

    def _write_through(self, write: Callable[..., Any], *arguments: Any) -> Any:
        """Writes what is not of this process's own trials, and so has to be read again."""
        try:
            return self._call(write, *arguments)
        finally:
            self._seen.clear()

    def _call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with self._lock:
            return patiently(function, *arguments, **named)


def _replaced(trials: list[FrozenTrial], own: list[FrozenTrial]) -> list[FrozenTrial]:
    """All trials by their number, with those of this process as they are now."""
    found = list(trials)
    for trial in sorted(own, key=_number):
        at = trial.number
        if at < len(found) and found[at].number == at:
            found[at] = trial
        else:  # begun after the others were read
            insort(found, trial, key=_number)
    return found
