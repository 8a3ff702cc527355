"""Trials in a database, read and written many at a time.

Optuna takes a transaction for every value, and several statements in it. These do the same to the
same tables, whose layout Optuna keeps from one version to the next, with one transaction for all.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from json import dumps
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, delete, func, insert, select, update

from keras_optim_lab.tuning.storages.optuna_private import id_of, models, stale_trials, trials_of
from keras_optim_lab.tuning.storages.store import Changes, Store

_Trial: Any = models.TrialModel
_Heartbeat: Any = models.TrialHeartbeatModel
_Report: Any = models.TrialIntermediateValueModel
_UserAttribute: Any = models.TrialUserAttributeModel
_SystemAttribute: Any = models.TrialSystemAttributeModel

_KEYS = {
    "intermediate_values": _Report.step,
    "user_attrs": _UserAttribute.key,
    "system_attrs": _SystemAttribute.key,
}
_TRIALS = _Trial.__table__


class _Read:
    """What has been read of a study.

    Attributes:
        trials: by number, in its order.
        open: the ids of those that had not ended, by number.
        newest: the highest id.
    """

    def __init__(self) -> None:
        self.trials: dict[int, FrozenTrial] = {}
        self.open: dict[int, int] = {}
        self.newest = -1

    def put(self, trial: FrozenTrial) -> None:
        number, id = trial.number, id_of(trial)
        fills_a_gap = number not in self.trials and number < next(reversed(self.trials), -1)
        self.trials[number] = trial
        if fills_a_gap:
            self.trials = dict(sorted(self.trials.items()))
        self.newest = max(self.newest, id)
        self.open[number] = id
        if trial.state.is_finished():
            del self.open[number]


class Database(Store):
    """The trials behind an `RDBStorage`."""

    _storage: RDBStorage

    def __init__(self, storage: RDBStorage):
        super().__init__(storage)
        self.heartbeat_interval = storage.heartbeat_interval
        self.finds_abandoned = self.heartbeat_interval is not None
        self._read: dict[int, _Read] = {}  # by study

    def trials(self, study_id: int, own: Container[int]) -> list[FrozenTrial]:
        known = self._read.setdefault(study_id, _Read())
        among = {id for id in known.open.values() if id not in own}
        for trial in trials_of(self._storage, study_id, among, known.newest):
            known.put(trial)
        return [*known.trials.values()]

    def forget(self, study_id: int) -> None:
        self._read.pop(study_id, None)

    def keep(self, study_id: int, trial: FrozenTrial) -> None:
        known = self._read.setdefault(study_id, _Read())
        # A gap in the numbers is a trial that another process began, which is still to be read.
        if trial.number in known.trials or trial.number == len(known.trials):
            known.put(trial)

    def claim(
        self, study_id: int, attributes: Mapping[str, object], queue: Sequence[FrozenTrial] = ()
    ) -> bool:
        with self._writing() as connection:
            self._lock_study(connection, study_id)
            model = models.StudyUserAttributeModel
            known = select(model.key).where(model.study_id == study_id, model.key.in_(attributes))
            if connection.execute(known).first() is not None:
                return False
            rows = [
                {"study_id": study_id, "key": key, "value_json": dumps(value)}
                for key, value in attributes.items()
            ]
            connection.execute(insert(model), rows)
            for number, trial in enumerate(queue, self._count(connection, study_id)):
                waiting = {"study_id": study_id, "number": number, "state": TrialState.WAITING}
                new = self._inserted(connection, waiting)
                self._write_rows(connection, [_of_trial(new, trial)])
        return True

    def begin(self, study_id: int, count: int) -> list[FrozenTrial]:
        with self._writing() as connection:
            self._lock_study(connection, study_id)  # whoever numbers trials waits for others
            first = self._count(connection, study_id)
            begun = datetime.now()
            trials = []
            for number in range(first, first + count):
                row = {
                    "study_id": study_id,
                    "number": number,
                    "state": TrialState.RUNNING,
                    "datetime_start": _utc_now(),
                }
                trials.append(_running(number, self._inserted(connection, row), begun))
            self._first_signs(connection, [*map(id_of, trials)])
        return trials

    def take(self, trial_id: int) -> bool:
        with self._storage.engine.begin() as connection:
            taken = connection.execute(
                update(_TRIALS)
                .where(
                    _Trial.trial_id == trial_id,
                    _Trial.state == TrialState.WAITING,
                )
                .values(state=TrialState.RUNNING, datetime_start=_utc_now())
            )
            if taken.rowcount:
                self._first_signs(connection, [trial_id])
        return bool(taken.rowcount)

    def stale(self, study_id: int) -> list[int]:
        return stale_trials(self._storage, study_id) if self.finds_abandoned else []

    def beat(self, trial_ids: Sequence[int]) -> None:
        if trial_ids and self.heartbeat_interval is not None:
            with self._storage.engine.begin() as connection:
                connection.execute(
                    update(_Heartbeat)
                    .where(_Heartbeat.trial_id.in_(trial_ids))
                    .values(heartbeat=func.now())
                )

    def write(self, changes: Sequence[Changes]) -> set[int]:
        with self._writing() as connection:
            ids = [each.trial_id for each in changes]
            running = set(
                connection.scalars(
                    select(_Trial.trial_id)
                    .where(
                        _Trial.trial_id.in_(ids),
                        _Trial.state == TrialState.RUNNING,
                    )
                    .with_for_update()
                )
            )
            changes = [each for each in changes if each.trial_id in running]
            for each in changes:
                for kind, key in each.stored:
                    column = _KEYS[kind]
                    model = column.class_
                    connection.execute(
                        delete(model).where(model.trial_id == each.trial_id, column == key)
                    )
            self._write_rows(connection, changes)
            for state in {each.state for each in changes if each.state is not None}:
                told = [each.trial_id for each in changes if each.state == state]
                connection.execute(
                    update(_TRIALS)
                    .where(_Trial.trial_id.in_(told))
                    .values(state=state, datetime_complete=_utc_now())
                )
        return set(ids) - running

    def _count(self, connection: Connection, study_id: int) -> int:
        """How many trials the study has, and so the number of the next one."""
        counted = select(func.count()).select_from(_TRIALS).where(_Trial.study_id == study_id)
        return connection.execute(counted).scalar_one()

    def _inserted(self, connection: Connection, row: dict[str, Any]) -> int:
        """Adds a trial; returns its id."""
        key: Any = connection.execute(insert(_TRIALS).values(row)).inserted_primary_key
        return key[0]

    def _write_rows(self, connection: Connection, changes: Sequence[Changes]) -> None:
        for model, rows_of in _ROWS.items():
            if rows := [row for each in changes for row in rows_of(each)]:
                connection.execute(insert(model), rows)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction in which what is read stays true until it is written."""
        with self._storage.engine.begin() as connection:
            if connection.dialect.name == "sqlite":  # locks no rows, and nothing before it writes
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def _lock_study(self, connection: Connection, study_id: int) -> None:
        found = select(models.StudyModel.study_id).where(models.StudyModel.study_id == study_id)
        if connection.execute(found.with_for_update()).first() is None:
            raise KeyError(f"There is no study with the id {study_id}.")

    def _first_signs(self, connection: Connection, trial_ids: Sequence[int]) -> None:
        if self.heartbeat_interval is not None:
            connection.execute(insert(_Heartbeat), [{"trial_id": id} for id in trial_ids])


Row = dict[str, Any]


def _params(changes: Changes) -> list[Row]:
    return [
        {
            "trial_id": changes.trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(distribution),
        }
        for name, (value, distribution) in changes.params.items()
    ]


def _reports(changes: Changes) -> list[Row]:
    rows = []
    for step, value in changes.intermediate_values.items():
        stored, kind = _Report.intermediate_value_to_stored_repr(value)
        row = {"intermediate_value": stored, "intermediate_value_type": kind}
        rows.append({"trial_id": changes.trial_id, "step": step, **row})
    return rows


def _attributes(kind: str, changes: Changes) -> list[Row]:
    return [
        {"trial_id": changes.trial_id, "key": key, "value_json": dumps(value)}
        for key, value in getattr(changes, kind).items()
    ]


def _values(changes: Changes) -> list[Row]:
    rows = []
    for objective, value in enumerate(changes.values or ()):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        row = {"objective": objective, "value": stored, "value_type": kind}
        rows.append({"trial_id": changes.trial_id, **row})
    return rows


_ROWS: dict[Any, Callable[[Changes], list[Row]]] = {
    models.TrialParamModel: _params,
    _Report: _reports,
    _UserAttribute: partial(_attributes, "user_attrs"),
    _SystemAttribute: partial(_attributes, "system_attrs"),
    models.TrialValueModel: _values,
}


def _running(number: int, trial_id: int, begun: datetime) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=begun,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )


def _of_trial(trial_id: int, trial: FrozenTrial) -> Changes:
    """The parameters and user attributes of a trial, as what is new of the one with this id."""
    params = {
        name: (distribution.to_internal_repr(trial.params[name]), distribution)
        for name, distribution in trial.distributions.items()
    }
    return Changes(trial_id, params=params, user_attrs=dict(trial.user_attrs))


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
