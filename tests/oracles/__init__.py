"""The methods as their papers state them, in plain NumPy float64 and without a thought for speed.

Nothing here is taken from the package. An oracle names its slots as the package does, so that a
test can hand it the state of an optimizer and ask for the next step.
"""

from tests.oracles.adabelief import AdaBelief
from tests.oracles.adabound import AdaBound
from tests.oracles.adafactor import Adafactor
from tests.oracles.adagrad import Adagrad
from tests.oracles.adam import Adam, AdamW, OptaxAMSGrad
from tests.oracles.adan import Adan
from tests.oracles.ademamix import AdEMAMix
from tests.oracles.adopt import ADOPT
from tests.oracles.gradient_descent import GradientDescent
from tests.oracles.lamb import LAMB
from tests.oracles.lars import LARS
from tests.oracles.lion import Lion
from tests.oracles.momentum import Momentum
from tests.oracles.muon import Muon
from tests.oracles.nadam import Nadam
from tests.oracles.nadamw import AlgoPerfNAdamW, NAdamW
from tests.oracles.oracle import Oracle
from tests.oracles.prodigy import Prodigy
from tests.oracles.radam import RAdam
from tests.oracles.rmsprop import RMSprop
from tests.oracles.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from tests.oracles.shampoo import Shampoo
from tests.oracles.soap import SOAP

__all__ = [
    "ADOPT",
    "LAMB",
    "LARS",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "AdaBound",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "AlgoPerfNAdamW",
    "GradientDescent",
    "Lion",
    "Momentum",
    "Muon",
    "NAdamW",
    "Nadam",
    "OptaxAMSGrad",
    "Oracle",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
]
