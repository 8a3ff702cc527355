"""What has ended is looked at once, and counted as if everything were looked at each time."""

import numpy as np
import pytest
from optuna.trial import TrialState

from keras_optim_lab.tuning.storages.abandoned import ERROR, FINISHED, Known, first_open

pytestmark = pytest.mark.once("torch")  # which has the least to do


class Trial:
    """A trial that counts how often its state is read."""

    reads = 0

    def __init__(self, number, retried=()):
        self.number, self.now = number, TrialState.RUNNING
        self.params, self.user_attrs = {"learning_rate": 0.1}, {}
        self.system_attrs = {"retry_history": list(retried)} if retried else {}

    @property
    def state(self):
        Trial.reads += 1
        return self.now


def counted(trials, before=None, own=None):
    """The same without any memory."""
    abandoned = {
        t.number
        for t in trials
        if t.state == TrialState.FAIL and t.params and ERROR not in t.user_attrs
    }
    abandoned -= {n for t in trials for n in t.system_attrs.get("retry_history", ())}
    found = {
        t.number
        for t in trials
        if t.state in FINISHED
        or (t.state == TrialState.RUNNING and (own is None or t.number in own))
    }
    found |= abandoned if own is None else set()
    return sum(before is None or number < before for number in found)


@pytest.mark.parametrize("seed", range(3))
def test_trials_are_counted_as_if_all_were_looked_at(seed):
    rng = np.random.default_rng(seed)
    trials, known, of_own, own = [], Known(), Known(), set()
    for number in range(200):
        lost = [t.number for t in trials if t.now == TrialState.FAIL and t.params]
        retried = lost[-1:] if rng.random() < 0.3 else ()
        trials.append(Trial(number, retried))
        if rng.random() < 0.5:
            own.add(number)
        running = [t for t in trials if t.now == TrialState.RUNNING]
        for trial in rng.permutation(running)[: rng.integers(0, 3)]:
            kind = rng.integers(4)
            trial.now = [*FINISHED, TrialState.FAIL, TrialState.FAIL][kind]
            if kind == 3:
                trial.user_attrs = {ERROR: "by itself"}
        assert known.taken(trials) == counted(trials)
        assert of_own.taken(trials, own=own) == counted(trials, own=own)
        if trials[-1].now == TrialState.RUNNING:
            assert known.taken(trials, before=number) == counted(trials, before=number)


def test_the_price_of_a_trial_does_not_grow_with_those_that_have_ended():
    trials, known = [Trial(number) for number in range(2_000)], Known()
    for trial in trials[:-4]:
        trial.now = TrialState.COMPLETE
    assert known.taken(trials) == len(trials)
    before = Trial.reads
    assert known.taken(trials) == len(trials)
    assert Trial.reads - before < 40


def test_a_trial_that_another_process_has_begun_is_waited_for():
    trials = [Trial(0), Trial(2)]  # 1 is not read yet
    for trial in trials:
        trial.now = TrialState.COMPLETE
    assert first_open(trials) == 1
    assert first_open([trials[0], Trial(1), trials[1]], 1) == 1
