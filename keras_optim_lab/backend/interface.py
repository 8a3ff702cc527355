"""What the package needs of a backend: the functions that each backend's module defines.

`Rows` trains populations. A row is the training of one model; a population is the same for many,
in arrays that are stacked along a first axis. `Derivatives` differentiates. All functions handed in
are pure, and take and return nested containers of tensors.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

Function = Callable[..., Any]


class Program(Protocol):
    """A compiled function whose first argument, the state, is not used again by the caller.

    Attributes:
        traces: how often the function has been traced; PyTorch, which runs it as it is, has 0.
    """

    traces: int

    def __call__(self, state: Any, *arguments: Any) -> Any: ...


class Rows(Protocol):
    """How populations are trained.

    Attributes:
        WORKERS: how many programs to run at once on the host.
        JOINS_WEIGHTS: whether a rule is faster on all weights joined to one vector.
        STATELESS_STEPS: whether a model's `train_step` is handed its state, and returns it.
        COMPILES: whether a program depends on the shapes of its examples; if not, smaller ones do.
        Program: compiles a function, given examples of its arguments; the first is given up too.
    """

    WORKERS: int
    JOINS_WEIGHTS: bool
    STATELESS_STEPS: bool
    COMPILES: bool
    Program: Callable[..., Program]

    def on_host(self) -> bool:
        """Whether tensors live in the computer's own memory."""

    def accelerators(self) -> int:
        """How many this process sees; 0 on the host."""

    def devices(self) -> list[Any]:
        """Those that programs may run on, as `keras.device` takes them."""

    def free_memory(self) -> int | None:
        """Free bytes of an accelerator; None on the host, or where the backend cannot tell.

        Where there are several, those of the one that has the least.
        """

    def prefers_vectorized(self) -> bool:
        """Whether rows in one vectorized step are faster here than rows one after the other."""

    def reuse_compiled_programs(self) -> None:
        """Spares later models of this process the compiler, where the backend needs to be told."""

    def take(self, array: Any, indices: Any) -> Any:
        """The samples of these indices, all of them within bounds."""

    def gradient(self, loss: Function) -> Function:
        """From `loss(weights, *rest) -> (value, others)` to `-> (gradients, others)`."""

    def repeated(self, function: Function) -> Function:
        """A function of tensors whose Python does the same at every call; PyTorch records it."""

    def row_gradients(self, loss: Function, repeats: bool = False) -> Function:
        """The same for stacked arguments, vectorized: each row's gradients of its own loss.

        `repeats` says whether the Python in it does the same at every call.
        """

    def row_values(self, function: Function, repeats: bool = False, shared: int = 0) -> Function:
        """As `vmap`, for what a model gives; on PyTorch large rows follow each other."""

    def vmap(self, function: Function, shared: int = 0) -> Function:
        """A function of stacked arguments that does all rows at once.

        The last `shared` arguments are not stacked: all rows are given the same.
        """

    def update_rows(self, function: Function, numbers: float) -> Function:
        """An update of stacked `(weights, gradients, state, ...) -> (weights, state)`, made fast.

        It may be called for some rows at a time, and may write into the former weights and state.
        `numbers` is how many it will have updated in the end.
        """

    def map_rows(self, function: Function, logs: list[str]) -> Function:
        """A function of stacked (state, orders) that does one row after the other.

        `function` returns the state and a dict of float32 scalars with the names `logs`.
        """

    def fori_loop(self, count: int, body: Callable[[Any, Any], Any], carry: Any) -> Any:
        """`carry = body(i, carry)` for i = 0 … count − 1, as a loop inside the program."""

    def cond(self, condition: Any, yes: Function, no: Function, state: Any) -> Any:
        """`yes(state)` or `no(state)`, without computing the other.

        Where rows are done at once both are computed; on PyTorch only if some row needs `yes`.
        """

    def noise(self, seed: Any, step: Any) -> AbstractContextManager:
        """Within it, a model draws its noise from a row's own seed."""

    def seeding(self) -> AbstractContextManager:
        """Within it, models are drawn from seeds: fast, and programs are left as they are."""

    def put_row(self, state: Any, row: Any, values: Any) -> Any:
        """The stacked state with one row replaced; the former state is not used again."""


class Derivatives(Protocol):
    """How functions are differentiated; x, v and u are vectors."""

    def compiled(self, function: Function) -> Function:
        """The function as one compiled program, where the backend compiles."""

    def precision(self, dtype: str) -> AbstractContextManager:
        """Within it, the backend computes in `dtype` where tensors have it."""

    def value_and_gradient(self, function: Function) -> Function:
        """From `function(x)`, a scalar, to `(value, gradient)`."""

    def linearize(self, function: Function, x: Any) -> tuple[Any, Function, Function]:
        """`y = function(x)`, a vector, and the products `v -> J v` and `u -> Jᵀ u`."""

    def hessian_products(self, function: Function, x: Any) -> Function:
        """`v -> H v` with the Hessian of a scalar function at x."""

    def jvp(self, function: Function, x: Any, v: Any) -> Any:
        """The derivative along v of a function that treats every row of x alone.

        It can be differentiated further.
        """

    def map_vectors(self, function: Function, vectors: Any) -> Any:
        """The function's results for each row of a matrix, stacked."""

    def normal(self, shape: tuple[int, ...], dtype: str, seed: int, step: Any) -> Any:
        """Standard normal numbers that depend on seed and step alone."""

    def signs(self, shape: tuple[int, ...], dtype: str, seed: int, step: Any) -> Any:
        """−1 and 1 with equal chances, from seed and step alone."""

    def noise_key(self) -> int:
        """A number that tells one training step's noise from another's, for `Rows.noise`."""

    def with_variables(self, model: Any, step: Function, *arguments: Any) -> Any:
        """What Keras expects of `train_step(*arguments)`, from a step that assigns variables.

        `step(data)` returns the logs.
        """


class Updater(Protocol):
    """Takes steps of weights that are variables; `now()` gives the count and what is held.

    Gradients come in the order of the weights, None for those that stay.
    """

    def run(self, gradients: list, now: Function) -> None:
        """A step in the way that is fastest here, on every device that holds the weights.

        Gradients of devices that share a batch are added up first.
        """

    def can_run_alone(self) -> bool:
        """Whether `run_alone` may be called now."""

    def run_alone(self, gradients: list, now: Function, iterations: Any) -> None:
        """A step of all weights with nothing of Keras's around it, which is then counted.

        Gradients are as they come.
        """


class Updates(Protocol):
    """What the step of an optimizer needs.

    Attributes:
        JOINED: numbers in the largest weight that is joined with others to one vector.
        Updater: from a step, and variables for weights, slots by name and shared state, to what
            takes such steps.
    """

    JOINED: int
    Updater: Callable[..., "Updater"]

    def register(self, record: type) -> None:
        """Has the backend know a class of mappings, made of a dict, as a node of trees."""

    def dense(self, gradient: Any) -> Any:
        """A dense gradient in at least float32; rows that occur twice are summed."""

    def value(self, variable: Any) -> Any:
        """A variable's value, a tensor."""

    def lerp(self, average: Any, x: Any, share: Any) -> Any:
        """(1 − share) · average + share · x with a scalar share, in one pass over memory."""

    def clip(self, x: Any, bound: float) -> Any:
        """x with what is beyond ±bound brought there, in one pass; NaN stays."""

    def eagerly(self, variable: Any) -> AbstractContextManager:
        """Within it, variables are created and assigned at once, where this one lives.

        Also while a step is traced.
        """

    def beside(self, variable: Any) -> AbstractContextManager:
        """Within it, variables are created on the devices of this one."""


class Backend(Rows, Derivatives, Updates, Protocol):
    """The module of a backend."""
