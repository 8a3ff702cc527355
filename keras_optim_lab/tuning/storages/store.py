"""What a `BufferedStorage` asks of the storage behind it, answered word by word by any of them."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState


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

    def write(self, storage: BaseStorage) -> None:
        """Writes them one by one, as any storage allows."""
        id = self.trial_id
        for name, (value, distribution) in self.params.items():
            storage.set_trial_param(id, name, value, distribution)
        for step, value in self.intermediate_values.items():
            storage.set_trial_intermediate_value(id, step, value)
        for key, attribute in self.user_attrs.items():
            storage.set_trial_user_attr(id, key, attribute)
        for key, attribute in self.system_attrs.items():
            storage.set_trial_system_attr(id, key, attribute)
        if self.state is not None:  # last: what is cut off before it leaves the trial running
            storage.set_trial_state_values(id, self.state, self.values)


class Store:
    """The trials in an Optuna storage.

    A storage that can read and write many at a time has a store of its own.

    Attributes:
        finds_abandoned: whether trials are known whose process is no longer there.
        heartbeat_interval: seconds between signs of life; None where none are needed.
    """

    finds_abandoned = False
    heartbeat_interval: int | None = None

    def __init__(self, storage: BaseStorage):
        self._storage = storage

    @property
    def storage(self) -> BaseStorage:
        """What keeps them."""
        return self._storage

    def trials(self, study_id: int, own: Container[int]) -> list[FrozenTrial]:
        """All trials of a study by number; those in `own` may be as they were before."""
        return list(self.storage.get_all_trials(study_id, deepcopy=False))

    def keep(self, study_id: int, trial: FrozenTrial) -> None:
        """Takes over what this process has written of a trial, so that it need not be read."""
        return

    def forget(self, study_id: int) -> None:
        """Reads the study anew: the number of one that was deleted may be another's now."""
        return

    def claim(
        self, study_id: int, attributes: Mapping[str, object], queue: Sequence[FrozenTrial] = ()
    ) -> bool:
        """Sets user attributes of a study and enqueues trials; False if it has one of them already.

        The trials wait, with parameters and user attributes.
        """
        if attributes.keys() & self.storage.get_study_user_attrs(study_id):
            return False
        for key, value in attributes.items():
            self.storage.set_study_user_attr(study_id, key, value)
        for trial in queue:
            self.storage.create_new_trial(study_id, trial)
        return True

    def begin(self, study_id: int, count: int) -> list[FrozenTrial]:
        """New running trials: `count`, or as many as can be begun at once."""
        return [self.storage.get_trial(self.storage.create_new_trial(study_id))]

    def take(self, trial_id: int) -> bool:
        """Begins a waiting trial; False if another process has."""
        return self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def write(self, changes: Sequence[Changes]) -> set[int]:
        """Writes all changes; returns the trials that others have finished, of which nothing is."""
        lost = set()
        for each in changes:
            if self.storage.get_trial(each.trial_id).state.is_finished():
                lost.add(each.trial_id)
            else:
                each.write(self.storage)
        return lost

    def beat(self, trial_ids: Sequence[int]) -> None:
        """A sign of life for every one of these trials."""
        return

    def stale(self, study_id: int) -> list[int]:
        """The ids of running trials whose process is no longer there."""
        return []
