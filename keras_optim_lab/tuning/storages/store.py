"""What a `BufferedStorage` asks of the storage behind it, answered word by word by any of them."""

from collections.abc import Container, Mapping, Sequence

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.tuning.storages.unstored import Changes


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

    def claim(self, study_id: int, attributes: Mapping[str, object]) -> bool:
        """Sets user attributes of a study; False if it has one of them already."""
        if attributes.keys() & self.storage.get_study_user_attrs(study_id):
            return False
        for key, value in attributes.items():
            self.storage.set_study_user_attr(study_id, key, value)
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
