"""Addition modulo a prime (Power et al., 2022, arXiv:2201.02177): grokking.

Each pair of numbers is a sample and its sum the class. A network first learns the training pairs
by heart, while its validation loss rises above that of guessing, log 59 = 4.08, and finds the rule
much later: when, and whether at all, depends on the optimizer's settings. Here Adam with its
defaults has just begun to when training ends; with η = 0.01 it knows nine sums of ten, and AdamW,
with η = 0.01 and a weight decay of 0.1, all.
"""

import numpy as np
from keras import Input, Model, Sequential, layers

from keras_optim_lab.tasks.built_in.classification import classification
from keras_optim_lab.tasks.splits import Pair, stratified

PRIME = 59
SAMPLES = (1416, 142, 212)


def sums() -> tuple[Pair, Pair, Pair]:
    """Makes all pairs of numbers below the prime, in one of their two orders, and their sums."""
    x = np.stack(np.triu_indices(PRIME), axis=-1).astype("int32")
    y = x.sum(axis=1) % PRIME
    parts = stratified(y, SAMPLES)
    train, validation, test = ((x[part], y[part].astype("int32")) for part in parts)
    return train, validation, test


def mlp() -> Model:
    """The mean of both numbers' vectors, so that their order is nothing to learn, and an MLP."""
    return Sequential(
        [
            Input((2,), dtype="int32"),
            layers.Embedding(PRIME, 32),
            layers.GlobalAveragePooling1D(),
            layers.Dense(128, activation="relu"),
            layers.Dense(PRIME),
        ]
    )


DECLARED = (
    classification(
        name="modular-addition",
        summary="addition modulo 59, learned by heart first and understood later (grokking)",
        weights=13_723,
        samples=SAMPLES,
        data=sums,
        model=mlp,
        batch_size=64,
        epochs=150,
    ),
)
