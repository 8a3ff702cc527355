"""Data sets that Keras downloads: guarded in its cache, explained where there is no network.

One that is published as IDX files is read wherever these lie: in a folder that an environment
variable names, where Debian installs them, or in the cache of Keras, in this order.

Keras deletes a cached file whose hash is wrong before it knows whether it can download another,
and a failed download surfaces as a bare exception. Here a cached file is checked before Keras
sees it, and every failure says which file belongs where.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import keras

from keras_optim_lab.keras_private import keras_home
from keras_optim_lab.tasks.built_in import idx
from keras_optim_lab.tasks.splits import Pair


@dataclass(frozen=True, kw_only=True)
class KerasDataset:
    """A module of `keras.datasets` and the files that it looks for.

    Args:
        title: what people call it.
        module: its name in `keras.datasets`.
        folder: where Keras keeps its files, relative to the cache of Keras.
        files: the names under which Keras keeps them.
        sha256: the hash that Keras insists on; such a set has one file.
        published: the name of that one file where it is published, if Keras keeps it under another.
        installed: the folder in which Debian's package has the same files, packed IDX: images and
            labels for training, then for testing.
        variable: the environment variable that names another folder with them.
    """

    title: str
    module: str
    folder: str
    files: tuple[str, ...]
    sha256: str = ""
    published: str = ""
    installed: str = ""
    variable: str = ""

    def load(self) -> tuple[Pair, Pair]:
        """Returns ((x, y) for training, (x, y) for testing) as Keras gives them.

        Raises:
            FileNotFoundError: a file is missing and cannot be downloaded.
            ValueError: a file is damaged; it is left where it is.
        """
        for folder in self._idx_folders():
            if all((folder / name).exists() for name in self.files):
                return self._read(folder)
        self._refuse_damaged()
        try:
            return getattr(keras.datasets, self.module).load_data()
        except Exception as error:
            missing = [name for name in self.files if not (self._folder() / name).exists()]
            if missing:
                raise FileNotFoundError(
                    f"{self.title} is not in the cache of Keras and could not be downloaded: "
                    f"put {self._placement(missing)}{self._other_places()}."
                ) from error
            raise ValueError(
                f"{self.title} could not be read from {self._folder()} ({error}): "
                f"replace what is damaged of {', '.join(self.files)}."
            ) from error

    def _idx_folders(self) -> list[Path]:
        """Where packed IDX files may be; only one if the environment names it."""
        if not self.installed:
            return []
        named = os.environ.get(self.variable)
        if not named:
            return [Path(self.installed), self._folder()]
        folder = Path(named).expanduser()
        missing = [name for name in self.files if not (folder / name).exists()]
        if missing:
            raise FileNotFoundError(
                f"{self.variable}={named!r}: the folder with the files of {self.title} lacks "
                f"{', '.join(missing)}. Put them there, or unset the variable."
            )
        return [folder]

    def _read(self, folder: Path) -> tuple[Pair, Pair]:
        x, y, x_test, y_test = (idx.read(folder / name) for name in self.files)
        for images, labels, name in ((x, y, self.files[1]), (x_test, y_test, self.files[3])):
            if len(images) != len(labels):
                raise ValueError(
                    f"{folder / name} has {len(labels)} labels for {len(images)} images: "
                    f"replace both files."
                )
        return (x, y), (x_test, y_test)

    def _refuse_damaged(self) -> None:
        for path in (self._folder() / name for name in self.files):
            if self.sha256 and path.exists() and sha256(path) != self.sha256:
                raise ValueError(
                    f"{path} is incomplete or not the published {self.title} (its SHA-256 is "
                    f"{sha256(path)}, not {self.sha256}), and Keras would delete it: move it "
                    f"away to download it anew, or put {self._placement(self.files)}."
                )

    def _placement(self, names: list[str] | tuple[str, ...]) -> str:
        if self.published:
            return f"{self.published} into {self._folder()} under the name {names[0]}"
        return f"{', '.join(names)} into {self._folder()}"

    def _other_places(self) -> str:
        if not self.installed:
            return ""
        package = f"dataset-{Path(self.installed).name}"
        return f", or all into a folder that {self.variable} names, or install Debian's {package}"

    def _folder(self) -> Path:
        home = Path(keras_home()).expanduser()
        if not os.access(home, os.W_OK):  # Keras then looks elsewhere, even if it could read
            home = Path("/tmp" if os.path.isdir("/tmp") else gettempdir()) / ".keras"
        return home / self.folder


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


MNIST = KerasDataset(
    title="MNIST",
    module="mnist",
    folder="datasets",
    files=("mnist.npz",),
    sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
)
FASHION_MNIST = KerasDataset(
    title="Fashion-MNIST",
    module="fashion_mnist",
    folder="datasets/fashion-mnist",
    files=(
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ),
    installed="/usr/share/datasets/fashion-mnist",
    variable="KERAS_OPTIM_LAB_FASHION_MNIST",
)
CIFAR10 = KerasDataset(
    title="CIFAR-10",
    module="cifar10",
    folder="datasets",
    files=("cifar-10-batches-py-target_archive",),
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    published="cifar-10-python.tar.gz",
)
