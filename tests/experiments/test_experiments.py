"""Experiments train what is missing, keep what is done, and say what came out."""

import json
import math
import re
from pathlib import Path

import keras
import pytest

from keras_optim_lab.comparison import comparison as comparing
from keras_optim_lab.experiments.kinds import backends
from keras_optim_lab.tuning.engines import default
from tests.comparison.examples import comparison, small_plan
from tests.experiments.conftest import Counting
from tests.experiments.texts import BACKENDS, OPTIMIZERS, PORTFOLIO, PUBLISHED, STUDY

pytestmark = pytest.mark.once

# By kind: a file, how many trainings it asks for, and how many of them are records.
TRAINED = {"study": (STUDY, 4 + 4, 4), "optimizers": (OPTIMIZERS, 2 * (3 + 4), 8)}
TRAINED["published"] = (PUBLISHED, 3, 3)
TRAINED["portfolio"] = (PORTFOLIO, 2 * 8 * 2 + 3 * 9, 5)  # a record for each table and task


def records():
    return [json.loads(line) for line in Path("experiments/results/mine.jsonl").open()]


def there(experiment):
    parts = experiment.parts()
    return sum(part.done for part in parts), sum(part.trainings for part in parts)


@pytest.mark.parametrize("kind", TRAINED)
def test_a_dry_run_counts_what_would_be_trained_and_writes_nothing(experiment, engine, kind):
    text, count, _ = TRAINED[kind]
    assert there(experiment(text)) == (0, count)
    assert engine.trained == 0
    assert sorted(map(str, Path().rglob("*"))) == ["experiments", "experiments/mine.toml"]


@pytest.mark.parametrize("kind", TRAINED)
def test_a_run_trains_what_was_counted_and_a_second_one_nothing(experiment, engine, kind):
    text, count, kept = TRAINED[kind]
    experiment(text).run()
    assert engine.trained == count
    assert there(experiment(text)) == (count, count)
    assert len(records()) == kept
    again = experiment(text)
    page = again.page.read_bytes()
    again.run()
    assert engine.trained == count
    assert again.page.read_bytes() == page


@pytest.mark.parametrize("kind", TRAINED)
def test_a_run_that_was_stopped_goes_on_where_it_ended(experiment, engine, kind):
    text, count, kept = TRAINED[kind]
    engine.stop_after = count - 1
    with pytest.raises(KeyboardInterrupt):
        experiment(text).run()
    assert there(experiment(text)) == (count - 1, count)
    engine.stop_after = None
    experiment(text).run()
    assert engine.trained == count
    assert len(records()) == kept


def test_a_race_is_counted_by_the_most_that_it_may_train_and_not_run_again(experiment, engine):
    """Two trials and the defaults: four runs of each; then two at most go on, for 4 + 8 + 64."""
    text = STUDY.replace("confirm = 0", "confirm = 2")
    assert there(experiment(text)) == (0, 4 + 3 * 4 + 2 * (4 + 8 + 64) + 4)
    run = experiment(text)
    run.run()
    assert engine.trained <= 4 + 3 * 4 + 2 * (4 + 8 + 64) + 4
    trained, parts = engine.trained, there(experiment(text))
    assert parts[0] == parts[1]
    experiment(text).run()
    assert engine.trained == trained
    assert "Tuned Adam is better: val_loss" in run.verdict()


def test_a_search_over_folds_counts_and_says_them(experiment, engine):
    """Two trials of three runs, a race in rounds of three; test runs have no folds."""
    text = OPTIMIZERS.replace("trials = 3\nconfirm = 0", "trials = 2\nfolds = 3\nconfirm = 1")
    each = 2 * 3 + (2 * 3 + 2 * (3 + 6 + 48)) + 2 * 2
    assert there(experiment(text)) == (0, 2 * each)
    run = experiment(text)
    page = run.run().read_text(encoding="utf-8")
    assert "1 seed(s) per trial, 3 folds each, best 1 and the defaults raced" in page
    found = [tuning for tuning, _ in run._found.values()]
    assert [tuning.folds for tuning in found] == [3, 3]
    assert {len(trial.user_attrs["values"]) for trial in found[0].finished_trials} == {3}
    assert len(records()) == 2 * 2 * 2
    plain = experiment(OPTIMIZERS, name="plain").run().read_text(encoding="utf-8")
    assert "judged on the validation split" in plain


def test_a_training_that_is_shorter_than_by_default_has_not_diverged(experiment):
    run = experiment(STUDY.replace("epsilon = 1e-7", "epochs = 1, batch_size = [4, 6]"))
    run.run()
    assert "diverged" not in run.verdict()
    settings = [record["settings"] for record in records()]
    assert {(each["method"], each["epochs"]) for each in settings} == {("default", 2), ("tuned", 1)}
    assert {each["batch_size"] for each in settings if each["method"] == "tuned"} < {4, 6}


def test_settings_found_tell_an_optimizer_from_how_it_is_trained(experiment):
    methods = "[[methods]]\nname = 'Small'\noptimizer = 'adam'\nspace = { batch_size = 4 }\n"
    text = OPTIMIZERS.replace('optimizers = ["momentum", "adam"]', "")
    page = experiment(text + methods).run().read_text(encoding="utf-8")
    assert re.search(r"Adam\(learning_rate=[^)]*\), batch_size=4<", page)


def test_a_record_holds_settings_results_versions_backend_seed_and_command(experiment):
    experiment(PUBLISHED).run()
    first = records()[0]
    assert first["settings"] == {
        "experiment": "mine",
        "task": "small",
        "epochs": 2,
        "batch_size": 8,
        "split": "test",
        "method": "Adam, tuned",
        "name": "adam",
        "hyperparameters": {"learning_rate": 0.01},
        "decay": "constant",
        "warmup": 0.0,
        "seed": 0,
        "backend": "jax",
    }
    assert first["result"] == {"curves": {"loss": [2.0, 1.5]}}
    assert first["versions"].keys() == {
        *("keras-optim-lab", "keras", "jax", "optuna", "numpy", "python")
    }
    assert first["command"] == "keras-optim-lab run experiments/mine.toml"


def test_other_settings_are_trained_again_and_the_same_ones_are_not(experiment, engine):
    experiment(PUBLISHED).run()
    experiment(PUBLISHED.replace("seeds = 3", "seeds = 5")).run()
    assert engine.trained == 5
    experiment(PUBLISHED.replace("0.01", "0.1")).run()
    assert engine.trained == 8


def test_published_numbers_stand_beside_ours_with_their_differences(experiment):
    run = experiment(PUBLISHED)
    page = run.run().read_text(encoding="utf-8")
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    assert ["Adam, tuned", "1", "2", "2 ± 0", "+0.0000", "+0.00 %"] in rows
    assert ["Adam, tuned", "2", "1.25 ± 0.5", "1.5 ± 0", "+0.2500", "+20.00 %"] in rows
    assert run.verdict() == (
        "1 of 2 published means are met within 1 % on small; the furthest away is Adam, tuned "
        "after epoch 2: +20 % (mean ± standard deviation over 3 seeds)."
    )


def test_optimizers_are_ranked_by_their_test_runs(experiment):
    run = experiment(OPTIMIZERS + 'document = "../docs/tuned.md"\n')
    page = run.run().read_text(encoding="utf-8")
    best = re.search(r"the best on the test split is (\w+): loss \S+ ± 0", run.verdict())
    assert best[1] in ("momentum", "adam")
    assert "Tuned with 3 trials each on small" in run.verdict()
    assert run.verdict().split(":")[0] in page
    assert "Momentum(learning_rate=" in page
    document = Path("docs/tuned.md").read_text(encoding="utf-8").partition("## Inclusion")[0]
    assert run.command in document
    first, second = re.findall(r"^\| (momentum|adam) \|.*", document, flags=re.MULTILINE)
    assert first == best[1] != second
    assert "- momentum: `Momentum(learning_rate=" in document


def test_methods_of_one_optimizer_have_studies_of_their_own(experiment):
    methods = '[[methods]]\nname = "ε fixed"\noptimizer = "adam"\nspace = { epsilon = 1e-8 }\n'
    methods += '[[methods]]\nname = "ε free"\noptimizer = "adam"\n'
    run = experiment(OPTIMIZERS.replace('optimizers = ["momentum", "adam"]\n', "") + methods)
    run.run()
    assert {path.stem for path in Path("studies").glob("[!.]*.journal")} == {
        "mine-ε-fixed",
        "mine-ε-free",
    }
    tuned = [r["settings"] for r in records() if r["settings"]["method"] == "ε fixed, tuned"]
    assert {settings["hyperparameters"]["epsilon"] for settings in tuned} == {1e-8}


def test_an_optimizer_may_have_wrappers_around_it(experiment):
    run = experiment(OPTIMIZERS.replace("momentum", "Lookahead(Adam)"))
    page = run.run().read_text(encoding="utf-8")
    assert {path.stem for path in Path("studies").glob("[!.]*.journal")} == {
        "mine-adam",
        "mine-lookahead-adam",
    }
    assert "Lookahead(Adam, learning_rate=" in page
    tuned = [
        r["settings"] for r in records() if "lookahead(adam), tuned" in r["settings"]["method"]
    ]
    assert all("lookahead.share" in settings["hyperparameters"] for settings in tuned)
    assert len(tuned) == 2


def test_a_study_says_whether_tuning_helped(experiment):
    run = experiment(STUDY)
    page = run.run().read_text(encoding="utf-8")
    assert "Tuned Adam is better than its defaults on the test split of small" in run.verdict()
    assert "kol.Adam(learning_rate=" in page
    assert "keras-optim-lab run experiments/mine.toml" in page


def test_pages_share_one_script_and_are_small(experiment):
    experiment(PUBLISHED, name="one").run()
    page = experiment(PUBLISHED, name="two").run()
    assert [path.name for path in page.parent.glob("*.js")] == ["plotly.min.js"]
    text = page.read_text(encoding="utf-8")
    assert '<script src="plotly.min.js"' in text
    assert len(text) < 100_000
    assert not re.search(r'(src|href)="https?:', text)


def test_another_backend_than_the_files_leaves_the_document_as_it_is(experiment):
    text = 'backend = "torch"\ndocument = "../docs/tuned.md"\n' + OPTIMIZERS
    experiment(text, backend=keras.backend.backend()).run()
    assert not Path("docs/tuned.md").exists()


def test_another_backend_than_the_files_has_results_of_its_own(experiment):
    text = 'backend = "torch"\n' + PUBLISHED
    run = experiment(text, backend=keras.backend.backend())
    assert run.name == f"mine-{keras.backend.backend()}"
    assert run.page.name == f"{run.name}.html"
    assert run.command.endswith(f"mine.toml --backend {keras.backend.backend()}")


def test_a_run_that_diverged_is_kept_and_counted(experiment, monkeypatch):
    nan_later = Counting(lambda _: 1.0, lambda loss, epoch: {"val_loss": [loss, math.nan][epoch]})
    monkeypatch.setattr(default, "PopulationEngine", lambda: nan_later)
    run = experiment(PUBLISHED)
    page = run.run().read_text(encoding="utf-8")
    assert records()[0]["result"] == {"curves": {"loss": [1.0, None]}}
    assert "<td>diverged</td>" in page
    assert "epoch 2: diverged" in run.verdict()


def test_backends_are_compared_once_for_each_optimizer_and_seed(experiment, monkeypatch):
    asked = []

    def compare(task, optimizers, **options):
        asked.append((task, optimizers, options))
        return comparison(small_plan(optimizers))

    monkeypatch.setattr(backends, "compare_backends", compare)
    assert comparing.compare_backends is not compare
    run = experiment(BACKENDS)
    assert there(run) == (0, 1)
    page = run.run().read_text(encoding="utf-8")
    experiment(BACKENDS).run()
    options = {"backends": ["tensorflow", "jax", "torch"], "steps": [1, 4], "seed": 0}
    assert asked == [("small", ["adam"], options)]
    assert there(experiment(BACKENDS)) == (1, 1)
    assert run.verdict().startswith(
        "On TensorFlow, JAX, PyTorch, 0 of 1 optimizers and 1 of 1 Keras built-ins stay within"
    )
    assert "keras Adam" in page
