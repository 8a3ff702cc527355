"""Search ranges from the literature, each with its source; η, ε and 1 − β are log-uniform.

Sivaprasad et al. give log-normal priors of η in base 10; a range here is their mean ± one
standard deviation.

Methods whose whole step is the exact one, or that search along a line themselves (Newton, LBFGS and
their kin), have no range for η: 1 is the length to try first.
"""

from keras_optim_lab.optimizers.shell.numeric import Range

_SIVAPRASAD = "Sivaprasad et al., 2020, arXiv:1910.11758"
_ALGOPERF = "AlgoPerf, Dahl et al., 2023, arXiv:2306.07179"
_FANTASTIC = "Wen et al., 2025, arXiv:2509.02046"

SGD_RATE = Range(3.9e-4, 0.164, _SIVAPRASAD)
# Their prior is for heavy-ball momentum; an average of gradients takes 1/(1 − 0.9) times as much.
MOMENTUM_RATE = Range(1.6e-3, 1.08, _SIVAPRASAD)
ADAGRAD_RATE = Range(6.2e-4, 0.158, _SIVAPRASAD)
ADAM_RATE = Range(7.6e-5, 5.3e-2, _SIVAPRASAD)

MOMENTUM_DECAY = Range(5e-3, 0.3, _ALGOPERF)
ADAM_BETA_1 = Range(2e-2, 0.5, _ALGOPERF)
NADAM_BETA_1 = Range(4e-3, 0.1, _ALGOPERF)
BETA_2 = Range(1e-5, 1e-1, _SIVAPRASAD)

EPSILON = Range(1e-8, 1.0, _SIVAPRASAD)
WEIGHT_DECAY = Range(5e-3, 1.0, _ALGOPERF)

ALGOPERF_RATE = Range(1e-4, 1e-2, _ALGOPERF)
ALGOPERF_MOMENTUM_RATE = Range(2e-2, 5.0, _ALGOPERF)
LAMB_BETA_1 = Range(5e-2, 0.3, _ALGOPERF)
LAMB_WEIGHT_DECAY = Range(1e-3, 1.0, _ALGOPERF)
SHAMPOO_BETA_1 = Range(1e-2, 0.15, _ALGOPERF)

LION_RATE = Range(
    3e-5, 8e-3, "Wen et al., 2025, arXiv:2509.02046; low end: Chen et al., 2023, arXiv:2302.06675"
)
LION_BETA_1 = Range(2e-2, 0.2, _FANTASTIC)
LION_BETA_2 = Range(1e-3, 0.1, "Chen et al., 2023, arXiv:2302.06675: 0.99, or 0.98 if unstable")
MUON_RATE = Range(1e-3, 0.128, f"{_FANTASTIC}, and below for small batches")
MUON_MOMENTUM = Range(2e-2, 0.2, _FANTASTIC)
SOAP_RATE = Range(1e-3, 1.6e-2, _FANTASTIC)
SOAP_BETA_1 = Range(5e-2, 0.2, _FANTASTIC)
SOAP_BETA_2 = Range(1e-2, 0.1, _FANTASTIC)

PRODIGY_RATE = Range(0.1, 10.0, "Mishchenko & Defazio, 2023, arXiv:2306.06101: around 1")
SCHEDULE_FREE_BETA = Range(2e-2, 0.2, "Defazio et al., 2024, arXiv:2405.15682: 0.9, 0.95 or 0.98")

LOOKAHEAD_SHARE = Range(0.5, 0.8, "Zhang et al., 2019, arXiv:1907.08610: 0.5 and 0.8")
LAYERWISE_DECAY = Range(0.7, 0.9, "Clark et al., 2020, arXiv:2003.10555: 0.7, 0.8 or 0.9")
CLIPPING = Range(0.01, 0.16, "Brock et al., 2021, arXiv:2102.06171: 0.01 to 0.16")
SAM_RADIUS = Range(0.01, 0.5, "Foret et al., 2020, arXiv:2010.01412: 0.01 to 0.5")

ADAHESSIAN_RATE = Range(
    1e-3,
    0.3,
    "Yao et al., 2020, arXiv:2006.00719: 0.047 and 0.15; ends: Shin et al., 2025, arXiv:2502.18153",
)
SOPHIA_RATE = Range(3e-4, 3.2e-2, f"{_FANTASTIC}; low end: Liu et al., 2023, arXiv:2305.14342")
SOPHIA_BETA_1 = Range(2e-2, 0.2, _FANTASTIC)
SOPHIA_BETA_2 = Range(5e-3, 0.1, _FANTASTIC)
SOPHIA_GAMMA = Range(6.25e-3, 5e-2, _FANTASTIC)
MARQUARDT_DAMPING = Range(
    1e-6, 1.0, "Madsen, Nielsen & Tingleff, 2004, Methods for Non-Linear Least Squares, §3.2"
)
