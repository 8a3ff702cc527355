"""Blocks of attention, of which the built-in transformers are made."""

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable("keras_optim_lab")
class PositionEmbedding(layers.Layer):
    """Adds to every position of a sequence a vector that is learned."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.vectors = self.add_weight(
            shape=input_shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, x: Any) -> Any:
        return x + self.vectors


def block(x: Any, *, heads: int, causal: bool = False) -> Any:
    """Attention, then a dense layer twice as wide, each around a skip and normalized before.

    Args:
        x: a symbolic sequence of vectors.
        heads: of the attention, among which the numbers of a vector are shared out.
        causal: whether a position sees only those before it.
    """
    width = x.shape[-1]
    attention = layers.MultiHeadAttention(heads, width // heads)
    seen = layers.LayerNormalization()(x)
    x = layers.Add()([x, attention(seen, seen, use_causal_mask=causal)])
    hidden = layers.Dense(2 * width, activation="relu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(width)(hidden)])
