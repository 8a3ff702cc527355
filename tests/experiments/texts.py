"""Files of every kind, small enough to be run."""

STUDY = """\
kind = "study"
question = "Does it help?"
task = "small"
optimizer = "adam"
trials = 4
seeds = 2
confirm = 0
space = { epsilon = 1e-7 }
"""

OPTIMIZERS = """\
kind = "optimizers"
question = "Which is best?"
task = "small"
optimizers = ["momentum", "adam"]
trials = 3
confirm = 0
seeds = 2
"""

PUBLISHED = """\
kind = "published"
question = "Are they the same?"
task = "small"
seeds = 3

[[methods]]
name = "Adam, tuned"
optimizer = "adam"
settings = { learning_rate = 0.01 }
published = { 1 = 2.0, 2 = [1.25, 0.5] }
source = "A paper."
"""

BACKENDS = """\
kind = "backends"
question = "Do they agree?"
task = "small"
optimizers = ["adam"]
steps = [1, 4]
"""

RACES = """\
kind = "races"
question = "Which is best?"
surfaces = ["booth", "saddle"]
optimizers = ["momentum", "newton"]
steps = 20
curvature_steps = 10
starts = 2
rounds = 2
pictures = ["booth"]
pictured = ["newton"]
document = "../docs/compared.md"
"""

PORTFOLIO = """\
kind = "portfolio"
question = "Which settings come first?"
length = 4
portfolio = "../docs/lists.toml"

[[groups]]
optimizers = ["adam"]
settings = 8
seeds = 2
tasks = ["small", "smaller"]

[[groups]]
optimizers = ["momentum"]
settings = 9
tasks = ["smaller", "small", "smallest"]
"""
