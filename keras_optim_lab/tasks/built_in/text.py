"""Python's language reference, letter by letter: what is the next one?

The text is what `help()` shows of the language, `pydoc_data.topics`, which comes with every
CPython. Like all documentation it differs a little from one version of Python to the next, so
losses are comparable within one. Only the letters a to z count, all else is a space, as in text8;
paragraphs that several topics share are taken once, so that none is in two splits.
"""

import re
from functools import cache
from importlib import import_module

import numpy as np
from keras import Input, Model, Sequential, layers

from keras_optim_lab.tasks.built_in.attention import PositionEmbedding, block
from keras_optim_lab.tasks.built_in.classification import classification
from keras_optim_lab.tasks.splits import Pair, stratified

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
WINDOW = 24
SAMPLES = (2048, 1024, 2048)


@cache
def letters() -> str:
    """Returns about 300,000 letters and spaces."""
    topics = import_module("pydoc_data.topics").topics
    paragraphs = (part for name in sorted(topics) for part in topics[name].split("\n\n"))
    words = (re.sub("[^a-z]+", " ", part.lower()).strip() for part in paragraphs)
    return " ".join(dict.fromkeys(words))


def windows() -> tuple[Pair, Pair, Pair]:
    """Loads windows of 24 letters as places in the alphabet, and the letters one place further."""
    places = np.array([ALPHABET.index(letter) for letter in letters()], "int32")
    count = len(places) // (WINDOW + 1)
    cut = places[: count * (WINDOW + 1)].reshape(count, WINDOW + 1)
    parts = stratified(np.zeros(count), (*SAMPLES, count - sum(SAMPLES)))
    train, validation, test = ((cut[part, :-1], cut[part, 1:]) for part in parts[:3])
    return train, validation, test


def one_hot_windows() -> tuple[Pair, Pair, Pair]:
    """Loads the same windows with every letter as a vector of 27 numbers.

    Of an `Embedding` a recurrent layer would be asked for the gradient of its input, which
    TensorFlow's loop over models cannot compile.
    """
    letters = np.eye(len(ALPHABET), dtype="float32")
    train, validation, test = ((letters[x], y) for x, y in windows())
    return train, validation, test


def gru() -> Model:
    return Sequential(
        [
            Input((WINDOW, len(ALPHABET))),
            layers.GRU(48, return_sequences=True),
            layers.Dense(len(ALPHABET)),
        ]
    )


def transformer() -> Model:
    text = Input((WINDOW,), dtype="int32")
    x = PositionEmbedding()(layers.Embedding(len(ALPHABET), 24)(text))
    for _ in range(2):
        x = block(x, heads=2, causal=True)
    return Model(text, layers.Dense(len(ALPHABET))(layers.LayerNormalization()(x)))


DECLARED = (
    classification(
        name="text-gru",
        summary="the next letter of Python's language reference, a GRU of 48 units",
        weights=12_411,
        samples=SAMPLES,
        data=one_hot_windows,
        model=gru,
        epochs=10,
    ),
    classification(
        name="text-transformer",
        summary="the next letter of Python's language reference, a transformer of two blocks",
        weights=11_691,
        samples=SAMPLES,
        data=windows,
        model=transformer,
        epochs=10,
    ),
)
