"""Every optimizer by its name: this is where a new one is listed, besides its own file."""

from keras_optim_lab.optimizers.rules.adabelief import AdaBelief as AdaBelief
from keras_optim_lab.optimizers.rules.adabound import AdaBound as AdaBound
from keras_optim_lab.optimizers.rules.adafactor import Adafactor as Adafactor
from keras_optim_lab.optimizers.rules.adagrad import Adagrad as Adagrad
from keras_optim_lab.optimizers.rules.adam import Adam as Adam
from keras_optim_lab.optimizers.rules.adam import AdamW as AdamW
from keras_optim_lab.optimizers.rules.adan import Adan as Adan
from keras_optim_lab.optimizers.rules.ademamix import AdEMAMix as AdEMAMix
from keras_optim_lab.optimizers.rules.adopt import ADOPT as ADOPT
from keras_optim_lab.optimizers.rules.gradient_descent import GradientDescent as GradientDescent
from keras_optim_lab.optimizers.rules.lamb import LAMB as LAMB
from keras_optim_lab.optimizers.rules.lars import LARS as LARS
from keras_optim_lab.optimizers.rules.lion import Lion as Lion
from keras_optim_lab.optimizers.rules.momentum import Momentum as Momentum
from keras_optim_lab.optimizers.rules.muon import Muon as Muon
from keras_optim_lab.optimizers.rules.nadam import Nadam as Nadam
from keras_optim_lab.optimizers.rules.nadamw import NAdamW as NAdamW
from keras_optim_lab.optimizers.rules.prodigy import Prodigy as Prodigy
from keras_optim_lab.optimizers.rules.radam import RAdam as RAdam
from keras_optim_lab.optimizers.rules.rmsprop import RMSprop as RMSprop
from keras_optim_lab.optimizers.rules.schedule_free import ScheduleFreeAdamW as ScheduleFreeAdamW
from keras_optim_lab.optimizers.rules.schedule_free import ScheduleFreeSGD as ScheduleFreeSGD
from keras_optim_lab.optimizers.rules.shampoo import Shampoo as Shampoo
from keras_optim_lab.optimizers.rules.soap import SOAP as SOAP
from keras_optim_lab.optimizers.shell.optimizer import Optimizer as Optimizer
from keras_optim_lab.optimizers.wrappers.adaptive_clipping import (
    AdaptiveClipping as AdaptiveClipping,
)
from keras_optim_lab.optimizers.wrappers.cautious import Cautious as Cautious
from keras_optim_lab.optimizers.wrappers.centralized_gradients import (
    CentralizedGradients as CentralizedGradients,
)
from keras_optim_lab.optimizers.wrappers.groups import Groups as Groups
from keras_optim_lab.optimizers.wrappers.groups import groups as groups
from keras_optim_lab.optimizers.wrappers.layerwise_decay import LayerwiseDecay as LayerwiseDecay
from keras_optim_lab.optimizers.wrappers.layerwise_decay import layerwise as layerwise
from keras_optim_lab.optimizers.wrappers.lookahead import Lookahead as Lookahead
from keras_optim_lab.optimizers.wrappers.skip_non_finite import SkipNonFinite as SkipNonFinite
