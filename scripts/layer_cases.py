"""How `engine_coverage.py` tries each layer of Keras."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

FLAT, SEQUENCE, IMAGE, VOLUME = (6,), (5, 4), (8, 8, 3), (4, 4, 4, 2)
IDS, SIGNAL = (5,), (64,)


class Case(NamedTuple):
    """How a layer is tried.

    Attributes:
        shape: of one sample.
        make: the layer, given `keras.layers`; by default a layer of this name without arguments.
        data: "floats", which pass a trained layer first, "as they are", "pixels" (0 to 255), "ids"
            or "words".
        inputs: how many tensors it takes, in a list or one by one.
    """

    shape: tuple[int, ...] = FLAT
    make: Callable[[Any], Any] | None = None
    data: str = "floats"
    inputs: int = 1
    one_by_one: bool = False


def cases() -> dict[str, Case]:
    """By the name of a layer how it is tried."""
    found: dict[str, Case] = {}
    for rank, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME)):
        of_rank = {
            "AdaptiveAveragePooling": (2,),
            "AdaptiveMaxPooling": (2,),
            "AveragePooling": (2,),
            "Conv": (3, 3),
            "ConvTranspose": (3, 3),
            "Cropping": (1,),
            "DepthwiseConv": (3,),
            "GlobalAveragePooling": (),
            "GlobalMaxPooling": (),
            "MaxPooling": (2,),
            "SeparableConv": (3, 3),
            "SpatialDropout": (0.5,),
            "UpSampling": (2,),
            "ZeroPadding": (1,),
        }
        for name, arguments in of_rank.items():
            base, transposed, _ = name.partition("Transpose")
            called = f"{base}{rank}D{transposed}"
            found[called] = Case(shape, made(called, *arguments))
        found[f"ConvLSTM{rank}D"] = Case((3, *shape), made(f"ConvLSTM{rank}D", 2, 3))
    for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"):
        found[name] = Case(inputs=2)
    for name in ("AdditiveAttention", "Attention"):
        found[name] = Case(SEQUENCE, inputs=2)
    for name, heads in (("MultiHeadAttention", (2, 2)), ("GroupQueryAttention", (2, 2, 1))):
        found[name] = Case(SEQUENCE, made(name, *heads), inputs=2, one_by_one=True)
    for name in ("GRU", "LSTM", "SimpleRNN"):
        found[name] = Case(SEQUENCE, made(name, 3))
        found[f"{name}Cell"] = Case(SEQUENCE, lambda k, n=f"{name}Cell": k.RNN(getattr(k, n)(3)))
    for name, arguments in PIXELS.items():
        found[name] = Case(IMAGE, made(name, **arguments), "pixels")
    return {**found, **OTHERS}


def made(name: str, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
    return lambda layers: getattr(layers, name)(*arguments, **options)


def _cropped(layers: Any) -> Any:
    from keras import Sequential

    # At inference images keep their size.
    return Sequential([layers.RandomCrop(height=6, width=6), layers.GlobalAveragePooling2D()])


PIXELS: dict[str, dict[str, Any]] = {
    "AugMix": {},
    "AutoContrast": {},
    "CenterCrop": {"height": 6, "width": 6},
    "ContrastLimitedAdaptiveHistogramEqualization": {"tile_grid_size": (2, 2)},
    "CutMix": {},
    "Equalization": {},
    "MixUp": {},
    "RandAugment": {},
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {},
    "RandomContrast": {"factor": 0.2},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomFlip": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2},
    "RandomInvert": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.1},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomShear": {"x_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
    "Rescaling": {"scale": 1 / 255},
    "Resizing": {"height": 5, "width": 5},
    "Solarization": {},
}

OTHERS = {
    "Activation": Case(make=made("Activation", "relu")),
    "AlphaDropout": Case(make=made("AlphaDropout", 0.5)),
    "Bidirectional": Case(SEQUENCE, lambda k: k.Bidirectional(k.LSTM(3))),
    "CategoryEncoding": Case(IDS, made("CategoryEncoding", num_tokens=7), "ids"),
    "Dense": Case(make=made("Dense", 3)),
    "Discretization": Case(
        make=made("Discretization", bin_boundaries=[-1.0, 0.0, 1.0]), data="as they are"
    ),
    "Dot": Case(make=made("Dot", axes=1), inputs=2),
    "Dropout": Case(make=made("Dropout", 0.5)),
    "EinsumDense": Case(make=made("EinsumDense", "ab,bc->ac", output_shape=3)),
    "Embedding": Case(IDS, made("Embedding", 7, 3), "ids"),
    "GaussianDropout": Case(make=made("GaussianDropout", 0.5)),
    "GaussianNoise": Case(make=made("GaussianNoise", 0.5)),
    "GroupNormalization": Case(IMAGE, made("GroupNormalization", 3)),
    "HashedCrossing": Case((1,), made("HashedCrossing", num_bins=5), "ids", inputs=2),
    "Hashing": Case(IDS, made("Hashing", num_bins=5), "ids"),
    "IntegerLookup": Case(IDS, made("IntegerLookup", vocabulary=[1, 2, 3, 4]), "ids"),
    "JaxLayer": Case(
        make=lambda k: k.JaxLayer(
            lambda params, inputs: inputs @ params,
            lambda rng, inputs: np.eye(6, 3, dtype="float32"),
        )
    ),
    "Lambda": Case(make=made("Lambda", lambda x: x * x)),
    "Masking": Case(SEQUENCE),
    "MelSpectrogram": Case(
        SIGNAL,
        made(
            "MelSpectrogram",
            num_mel_bins=4,
            fft_length=16,
            sequence_stride=8,
            sampling_rate=16,
            max_freq=8,
            min_freq=1,
        ),
        "as they are",
    ),
    "Normalization": Case(make=made("Normalization", mean=0.5, variance=2.0), data="as they are"),
    "Permute": Case(SEQUENCE, made("Permute", (2, 1))),
    "RNN": Case(SEQUENCE, lambda k: k.RNN([k.GRUCell(3), k.LSTMCell(2)])),
    "RepeatVector": Case(make=made("RepeatVector", 2)),
    "RandomCrop": Case(IMAGE, _cropped, "pixels"),
    "Reshape": Case(make=made("Reshape", (3, 2))),
    "ReversibleEmbedding": Case(IDS, made("ReversibleEmbedding", 7, 3), "ids"),
    "STFTSpectrogram": Case(
        (*SIGNAL, 1),
        # Gradients of its logarithms are without bounds.
        made("STFTSpectrogram", frame_length=16, frame_step=8, fft_length=16, trainable=False),
        "as they are",
    ),
    "SpectralNormalization": Case(make=lambda k: k.SpectralNormalization(k.Dense(3))),
    "StackedRNNCells": Case(
        SEQUENCE, lambda k: k.RNN(k.StackedRNNCells([k.LSTMCell(3), k.LSTMCell(2)]))
    ),
    "StringLookup": Case(IDS, made("StringLookup", vocabulary=["a", "b"]), "words"),
    "TextVectorization": Case((), made("TextVectorization", output_sequence_length=3), "words"),
    "TimeDistributed": Case(SEQUENCE, lambda k: k.TimeDistributed(k.Dense(3))),
    "UpSampling3D": Case((2, 2, 2, 2), made("UpSampling3D", 2)),
    "TorchModuleWrapper": Case(
        make=lambda k: k.TorchModuleWrapper(
            __import__("torch").nn.Linear(6, 3), output_shape=(None, 3)
        )
    ),
}
