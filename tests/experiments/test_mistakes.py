"""A mistake in a file is one line with file, line and key, before anything is trained."""

from pathlib import Path

import pytest

from keras_optim_lab.experiments.experiment import load
from keras_optim_lab.experiments.schema import ExperimentError
from tests.experiments.texts import BACKENDS, OPTIMIZERS, PUBLISHED, RACES, STUDY

pytestmark = pytest.mark.once

METHOD = '[[methods]]\nname = "a"\noptimizer = "adam"'
MISTAKES = [
    # Keys of all kinds.
    (
        STUDY,
        "kind = ",
        "kinds = ",
        "line 1: the key 'kind' is missing: add kind = …, or rename 'kinds'.",
    ),
    (STUDY, '"study"', '"studi"', "line 1: kind: there is no 'studi'. Did you mean 'study'?"),
    (STUDY, 'task = "small"\n', "", "the key 'task' is missing: add task = …"),
    (
        STUDY,
        "trials = 4",
        "trails = 4",
        "the key 'trials' is missing: add trials = …, or rename 'trails'",
    ),
    (STUDY, "trials = 4", "trials = 0", "line 5: trials: must be 1 or more. Received: 0"),
    (STUDY, "trials = 4", 'trials = "4"', "line 5: trials: must be a whole number, 1 or more."),
    (STUDY, "trials = 4", "trials = true", "line 5: trials: must be a whole number"),
    (STUDY, "seeds = 2", "seeds = 2000", "line 6: seeds: must be from 1 to 1000. Received: 2000"),
    (STUDY, '"small"', '"smal"', "line 3: task: there is no task 'smal'. Did you mean 'small'"),
    (STUDY, '"small"', "3", "line 3: task: must be text in quotes"),
    (
        STUDY,
        '"adam"',
        '"adm"',
        "line 4: optimizer: There is no optimizer 'adm'. Did you mean 'adam'",
    ),
    (STUDY, '"adam"', '["adam", "Adam"]', "line 4: optimizer: names 'adam' twice"),
    (STUDY, '"adam"', "[]", "line 4: optimizer: must be a list of at least one element"),
    (
        STUDY,
        "epsilon = 1e-7",
        "epsilom = 1",
        "line 8: space.epsilom: space: Adam has no hyperparam",
    ),
    (
        STUDY,
        "epsilon = 1e-7",
        "beta_1 = 2",
        "line 8: space.beta_1: Adam: `beta_1` must be a number",
    ),
    (STUDY, "epsilon = 1e-7", 'schedule = "cos"', "line 8: space.schedule:"),
    (STUDY, "{ epsilon = 1e-7 }", "3", "line 8: space: must be a table"),
    (
        STUDY,
        "confirm",
        "confrim",
        "line 7: confrim: there is no such key here. Did you mean 'confirm'?",
    ),
    (
        STUDY,
        "confirm = 0",
        'sampler = "tpo"',
        "line 7: sampler: there is no 'tpo'. Did you mean 'tpe'",
    ),
    (STUDY, "confirm = 0", 'metric = "f1"', "line 7: metric: small does not measure 'f1'."),
    (STUDY, "confirm = 0", 'backend = "theano"', "line 7: backend: there is no 'theano'."),
    (STUDY, "confirm = 0", "confirm = ", "line 7: Invalid value. This is no TOML."),
    (STUDY, "confirm = 0", "trials = 2", "line 7: Cannot overwrite a value. This is no TOML."),
    (STUDY, "confirm = 0", f"seed = 1{400 * '0'}", "line 7: seed: must be from 0 to 2147483647."),
    (
        STUDY,
        "trials = 4",
        "trials = 1000000000000",
        "line 5: trials: must be at most 2,147,483,647",
    ),
    (STUDY, "epsilon = 1e-7", f"epsilon = 1{400 * '0'}", "line 8: space.epsilon: Adam: `epsilon`"),
    # Those of one kind.
    (OPTIMIZERS, "optimizers = ", "x = ", "line 4: x: there is no such key here. Known:"),
    (OPTIMIZERS, 'optimizers = ["momentum", "adam"]\n', "", "give either optimizers"),
    (OPTIMIZERS, "seeds = 2", f"seeds = 2\n{METHOD}", "methods: give either"),
    (
        OPTIMIZERS,
        '"adam"',
        '"lookahed(adam)"',
        "line 4: optimizers: 'lookahed' goes around no",
    ),
    (PUBLISHED, '"adam"', '"lookahead"', "line 8: methods[1].optimizer: 'lookahead' goes around"),
    (PUBLISHED, "published = ", "publish = ", "is missing: add published = …, or rename 'publish'"),
    (PUBLISHED, 'source = "A paper."', "", "line 6: methods[1]: the key 'source' is missing"),
    (PUBLISHED, "rate = 0.01", "rate = -1", "line 9: methods[1].settings.learning_rate:"),
    (
        PUBLISHED,
        "{ 1 = 2.0",
        "{ 3 = 2.0",
        "line 10: methods[1].published.3: small is trained for 2",
    ),
    (PUBLISHED, "{ 1 = 2.0", '{ 1 = "2"', "line 10: methods[1].published: epoch 1 takes a mean"),
    (
        PUBLISHED,
        "{ 1 = 2.0",
        f"{{ 1 = 1{400 * '0'}",
        "line 10: methods[1].published: epoch 1 takes",
    ),
    (PUBLISHED, "{ 1 = 2.0", "{ 1 = []", "line 10: methods[1].published: epoch 1 takes"),
    (PUBLISHED, "{ 1 = 2.0", "{ 1 = nan", "line 10: methods[1].published: epoch 1 takes"),
    (
        PUBLISHED,
        "seeds = 3",
        f"seeds = 3\ntolerance = 1{400 * '0'}",
        "line 5: tolerance: must be a",
    ),
    (
        PUBLISHED,
        "rate = 0.01",
        f"rate = 1{400 * '0'}",
        "line 9: methods[1].settings.learning_rate:",
    ),
    (PUBLISHED, "{ 1 = 2.0", "{ one = 2.0", "its keys are epochs, from 1. Received: 'one'"),
    (PUBLISHED, 'source = "A paper."', 'source = ""', "line 11: methods[1].source: must be text"),
    (RACES, '"momentum"', '"cautious(adam)"', "line 4: optimizers: There is no optimizer"),
    (BACKENDS, "[1, 4]", "[0]", "line 5: steps: must be 1 or more. Received: 0"),
    (BACKENDS, "[1, 4]", "[1000000000000]", "line 5: steps: must be at most 100,000. Received:"),
    (RACES, "steps = 20\n", "steps = 1000000000000\n", "line 5: steps: must be at most 100,000."),
    (BACKENDS, "steps = [1, 4]", 'backends = ["jax"]', "line 5: backends: a comparison takes two"),
]


@pytest.mark.parametrize(("text", "right", "wrong", "message"), MISTAKES)
def test_a_mistake_names_file_line_and_key(experiment, text, right, wrong, message):
    assert text.count(right) == 1
    with pytest.raises(ExperimentError) as caught:
        experiment(text.replace(right, wrong))
    assert str(caught.value).startswith("experiments/mine.toml, line ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("studies").exists()


@pytest.mark.parametrize("deep", [f"seed = 1{5000 * '0'}", f"x = {5000 * '['}{5000 * ']'}"])
def test_what_no_reader_takes_is_told_with_the_file(experiment, deep):
    with pytest.raises(ExperimentError, match=r"^experiments/mine.toml: cannot be read \("):
        experiment(f"{STUDY}{deep}")


def test_two_methods_of_one_name_are_a_mistake(experiment):
    method = PUBLISHED[PUBLISHED.index("[[") :]
    with pytest.raises(
        ExperimentError, match=r"line 14: methods\[2\].name: two methods are called"
    ):
        experiment(f"{PUBLISHED}\n{method}")


def test_two_methods_of_one_study_are_a_mistake(experiment):
    methods = [f'[[methods]]\nname = "{name}"\noptimizer = "adam"\n' for name in ("a, b", "a; b")]
    text = OPTIMIZERS.replace('optimizers = ["momentum", "adam"]\n', "")
    with pytest.raises(ExperimentError, match=r"methods: two would share the study 'mine-a-b'"):
        experiment("".join([text, *methods]))


def test_a_file_that_is_not_there_is_told_with_those_beside_it(experiment, tmp_path):
    experiment(STUDY)
    with pytest.raises(FileNotFoundError, match=r"no experiment experiments/your.toml.*mine\.toml"):
        load("experiments/your.toml")


def test_a_name_that_no_study_can_have_is_a_mistake(experiment):
    for name, other in (("my study", "my-study"), ("a" * 200, "a" * 180)):
        with pytest.raises(ExperimentError, match=f"Rename the file, for instance to {other}"):
            experiment(STUDY, name=name)


def test_a_study_that_was_stored_with_another_space_is_told_before_anything_is_trained(
    experiment, engine
):
    experiment(STUDY).run()
    engine.trained = 0
    with pytest.raises(ValueError, match="exists with another space"):
        experiment(STUDY.replace("1e-7", "1e-6")).run()
    assert engine.trained == 0
