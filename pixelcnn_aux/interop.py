"""Weights of the reference implementations, brought into this package's networks.

As a program, it makes a workdir of the pyramid that the paper's authors published:
python -m pixelcnn_aux.interop model.pickle --workdir runs/authors. Afterwards: python -m evaluate.bpd.
"""

import collections
import hashlib
import pathlib
import pickle
import re
import statistics
import warnings

import numpy as np
from absl import flags

from pixelcnn_aux import layers, program, workdir
from pixelcnn_aux.models import pixelcnn_pp, pyramid

FLAGS = flags.FLAGS

# As a program this module runs once more than its package has imported it, which does no harm.
warnings.filterwarnings("ignore", "'pixelcnn_aux.interop' found in sys.modules", RuntimeWarning)


def openai_pixelcnn_pp(variables, image_size=(32, 32)):
    """The OpenAI PixelCNN++ (Salimans et al., 2017), unconditional.

    Filters, blocks in a segment and mixture components are read off names and shapes.

    Args:
      variables: dict, "model/KIND_K/NAME" -> array, where KIND is "conv2d", "deconv2d" or "dense" and
        K counts each kind in the order of creation; NAME is "V", "g" or "b".
      image_size: (H, W) that the model samples.

    Returns:
      `AuxiliaryModel` with one factor, "image".

    Raises:
      ValueError: naming the variable, where one is missing, left over, not finite or of another shape;
        or where they are not those of a PixelCNN++ at three resolutions.
    """
    names = re.compile(r"model/conv2d_\d+/V")
    convolutions = sum(bool(names.fullmatch(name)) for name in variables)
    # First convolutions and resamplings have 7; 2 streams of 2 are in each of 6 n + 2 blocks.
    blocks, remainder = divmod(convolutions - 15, 24)
    if blocks < 1 or remainder:
        raise ValueError(
            "Expected 24 n + 15 convolutions model/conv2d_K/V, as PixelCNN++ with n blocks in a "
            f"segment has at three resolutions. Received: {convolutions}"
        )
    variables = _Variables(variables)
    filters = variables.shape("model/conv2d_0/V")[-1]
    num_params = max(variables.shape(name)[-1] for name in variables if "/dense_" in name)
    model = pixelcnn_pp(image_size, filters, blocks, num_components=num_params // 10, dropout=0.0)

    counts = collections.Counter()
    for layer in _in_order_of_creation(model.factors["image"].network):
        kind = _kind(layer)
        variables.assign(layer, f"model/{kind}_{counts[kind]}")
        counts[kind] += 1
    variables.check()
    return model


def authors_pyramid(variables, base_size=(8, 8)):
    """The pyramid that the paper's authors published (section 4.2).

    Scales, filters, blocks, the embeddings' depth and mixture components are read off names and shapes.

    Args:
      variables: dict, "Resnet/scaleK/NAME" -> array, where scale 0 is the finest and the last one the
        unconditional base; NAME ends in "V", "g" or "b".
      base_size: (H, W) of the base; each scale before it has twice the height and width.

    Returns:
      `AuxiliaryModel` with a factor for each scale, as of `pyramid`.

    Raises:
      ValueError: naming the variable, where one is missing, left over, not finite or of another shape;
        or for a base size that the embeddings cannot halve.
    """
    variables = _Variables(variables, product_axes=(1, 1))
    scales = variables.count(r"Resnet/scale(\d+)/.*")
    depth = embedding_blocks = 1
    if scales > 1:
        depth = variables.count(r"Resnet/scale\d+/down_block(\d+)_\d+/.*")
        embedding_blocks = variables.count(r"Resnet/scale\d+/(?:down|up)_block\d+_(\d+)/.*")
    multiple = 2 ** (depth - 1)
    if any(side % multiple for side in base_size):
        raise ValueError(
            f"Expected a base size of multiples of {multiple}, since the embeddings halve it "
            f"{depth - 1} times. Received: {tuple(base_size)}"
        )
    num_params = variables.channels(r"Resnet/scale\d+/conv_last/V")
    model = pyramid(
        image_size=tuple(side * 2 ** (scales - 1) for side in base_size),
        base_size=tuple(base_size),
        filters=variables.channels(r"Resnet/scale\d+/draw_down\d+/conv1/V"),
        blocks=variables.count(r"Resnet/scale\d+/draw_down(\d+)/.*"),
        embedding_blocks=embedding_blocks,
        depth=depth,
        num_components=max(1, num_params // 10),
        dropout=0.0,
    )
    for scale, factor in enumerate(reversed(model.factors.values())):
        for name, layer in _by_authors_names(factor, embedding_blocks, depth):
            variables.assign(layer, f"Resnet/scale{scale}/{name}")
            if isinstance(layer, layers.WeightNormConv2DTranspose):
                _normalize_as_authors(layer)
    variables.check()
    return model


def _by_authors_names(factor, embedding_blocks, depth):
    """Pairs of a name under a scale of the authors' and the weight-normalized layer of a factor."""
    network, embedding = factor.network, factor.embedding
    steps = [("conv_down", network.above)]
    steps += [("conv_down_2", network.row_above), ("conv_down_right", network.left)]
    for name, stream in (("draw_down", network.vertical), ("draw_down_right", network.horizontal)):
        steps += [(f"{name}{k}", step) for k, step in enumerate(stream.steps)]
    steps.append(("conv_last", network.last))
    if embedding is not None:
        names = _embedding_names(embedding_blocks, depth)
        steps += zip(names, [embedding.first, *embedding.stream.steps], strict=True)
    for name, step in steps:
        for part, layer in _parts(step).items():
            yield name + part, layer


def _embedding_names(blocks, depth):
    yield "conv_first"
    for way, groups in (("down", depth), ("up", depth + 1)):
        for group in range(groups):
            yield from (f"{way}_block{group}_{k}" for k in range(blocks))
            if group < groups - 1:
                yield f"{way}sample{group}"
    yield "conv_representation"


def _normalize_as_authors(layer):
    """Gives a transposed convolution the kernel that the authors' code makes of its `v` and `g`.

    Their kernel is [height, width, out, in] like ours, but they normalize it over axes 0, 1 and 2 and apply
    `g` along the last one.
    """
    v, g = layer.v.numpy(), layer.g.numpy()
    # Zeros divided by their length of 0 are not let through in the end.
    with np.errstate(invalid="ignore"):
        kernel = g * v / np.sqrt(np.sum(np.square(v), axis=(0, 1, 2)))
    lengths = np.sqrt(np.sum(np.square(kernel), axis=(0, 1, 3), keepdims=True))
    # Of a kernel of zeros, the length says so: any direction will do.
    layer.v.assign(np.where(lengths == 0, 1.0, kernel))
    layer.g.assign(np.ravel(lengths))


def _in_order_of_creation(network):
    """The weight-normalized layers of a PixelCNN, step by step, the vertical stream's first."""
    yield from (network.above, network.row_above, network.left)
    for steps in zip(network.vertical.steps, network.horizontal.steps):
        for step in steps:
            yield from _parts(step).values()
    yield network.last


def _parts(step):
    """The weight-normalized layers of a step in their order of creation, by the authors' names."""
    if not isinstance(step, layers.GatedResidualBlock):
        return {"": step}
    parts = {"/conv1": step.conv_in, "/conv_aux": step.projection, "/conv2": step.conv_out}
    return {name: layer for name, layer in parts.items() if layer.built}


def _kind(layer):
    if isinstance(layer, (layers.WeightNormDense, layers.Projection)):
        return "dense"
    if isinstance(layer, layers.WeightNormConv2DTranspose):
        return "deconv2d"
    return "conv2d"


class _Variables(dict):
    """The arrays of an importer, each to be used once.

    Args:
      variables: dict, name -> array.
      product_axes: tuple of 1s, the axes that the kernel of a 1 x 1 convolution has before [in, out].
    """

    def __init__(self, variables, product_axes=()):
        super().__init__(variables)
        self.product_axes = product_axes
        self.layers = {}

    def matching(self, pattern):
        """The matches of all names that match a pattern, at least one."""
        matches = [match for name in self if (match := re.fullmatch(pattern, name))]
        if not matches:
            raise ValueError(
                f"Expected variables with names that match {pattern}. Received: {len(self)} others"
            )
        return matches

    def count(self, pattern):
        """How many numbers there are for the group of a pattern: a number left out is found missing."""
        return len({match[1] for match in self.matching(pattern)})

    def channels(self, pattern):
        """The last axis of most variables that match a pattern: another one is found to be wrong."""
        shapes = [self.shape(match[0]) for match in self.matching(pattern)]
        return max(1, statistics.mode(shape[-1] if shape else 0 for shape in shapes))

    def shape(self, name):
        if name not in self:
            raise ValueError(f"Expected a variable {name!r}. Received none of that name.")
        return np.shape(self[name])

    def read(self, name, expected):
        """float32 array of the variable of that name, which is finite and of that shape."""
        shape, array = self.shape(name), np.asarray(self[name])
        if shape == expected and array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                floats = array.astype(np.float32)
            if np.isfinite(floats).all():
                return floats
        raise ValueError(
            f"Expected finite floats of shape {expected} in {name!r}. "
            f"Received: {array.dtype} of shape {shape}"
        )

    def assign(self, layer, name):
        for weight, part in ((layer.v, "V"), (layer.g, "g"), (layer.b, "b")):
            shape = tuple(weight.shape)
            axes = self.product_axes if len(shape) == 2 else ()
            weight.assign(self.read(f"{name}/{part}", axes + shape).reshape(shape))
        self.layers[name] = layer

    def check(self):
        """Raises ValueError where a variable was not used, or a kernel has no direction."""
        used = {f"{name}/{part}" for name in self.layers for part in "Vgb"}
        left_over = sorted(set(self) - used)
        if left_over:
            raise ValueError(
                f"Expected no variables but those of the network. Received also: {left_over[:5]}"
            )
        for name, layer in self.layers.items():
            if not np.isfinite(layers.WeightNorm.kernel(layer)).all():
                raise ValueError(
                    f"Expected a direction for each channel in '{name}/V'. Received: one of length 0"
                )


def read_variables(file):
    """The variables in a file: the `model.pickle` of the paper's authors, or an .npz.

    A pickle is a list of (name, array), from Python 2 or 3. Nothing that it names is called or imported, and
    where it names anything but numpy's arrays it is refused.

    Args:
      file: path. In an .npz, the variables are the arrays under "var/", or all if none is.

    Returns:
      dict, name -> array, without the ":0" that TensorFlow appends to names.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: naming the file, if it is neither, or damaged, or its pickle names something else.
    """
    file = pathlib.Path(file)
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected a file of variables, model.pickle or an .npz. Received: {file}, which is no file."
        )
    with open(file, "rb") as opened:
        is_npz = opened.read(2) == b"PK"
        opened.seek(0)
        try:
            return dict(_unique(_npz(opened) if is_npz else _pickled(opened)))
        except Exception as error:  # Damaged bytes raise whatever they happen to spell.
            raise ValueError(
                f"Expected a pickle of (name, array of floats) or an .npz in {file}. Received a file that "
                f"is neither, or damaged ({type(error).__name__}: {error})"
            ) from error


def _unique(pairs):
    names = set()
    for name, array in pairs:
        name = name.decode() if isinstance(name, bytes) else name
        name = name.removesuffix(":0")
        if name in names:
            raise ValueError(f"Expected one variable {name!r}. Received: several")
        names.add(name)
        yield name, array


def _npz(opened):
    with np.load(opened, allow_pickle=False) as archive:
        prefix = "var/" if any(name.startswith("var/") for name in archive) else ""
        for name in archive:
            if name.startswith(prefix):
                yield name.removeprefix(prefix), archive[name]


def _pickled(opened):
    # Python 2 pickled bytes, those of the arrays too, as its strings.
    for name, array in _Unpickler(opened, encoding="latin1").load():
        if not isinstance(array, _PickledArray):
            raise ValueError(f"Expected an array in {name!r}. Received: {array!r:.80}")
        yield name, array.floats(name)


class _PickledDtype:
    """Stands for `numpy.dtype`: a code such as "f4", and an order of bytes."""

    order = "="

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        self.order = state[1]


class _PickledArray:
    """Stands for `numpy.ndarray`: the parts of an array of floats.

    numpy's own functions trust their arguments, and can be made to take bytes of a file for objects.
    """

    def __init__(self, *_):
        pass  # All that counts is in the state.

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.data = state

    def floats(self, name):
        """The array, which is the variable `name`. Raises ValueError for other data."""
        dtype = f"{self.dtype.order}{self.dtype.code}"
        if not re.fullmatch("[<>=|]f[248]", dtype) or not isinstance(self.data, (bytes, str)):
            raise ValueError(f"Expected floats in {name!r}. Received: an array of {dtype!r:.40}")
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        return np.frombuffer(data, dtype).reshape(self.shape, order="F" if self.fortran else "C")


def _pickled_scalar(dtype, data):
    array = _PickledArray()
    array.__setstate__((1, (), dtype, False, data))
    return array


def _pickled_bytes(text, _):
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Reads lists, numbers and strings, and arrays as the parts that stand for them."""

    # What a pickled array names -> what stands for it. NumPy 2 has moved the module of the functions.
    stand_ins = {
        "numpy.ndarray": _PickledArray,
        "numpy.dtype": _PickledDtype,
        "numpy.core.multiarray._reconstruct": _PickledArray,
        "numpy.core.multiarray.scalar": _pickled_scalar,
        "numpy._core.multiarray._reconstruct": _PickledArray,
        "numpy._core.multiarray.scalar": _pickled_scalar,
        "_codecs.encode": _pickled_bytes,  # Python 3 writes bytes so for Python 2
    }

    def find_class(self, module, name):
        found = f"{module}.{name}"
        if found not in self.stand_ins:
            raise pickle.UnpicklingError(f"Expected arrays alone. Received: {found!r}, refused")
        return self.stand_ins[found]


def _main(file):
    size = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", FLAGS.base_size)
    if not size:
        raise ValueError(
            f"Expected --base_size as a side or HxW, such as 8 or 8x16. Received: {FLAGS.base_size}"
        )
    model = authors_pyramid(read_variables(file), (int(size[1]), int(size[2] or size[1])))
    file, folder = pathlib.Path(file), pathlib.Path(FLAGS.workdir)
    workdir.create(
        folder,
        {
            "program": "interop",
            "preset": file.stem,
            "dataset": "celeb_a",
            "image_dir": None,
            "seed": None,
            "training": {},
            # So that weights of another file are not taken for these.
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "model": model.description(),
        },
    )
    for name, factor in model.factors.items():
        workdir.save_weights(folder, name, factor)
    print(f"Wrote {folder}, with the factors {', '.join(model.factors)}")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "The folder to make.", required=True)
    flags.DEFINE_string("base_size", "8", "Of the smallest images: a side, or HxW.")
    program.run(_main, ["FILE"])
