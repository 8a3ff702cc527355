"""The table of expectations: the rows that stand in the oracles' files.

One row is one form of an optimizer; every generic check runs on each.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests import oracles
from tests.oracles.case import Case

_FILES = [import_module(f"tests.oracles.{file.name}") for file in iter_modules(oracles.__path__)]

CASES: list[Case] = [case for file in _FILES for case in getattr(file, "CASES", ())]

# One of each kind: joined, with state shared by all weights; with slots of other shapes; with decay
# within the rule; by matrix; across all weights; showing an average.
KINDS = {"nadam", "adafactor", "lamb", "muon", "prodigy", "schedule_free_adamw"}
