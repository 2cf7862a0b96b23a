"""Operations of Keras's backends: TensorFlow, which supports everything, and JAX.

Keras layers and training use `keras.ops` and run under both. Networks, scans, transforms, sums and
likelihoods use `arrays`, and run in NumPy, too. Exports need TensorFlow: they call `require_tensorflow`.
"""

import contextlib
import contextvars
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from pixelcnn_aux.base import serialization
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.errors import OTHER_BACKEND, expect
from pixelcnn_aux.base.progress import waiting

serialization.with_keras()  # registers classes that Keras does not know yet
NAME = keras.backend.backend()
POLICIES = ("mixed_bfloat16", "mixed_float16")  # Keras's policies, for training

if NAME == "tensorflow":
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla
elif NAME == "jax":
    import jax
else:
    raise ImportError(OTHER_BACKEND.format(NAME))


_computing: int | None = None  # the process that first computed with tensors


def is_forked() -> bool:
    """Whether this process was forked from one that computed: the backend would wait for missing threads."""
    return _computing not in (None, os.getpid())


def check_not_forked() -> None:
    """Raises RuntimeError if `is_forked`. Call it before computing with tensors."""
    global _computing
    _computing = _computing or os.getpid()
    expected = f"a process that was not forked after {NAME} computed in it"
    remedy = 'Start it by multiprocessing.get_context("spawn"), or ask by="numpy"'
    expect(not is_forked(), expected, "a forked one", remedy, kind=RuntimeError)


def require_tensorflow(what: str) -> None:
    """Raises RuntimeError under another backend, with a message that `what` needs TensorFlow."""
    fits, received = NAME == "tensorflow", f"the Keras backend {NAME}"
    remedy = "Install tensorflow and set KERAS_BACKEND=tensorflow"
    expect(fits, f"TensorFlow for {what}", received, remedy, kind=RuntimeError)


def argmax(x: Tensor) -> Tensor:
    """Index of the largest along the last axis: [..., K] -> int32 [...]. Keras's ranks 0 above -0."""
    if NAME == "tensorflow":
        return tf.argmax(x, axis=-1, output_type=tf.int32)
    return jax.numpy.argmax(x, axis=-1)


def pick(x: Tensor, index: Tensor) -> Tensor:
    """The element at each index along the last axis: [B, ..., K], int32 [B] -> [B, ...], B any dimensions."""
    if NAME == "tensorflow":
        return tf.gather(x, index, axis=-1, batch_dims=len(index.shape))
    index = index[(..., *[None] * (len(x.shape) - len(index.shape)))]
    return jax.numpy.take_along_axis(x, index, axis=-1)[..., 0]


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Adds a bias per channel: [..., C], [C] -> [..., C]. TensorFlow fuses it with a convolution."""
    return tf.nn.bias_add(x, bias) if NAME == "tensorflow" else x + bias


def concat_elu(x: Tensor) -> Tensor:
    """ELU of x and of -x, concatenated: [..., C] -> [..., 2 C]."""
    if NAME != "tensorflow" or x.dtype != tf.bfloat16:
        return keras.ops.elu(keras.ops.concatenate([x, -x], axis=-1))
    # On CPUs, TensorFlow's ELU is twice as slow in bfloat16 as in float32, but twice as fast if oneDNN fuses
    # it with a product: here of x and [I, -I], which is exact.
    channels = x.shape[-1]
    signs = tf.constant(np.concatenate([np.eye(channels), -np.eye(channels)], axis=1), x.dtype)
    product = tf.matmul(tf.reshape(x, [-1, channels]), signs)
    # Product and activation are fused only with a bias. Constant zeros would be optimized away.
    zeros = tf.zeros([2 * channels], x.dtype)
    bias = tf.raw_ops.PlaceholderWithDefault(input=zeros, shape=zeros.shape)
    y = tf.nn.elu(tf.nn.bias_add(product, bias))
    return tf.reshape(y, tf.concat([tf.shape(x)[:-1], [2 * channels]], axis=0))


def lookup(table: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    """A faster `take`, for nonnegative indices: [N, ...], int [B] -> [B, ...], B any dimensions."""
    if NAME == "tensorflow":
        return tf.gather(table, index, axis=axis)
    return jax.numpy.take(table, index, axis=axis)


# Implementations of the functions of `arrays` with these names.


def pixels(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    if NAME != "tensorflow":
        return x[:, rows, columns]
    height, width, *rest = x.shape[1:]
    return tf.gather(tf.reshape(x, [-1, height * width, *rest]), rows * width + columns, axis=1)


def with_pixels(x: Tensor, rows: Tensor, columns: Tensor, y: Tensor) -> Tensor:
    if NAME != "tensorflow":
        return x.at[:, rows, columns].set(y, mode="drop")
    batch, count = tf.shape(y)[0], tf.shape(y)[1]
    parts = tf.range(batch)[:, None], rows[None], columns[None]
    index = tf.stack([tf.broadcast_to(part, [batch, count]) for part in parts], axis=-1)
    return tf.tensor_scatter_nd_update(x, index, y)


def window(x: Tensor, starts: Sequence[Any], counts: Sequence[Any]) -> Tensor:
    others = len(x.shape) - len(starts)
    starts, counts = [*starts, *[0] * others], [*counts, *[None] * others]
    if NAME == "tensorflow":
        return tf.slice(x, starts, [-1 if count is None else count for count in counts])
    sizes = [size if count is None else count for size, count in zip(x.shape, counts)]
    return jax.lax.dynamic_slice(x, starts, sizes)


def written(x: Tensor, starts: Sequence[Any], y: Tensor) -> Tensor:
    if is_for_xla():
        starts = [*starts, *[0] * (len(x.shape) - len(starts))]
        if NAME == "tensorflow":
            return xla.dynamic_update_slice(x, y, tf.stack(starts))
        return jax.lax.dynamic_update_slice(x, y, starts)
    begin, end, whole = [], [], 0
    for axis, (start, old, new) in enumerate(zip(starts, x.shape, y.shape)):
        if old == new:  # also an unknown number of images
            whole, start, new = whole | 1 << axis, 0, 1
        begin.append(start)
        end.append(start + (tf.shape(y)[axis] if new is None else new))
    # Writes in place if a loop carries x.
    written = tf.raw_ops.TensorStridedSliceUpdate(
        input=x,
        begin=tf.stack(begin),
        end=tf.stack(end),
        strides=[1] * len(begin),
        value=y,
        begin_mask=whole,
        end_mask=whole,
    )
    written.set_shape(x.shape)
    return written


def added(x: Tensor, start: int, y: Tensor) -> Tensor:
    _, count, channels = y.shape
    apart = keras.ops.stack([y, keras.ops.zeros_like(y)], axis=2)
    apart = keras.ops.reshape(apart, (-1, 2 * count, channels))
    after = x.shape[1] - start - 2 * count
    return x + keras.ops.pad(apart, ((0, 0), (start, after), (0, 0)))


def product(x: Tensor, kernel: Tensor) -> Tensor:
    """One matrix product: broadcasting the kernel is much slower."""
    *outer, channels = x.shape
    if len(outer) == 1:
        return keras.ops.matmul(x, kernel)
    if outer.count(None) > 1:
        return keras.ops.tensordot(x, kernel, axes=1)
    # `tensordot`, but with a quarter of the operations to trace.
    rows = keras.ops.matmul(keras.ops.reshape(x, (-1, channels)), kernel)
    sides = [-1 if side is None else side for side in outer]
    return keras.ops.reshape(rows, (*sides, kernel.shape[-1]))


# Operations of whole images.


def convolution(x: Tensor, kernel: Tensor, strides: int, margins: Any) -> Tensor:
    """[B, H, W, C] -> [B, H / strides, W / strides, F], padded with zeros by `kernels.margins`."""
    # Explicit padding: convolutions that pad take a slow path on CPUs.
    x = keras.ops.pad(x, ((0, 0), *margins, (0, 0)))
    return keras.ops.conv(x, kernel, strides, "valid", data_format="channels_last")


def transposed_convolution(x: Tensor, kernel: Tensor, margins: Any) -> Tensor:
    """[B, H, W, C] -> [B, 2 H, 2 W, F], by a kernel [height, width, C, F]; the margins are cut off."""
    kernel = keras.ops.swapaxes(kernel, -1, -2)
    y = keras.ops.conv_transpose(x, kernel, 2, "valid", data_format="channels_last")
    batch, height, width, _ = keras.ops.shape(x)
    (above, _), (left, _) = margins
    return keras.ops.slice(y, (0, above, left, 0), (batch, 2 * height, 2 * width, y.shape[-1]))


def row_of_convolution(rows: Sequence[Tensor], kernel: Tensor, stride: int) -> Tensor:
    """One output row of a convolution, of as many rows [B, W, C] as its kernel has: [B, w, F]."""
    x, strides = keras.ops.stack(rows, axis=1), (1, stride)
    y = keras.ops.conv(x, kernel, strides, "valid", data_format="channels_last")
    return keras.ops.squeeze(y, 1)


def read(x: Tensor) -> Tensor:
    """A tensor, or the value of a variable."""
    return tf.convert_to_tensor(x) if NAME == "tensorflow" else keras.ops.convert_to_tensor(x)


def snapshot(variable: Any) -> np.ndarray:
    """The value of a Keras variable; on CPUs without a copy, in memory that nothing writes to again."""
    x = variable.value
    if NAME != "tensorflow":
        return np.asarray(x)
    if isinstance(x, tf.Variable) and not isinstance(x, tf.distribute.DistributedValues):
        # Several times faster than `read`.
        return np.asarray(tf.raw_ops.ReadVariableOp(resource=x.handle, dtype=x.dtype))
    return np.asarray(read(x))


def trial(function: Callable[[], Tensor]) -> None:
    """Traces a function in a graph that is discarded."""
    if NAME == "tensorflow":
        tf.function(function, autograph=False).get_concrete_function()
    else:
        jax.eval_shape(function)


def uniforms(seeds: Tensor, stream: int, shape: Sequence[int], dtype: str) -> Tensor:
    """`sampling.philox.uniforms` in a graph of TensorFlow: int32 [B, 2] -> [B, *shape]."""
    # The folded seed has this dtype: 32 bits would fold many seeds to the same one.
    stream = tf.cast(stream, tf.int64)

    def of_seed(seed):
        seed = tf.random.fold_in(seed, stream, alg="philox")
        return tf.random.stateless_uniform(shape, seed, dtype=dtype, alg="philox")

    return tf.map_fn(of_seed, seeds, fn_output_signature=dtype)


def dropout(x: Tensor, rate: float, seed: Tensor) -> Tensor:
    """Sets elements to zero at a rate, and scales the others to keep the mean: [...] -> [...].

    The rate is rounded to a multiple of 1 / 256: a mask takes 8 random bits per element, a quarter of the
    bits of a uniform number. `seed` is from `replica_seed`.
    """
    dropped = round(256 * rate)  # values of a byte
    kept = _random_bytes(keras.ops.shape(x), seed) >= dropped
    return keras.ops.where(kept, x / (1.0 - dropped / 256), keras.ops.zeros_like(x))


def _random_bytes(shape, seed):
    """Uniformly distributed uint8 of a shape."""
    if NAME == "tensorflow":
        count = tf.reduce_prod(shape)
        words = [(count + 3) // 4]
        words = tf.random.stateless_uniform(words, seed, None, None, tf.uint32, alg="philox")
        return tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count], shape)
    return jax.random.bits(jax.random.wrap_key_data(seed, impl="threefry2x32"), shape, "uint8")


def replica_seed(seed: Tensor) -> Tensor:
    """Makes a seed per replica from the state of a Keras `SeedGenerator`, which all replicas share."""
    if NAME == "tensorflow":
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            # The second number counts masks, far fewer than this.
            seed += 2**32 * tf.stack([0, tf.cast(context.replica_id_in_sync_group, seed.dtype)])
    return seed


def is_symbolic(tensor: Tensor) -> bool:
    """Whether a tensor belongs to a graph that is being traced, and has no values."""
    if NAME == "tensorflow":
        return tf.is_symbolic_tensor(tensor)
    return isinstance(tensor, jax.core.Tracer)


def is_in_graph() -> bool:
    """Whether a graph of TensorFlow is being traced, where variables have no values."""
    return NAME == "tensorflow" and not tf.executing_eagerly()


_FOR_XLA = contextvars.ContextVar("for_xla", default=False)


def is_for_xla() -> bool:
    """Whether the graph that is being traced is for XLA, with constant shapes."""
    return NAME == "jax" or _FOR_XLA.get()


def on_host(function: Callable[..., Any], shape: Any, dtype: Any, *values: Any) -> Tensor:
    """A tensor of this shape from a function of NumPy arrays, which a graph calls when it runs."""
    if is_in_graph():
        return tf.ensure_shape(tf.numpy_function(function, values, dtype), shape)
    if any(map(is_symbolic, values)):
        result = jax.ShapeDtypeStruct(shape, dtype)
        return jax.pure_callback(function, result, *values, vmap_method="sequential")
    return keras.ops.convert_to_tensor(function(*map(np.asarray, values)))


def traced_shape(
    function: Callable[[Tensor], Tensor], shape: Sequence[int | None], dtype: str
) -> list[int | None]:
    """The result's shape in a graph of images [B, *shape]: None for unknown sides, [] for an unknown rank."""
    if NAME != "tensorflow":
        image = jax.ShapeDtypeStruct((1, *shape), dtype)
        return [None, *jax.eval_shape(lambda x: jax.numpy.asarray(function(x)), image).shape[1:]]
    spec = tf.TensorSpec([None, *shape], dtype)
    traced = tf.function(lambda x: tf.convert_to_tensor(function(x)), autograph=False)
    result = traced.get_concrete_function(spec).output_shapes
    return result.as_list() if result.rank is not None else []


@contextlib.contextmanager
def sums_in_order() -> Iterator[None]:
    """Context manager and decorator that keeps the order of sums in a graph; loop bodies need their own."""
    # TensorFlow would merge three terms or more into one AddN, whose order, and last digits, depend on
    # timing.
    if NAME != "tensorflow":
        yield
        return

    def mark(node):
        return tf.compat.v1.AttrValue(b=True) if node.op in ("Add", "AddV2", "AddN") else None

    # Marks sums as already processed by TensorFlow's graph optimizer.
    attributes = {"_grappler_ArithmeticOptimizer_AddOpsRewriteStage": mark}
    with tf.compat.v1.get_default_graph()._attr_scope(attributes):
        yield


def traced(function: Callable[..., Any], jit_compile: bool = False) -> Callable[..., Any]:
    """A function of (weights, *args) as graphs: of a dict of arrays, then tensors [B, ...] and plain values.

    TensorFlow traces a graph for any B for each shape without B, and for each plain value; JAX compiles one
    for each B, too. The result's attribute `any_size` is the same with TensorFlow's graphs for any height and
    width of images [B, H, W, C]. Sums are `sums_in_order`.
    """
    if NAME != "tensorflow":
        return _jitted(function)

    def of_any(sides):
        # Separate graphs: otherwise TensorFlow would use the one for any size also for known sizes.
        @sums_in_order()
        def traced(*args):
            token = _FOR_XLA.set(jit_compile or is_for_xla())
            try:
                return function(*args)
            finally:
                _FOR_XLA.reset(token)

        graphs = tf.function(traced, autograph=False, jit_compile=jit_compile)

        def any_rows(x):
            if not len(getattr(x, "shape", ())):
                return x
            unknown = 1 + sides if len(x.shape) == 4 else 1
            return tf.TensorSpec([*[None] * unknown, *x.shape[unknown:]], x.dtype)

        prepared = set()

        def call(weights, *args):
            check_not_forked()
            if tf.config.functions_run_eagerly():
                return graphs(weights, *args)
            # A plain call would trace a graph per B, and TensorFlow warns after a few.
            specs = tf.nest.map_structure(any_rows, args)
            signature = str(specs)
            is_new = signature not in prepared
            with waiting("Preparing a graph") if is_new else contextlib.nullcontext():
                prepared.add(signature)
                of_weights = tf.nest.map_structure(
                    lambda x: tf.TensorSpec(x.shape, x.dtype), weights
                )
                return graphs.get_concrete_function(of_weights, *specs)(weights, *args)

        return call

    graphs = of_any(0)
    graphs.any_size = of_any(2)  # type: ignore[attr-defined]
    return graphs


def _jitted(function):
    """`traced` by JAX."""

    @functools.partial(jax.jit, static_argnums=0)
    def with_weights(plain, weights, tensors):
        structure, leaves = plain
        tensors = iter(tensors)
        leaves = [next(tensors) if leaf is None else leaf for leaf in leaves]
        return function(weights, *jax.tree.unflatten(structure, leaves))

    def call(weights, *args):
        check_not_forked()
        leaves, structure = jax.tree.flatten(args)
        tensors = [leaf for leaf in leaves if hasattr(leaf, "shape")]
        plain = tuple(None if hasattr(leaf, "shape") else leaf for leaf in leaves)
        return with_weights((structure, plain), weights, tensors)

    call.any_size = call  # type: ignore[attr-defined]
    return call


def eagerly() -> Any:
    """Context manager in which tensors have values, also while a graph is traced."""
    return tf.init_scope() if NAME == "tensorflow" else jax.ensure_compile_time_eval()


def remat(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """function(*inputs), structures of tensors, evaluated again in the backward pass."""

    def evaluate(*leaves):
        return function(*keras.tree.pack_sequence_as(inputs, leaves))

    return keras.remat(evaluate)(*keras.tree.flatten(inputs))


def vectorized_map(function: Callable[[Tensor], Tensor], xs: Tensor) -> Tensor:
    """Applies a function to the rows of xs [N, ...] at once: work that does not depend on them is shared."""
    return keras.ops.vectorized_map(function, xs)


def check_dtype(dtype: str | None) -> None:
    """Raises ValueError for float64 under JAX without 64-bit floats, which only warns and uses float32."""
    fits = dtype != "float64" or keras.ops.dtype(keras.ops.zeros([], dtype)) == dtype
    expected = "JAX_ENABLE_X64=1 in the environment, for float64 under JAX"
    expect(fits, expected, "floats that JAX makes float32", "Set it, or take float32")
