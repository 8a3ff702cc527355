"""Writes the changes of many trials in as few operations as their storage allows."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import dumps
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.models import (
    TrialIntermediateValueModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import TrialState
from sqlalchemy import Connection, delete, insert, select, update

from keras_optim_lab.tuning.journal import LocalJournal

_TABLES: dict[str, tuple[Any, Any]] = {
    "intermediate_values": (TrialIntermediateValueModel, TrialIntermediateValueModel.step),
    "user_attrs": (TrialUserAttributeModel, TrialUserAttributeModel.key),
    "system_attrs": (TrialSystemAttributeModel, TrialSystemAttributeModel.key),
}


@dataclass
class Changes:
    """What is new of one running trial.

    Attributes:
        stored: kind and key of what stands in the storage already, with another value.
    """

    trial_id: int
    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    state: TrialState | None = None
    values: Sequence[float] | None = None
    stored: set[tuple[str, Any]] = field(default_factory=set)

    def set(self, kind: str, key: Any, value: Any, stored: bool) -> None:
        known = getattr(self, kind)
        if stored and key not in known:
            self.stored.add((kind, key))
        known[key] = value


def write(storage: BaseStorage, changes: Sequence[Changes]) -> set[int]:
    """Writes all changes; returns the trials that others have finished, of which nothing is."""
    if isinstance(storage, _CachedStorage):
        return _write_rows(storage._backend, changes)
    lost = {each.trial_id for each in changes if _finished(storage, each.trial_id)}
    together = storage.together() if isinstance(storage, LocalJournal) else nullcontext()
    with together:
        for each in changes:
            if each.trial_id not in lost:
                try:
                    _write_one(storage, each)
                except UpdateFinishedTrialError:
                    lost.add(each.trial_id)
    return lost


def _finished(storage: BaseStorage, trial_id: int) -> bool:
    return storage.get_trial(trial_id).state.is_finished()


def _write_one(storage: BaseStorage, changes: Changes) -> None:
    id = changes.trial_id
    for name, (value, distribution) in changes.params.items():
        storage.set_trial_param(id, name, value, distribution)
    for step, value in changes.intermediate_values.items():
        storage.set_trial_intermediate_value(id, step, value)
    for key, attribute in changes.user_attrs.items():
        storage.set_trial_user_attr(id, key, attribute)
    for key, attribute in changes.system_attrs.items():
        storage.set_trial_system_attr(id, key, attribute)
    if changes.state is not None:  # last: what is cut off before it leaves the trial running
        storage.set_trial_state_values(id, changes.state, changes.values)


def _write_rows(storage: RDBStorage, changes: Sequence[Changes]) -> set[int]:
    """One transaction with one statement for each table: Optuna's own takes one for each value."""
    with storage.engine.begin() as connection:
        ids = [each.trial_id for each in changes]
        running = set(
            connection.scalars(
                select(TrialModel.trial_id)
                .where(TrialModel.trial_id.in_(ids), TrialModel.state == TrialState.RUNNING)
                .with_for_update()
            )
        )
        changes = [each for each in changes if each.trial_id in running]
        _insert(connection, TrialParamModel, (row for each in changes for row in _params(each)))
        for each in changes:
            for kind, key in each.stored:
                model, column = _TABLES[kind]
                connection.execute(
                    delete(model).where(model.trial_id == each.trial_id, column == key)
                )
        _insert(
            connection,
            TrialIntermediateValueModel,
            (row for each in changes for row in _reports(each)),
        )
        for kind in ("user_attrs", "system_attrs"):
            rows = (row for each in changes for row in _attributes(each, kind))
            _insert(connection, _TABLES[kind][0], rows)
        _insert(connection, TrialValueModel, (row for each in changes for row in _values(each)))
        for state in {each.state for each in changes if each.state is not None}:
            told = [each.trial_id for each in changes if each.state == state]
            connection.execute(
                update(TrialModel.__table__)
                .where(TrialModel.trial_id.in_(told))
                .values(state=state, datetime_complete=datetime.now(UTC).replace(tzinfo=None))
            )
    return set(ids) - running


def _params(changes: Changes) -> Iterable[dict[str, Any]]:
    for name, (value, distribution) in changes.params.items():
        yield {
            "trial_id": changes.trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(distribution),
        }


def _reports(changes: Changes) -> Iterable[dict[str, Any]]:
    for step, value in changes.intermediate_values.items():
        stored, kind = TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        yield {
            "trial_id": changes.trial_id,
            "step": step,
            "intermediate_value": stored,
            "intermediate_value_type": kind,
        }


def _attributes(changes: Changes, kind: str) -> Iterable[dict[str, Any]]:
    for key, value in getattr(changes, kind).items():
        yield {"trial_id": changes.trial_id, "key": key, "value_json": dumps(value)}


def _values(changes: Changes) -> Iterable[dict[str, Any]]:
    for objective, value in enumerate(changes.values or ()):
        stored, kind = TrialValueModel.value_to_stored_repr(value)
        yield {
            "trial_id": changes.trial_id,
            "objective": objective,
            "value": stored,
            "value_type": kind,
        }


def _insert(connection: Connection, model: Any, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    if rows:
        connection.execute(insert(model.__table__), rows)
