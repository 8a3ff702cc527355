"""Pruners in a population: they see trials side by side, and rows that they free are used again."""

import warnings

import optuna
import pytest
from optuna.trial import TrialState

from keras_optim_lab.tuning.engines.epoch import Epoch
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from tests.studies import small_task
from tests.tuning.populations import kept_program, search

pytestmark = pytest.mark.once

EPOCHS = 5
TRIALS = 12


class EveryThird(optuna.pruners.BasePruner):
    """Prunes every third trial in its second epoch."""

    def prune(self, study, trial):
        return trial.number % 3 == 0 and trial.last_step >= 1


# Optuna's word that its Wilcoxon pruner is experimental is none about these tests.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

PRUNERS = {
    "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS),
    "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "median": optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    "wilcoxon": optuna.pruners.WilcoxonPruner(p_threshold=0.4, n_startup_steps=0),
    "percentile": optuna.pruners.PercentilePruner(50.0, n_startup_trials=2),
    "own": EveryThird(),
}


@pytest.fixture(scope="module", params=PRUNERS)
def pruned(request):
    engine = PopulationEngine(3)
    rates = [0.05 if i < 3 else 1e-2 * 0.6**i for i in range(TRIALS)]  # the first are the best
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Epoch, "program", kept_program)
        result = search(
            engine,
            small_task(epochs=EPOCHS),
            trials=TRIALS,
            pruner=PRUNERS[request.param],
            settings=[{"learning_rate": rate} for rate in rates],
        )
    return request.param, result.study.trials, engine.summary


def test_a_pruner_ends_trials_early_and_the_study_reaches_its_end(pruned):
    pruner, trials, summary = pruned
    assert len(trials) == TRIALS
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        assert trial.user_attrs["epochs"] == len(trial.intermediate_values)
        if trial.state == TrialState.COMPLETE:
            assert trial.user_attrs["epochs"] == EPOCHS
        else:
            assert "diverged" not in trial.user_attrs
    early = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert any(trial.user_attrs["epochs"] < EPOCHS for trial in early)
    if pruner == "own":
        assert [trial.number for trial in early] == [0, 3, 6, 9]
        assert {trial.user_attrs["epochs"] for trial in early} == {2}
    assert summary["engine"] == "population"
    assert summary["programs"] == 1


def test_rows_that_a_pruner_frees_are_used_again(pruned):
    _, trials, _ = pruned
    rows = [trial.user_attrs["row"] for trial in trials]
    assert set(rows) == {0, 1, 2}
    last = {row: max(i for i, other in enumerate(rows) if other == row) for row in set(rows)}
    assert any(
        trial.state == TrialState.PRUNED and last[rows[trial.number]] > trial.number
        for trial in trials
    )
