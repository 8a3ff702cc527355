"""Studies of every shape that a report may be asked for, and evaluations of them."""

import math

import optuna
from optuna.distributions import CategoricalDistribution

from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.evaluation import Evaluation, Runs
from tests.studies import Formula, decades_from_optimum, small_task

NAN, INF = math.nan, math.inf


def study_of(optimizer="adam", trials=8, *, loss=decades_from_optimum, logs=None, **changes):
    result = TuningResult.create(
        **{
            "task": small_task(),
            "optimizer": optimizer,
            "name": "study",
            "storage": optuna.storages.InMemoryStorage(),
            "sampler": "random",
            "pruner": "none",
            **changes,
        }
    )
    result.run(trials, engine=Formula(loss, logs))
    return result


def runs(*losses, **other_metrics):
    """One run per loss; each curve falls to it in two epochs."""
    scores = {"loss": list(losses), **{name: list(v) for name, v in other_metrics.items()}}
    return Runs("Adam()", scores, [[2 * loss, loss] for loss in losses])


def judged(default, tuned, split="test"):
    seeds = list(range(len(next(iter(default.scores.values())))))
    return Evaluation(default, tuned, seeds, split)


BETTER = judged(
    runs(0.5, 0.6, 0.7, mae=[0.1, 0.2, 0.3]), runs(0.25, 0.25, 0.25, mae=[0.125, 0.125, 0.125])
)


def failed_far_up(hyperparameters):
    return NAN if hyperparameters["learning_rate"] > 0.02 else decades_from_optimum(hyperparameters)


def momentum_wins(hyperparameters):
    return decades_from_optimum(hyperparameters) - 10 * ("beta" in hyperparameters)


def cosine_wins(settings):
    return decades_from_optimum(settings) - 10 * (settings["schedule"] == "cosine")


# By name: a study, an evaluation, and how many figures their page has. Those are the curves and
# the history and, where trials differ, importances, a slice of each hyperparameter and parallel
# coordinates.
EXAMPLES = {
    "one optimizer": (study_of, BETTER, 2 + 1 + 4 + 1),
    "several optimizers": (
        lambda: study_of(["momentum", "gradient_descent"], 20, loss=momentum_wins),
        BETTER,
        3 + 1 + 2 + 1,
    ),
    "a single trial": (lambda: study_of(trials=1), BETTER, 2),
    "two trials": (lambda: study_of(trials=2), BETTER, 2 + 1 + 4 + 1),
    "all values equal": (lambda: study_of(loss=lambda h: 1.0), BETTER, 2),
    "nothing searched": (
        lambda: study_of("gradient_descent", space={"learning_rate": 0.1}),
        BETTER,
        2,
    ),
    "one hyperparameter": (lambda: study_of("gradient_descent"), BETTER, 2 + 1 + 1 + 1),
    "a choice": (
        lambda: study_of(
            "momentum", space={"beta": 0.9, "nesterov": CategoricalDistribution([False, True])}
        ),
        BETTER,
        2 + 1 + 2 + 1,
    ),
    "a schedule": (
        lambda: study_of(
            "adabound",
            20,
            space={"schedule": ["constant", "linear", "cosine"], "warmup": (0.0, 0.2)},
            loss=cosine_wins,
        ),
        BETTER,
        2 + 1 + 7 + 1,
    ),
    "a schedule for several optimizers": (
        lambda: study_of(
            ["momentum", "gradient_descent"],
            20,
            space={"schedule": ["cosine", "constant"], "warmup": 0.1},
            loss=momentum_wins,
        ),
        BETTER,
        3 + 1 + 3 + 1,
    ),
    "losses over decades": (
        lambda: study_of(loss=lambda h: h["learning_rate"] ** 2),
        judged(runs(0.5, 0.005), runs(0.1, 1e-5)),
        2 + 1 + 4 + 1,
    ),
    "maximized": (
        lambda: study_of(
            task=small_task(metrics=["accuracy"]),
            objective="val_accuracy",
            logs=lambda loss, epoch: {"val_accuracy": 1 / loss},
        ),
        judged(runs(1.0, accuracy=[0.5]), runs(1.0, accuracy=[0.7])),
        2 + 1 + 4 + 1,
    ),
    "diverged trials and runs": (
        lambda: study_of(trials=12, loss=failed_far_up),
        judged(
            Runs("", {"loss": [NAN, INF]}, [[1.0, NAN], [INF, INF]]),
            Runs("", {"loss": [0.5, 0.5]}, [[1.0, 0.5], [0.5]]),
        ),
        2 + 1 + 4 + 1,
    ),
    "a default that diverged at once": (
        study_of,
        judged(Runs("", {"loss": [NAN]}, [[NAN, NAN]]), runs(0.5)),
        2 + 1 + 4 + 1,
    ),
    "no test split": (
        lambda: study_of(task=small_task(test=None)),
        judged(runs(0.5), runs(0.4), split="validation"),
        2 + 1 + 4 + 1,
    ),
}
