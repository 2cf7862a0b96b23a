"""Tests of the importers against numbers of the reference code, and of the files that they read."""

import functools
import itertools
import os
import pathlib
import pickle
import subprocess
import sys
import types
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import interop, layers, workdir
from tests import helpers

ROOT = pathlib.Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"


def archive(name):
    """An archive's arrays, and its variables under the names that the importer takes."""
    arrays = dict(np.load(DATA / f"{name}.npz", allow_pickle=False))
    variables = {k.removeprefix("var/"): v for k, v in arrays.items() if k.startswith("var/")}
    return arrays, variables


def variables_of(network):
    """The variables of a network under the reference's names, for a round trip."""
    counts, variables = {}, {}
    for layer in interop._in_order_of_creation(network):
        kind = interop._kind(layer)
        index = counts[kind] = counts.get(kind, -1) + 1
        for part, weight in (("V", layer.v), ("g", layer.g), ("b", layer.b)):
            variables[f"model/{kind}_{index}/{part}"] = weight.numpy()
    return variables


def build_once(test, constructor):
    """The importers get the same model for the same arguments until the test ends: building takes long."""
    cached = functools.cache(getattr(interop, constructor))
    test.enter_context(mock.patch.object(interop, constructor, cached))


class OpenAiPixelCnnTest(tf.test.TestCase):
    def test_agrees_with_the_reference_numbers(self):
        arrays, variables = archive("openai_pixelcnn_pp")
        model = pa.interop.openai_pixelcnn_pp(variables, image_size=(16, 16))
        params = model.factors["image"].params(arrays["image"])
        self.assertAllClose(params, arrays["out/params"], rtol=0, atol=1e-4)
        nats = -model.log_prob(arrays["image"])
        self.assertAllClose(nats, arrays["out/nll_nats_per_image"], rtol=0, atol=2e-2)

    def test_reads_filters_blocks_and_components_off_the_variables(self):
        source = pa.pixelcnn_pp((8, 8), filters=6, blocks=2, num_components=3, dropout=0.0)
        factor = source.factors["image"]
        factor.set_weights([np.random.RandomState(0).normal(size=w.shape) for w in factor.weights])
        model = pa.interop.openai_pixelcnn_pp(variables_of(factor.network), image_size=(8, 8))
        images = np.random.RandomState(1).randint(0, 256, (2, 8, 8, 3)).astype(np.uint8)
        self.assertEqual(model.config, source.config)
        self.assertAllEqual(model.log_prob(images), source.log_prob(images))

    def test_names_the_variable_that_is_wrong(self):
        _, variables = archive("openai_pixelcnn_pp")
        build_once(self, "pixelcnn_pp")
        missing = {k: v for k, v in variables.items() if k != "model/dense_3/g"}
        with self.assertRaisesRegex(ValueError, "model/dense_3/g"):
            pa.interop.openai_pixelcnn_pp(missing)
        with self.assertRaisesRegex(ValueError, "model/conv2d_7/b.*shape"):
            pa.interop.openai_pixelcnn_pp({**variables, "model/conv2d_7/b": np.zeros(9)})
        with self.assertRaisesRegex(ValueError, "model/conv2d_7/b"):
            pa.interop.openai_pixelcnn_pp({**variables, "model/conv2d_7/b": np.full(8, np.nan)})
        with self.assertRaisesRegex(ValueError, "model/extra"):
            pa.interop.openai_pixelcnn_pp({**variables, "model/extra": np.zeros(1)})
        with self.assertRaisesRegex(ValueError, "model/dense_3/V.*length 0"):
            shape = variables["model/dense_3/V"].shape
            pa.interop.openai_pixelcnn_pp({**variables, "model/dense_3/V": np.zeros(shape)})

    def test_other_networks_are_refused(self):
        _, variables = archive("openai_pixelcnn_pp")
        del variables["model/conv2d_38/V"]
        with self.assertRaisesRegex(ValueError, "24 n \\+ 15"):
            pa.interop.openai_pixelcnn_pp(variables)


# The layers of the authors' embeddings in the order of evaluation, for depth 3 with a block in a group
# and depth 1 with two.
DEPTH_3 = (
    "down_block0_0 downsample0 down_block1_0 downsample1 down_block2_0 up_block0_0 upsample0 up_block1_0 "
    "upsample1 up_block2_0 upsample2 up_block3_0 conv_representation"
).split()
DEPTH_1 = (
    "down_block0_0 down_block0_1 up_block0_0 up_block0_1 upsample0 up_block1_0 up_block1_1 "
    "conv_representation"
).split()
# The same of the autoregressive networks' two streams, with two blocks in each.
VERTICAL = ["draw_down0", "draw_down1"]
HORIZONTAL = ["draw_down_right0", "draw_down_right1"]


@functools.cache
def pyramid(scales, **arguments):
    """A pyramid with drawn weights, two blocks in a network, and images that are not square.

    Tests share it: none may change it.
    """
    size = (4 * 2 ** (scales - 1), 8 * 2 ** (scales - 1))
    model = pa.pyramid(size, (4, 8), blocks=2, dropout=0.0, **arguments)
    for seed, factor in enumerate(model.factors.values()):
        helpers.randomize(factor, seed)
    return model


def layer_variables(layer, name):
    v, g, b = layer.v.numpy(), layer.g.numpy(), layer.b.numpy()
    if v.ndim == 2:
        v = v[None, None]
    if "upsample" in name:
        # What they normalize over axes 0, 1, 2, and multiply by g along axis 3, is the kernel again.
        v = 3 * layer.kernel().numpy()
        g = np.sqrt(np.sum(np.square(v / 3), axis=(0, 1, 2)))
    return {f"{name}/V": v, f"{name}/g": g, f"{name}/b": b}


def block_variables(block, name):
    found = {}
    for part, layer in (("conv1", block.conv_in), ("conv2", block.conv_out)):
        found |= layer_variables(layer, f"{name}/{part}")
    if block.projection.built:
        found |= layer_variables(block.projection, f"{name}/conv_aux")
    return found


def authors_variables(model, embedding_names=()):
    """The variables of a pyramid under the authors' names."""
    found = {}
    for scale, factor in enumerate([*model.factors.values()][::-1]):
        network, scale = factor.network, f"Resnet/scale{scale}"
        steps = [*zip(VERTICAL, network.vertical.steps, strict=True)]
        steps += zip(HORIZONTAL, network.horizontal.steps, strict=True)
        steps += [("conv_down", network.above), ("conv_down_2", network.row_above)]
        steps += [("conv_down_right", network.left), ("conv_last", network.last)]
        if factor.embedding:
            steps.append(("conv_first", factor.embedding.first))
            steps += zip(embedding_names, factor.embedding.stream.steps, strict=True)
        for name, layer in steps:
            variables = block_variables if "block" in name or "draw" in name else layer_variables
            found |= variables(layer, f"{scale}/{name}")
    return found


@functools.cache
def reference():
    """The archive of the authors' numbers, and the model of its variables: no test may change it."""
    arrays, variables = archive("authors_pyramid")
    return arrays, variables, pa.interop.authors_pyramid(variables)


def kernels_and_biases(model):
    """All that the numbers of a model depend on, beside its description."""
    for factor in model.factors.values():
        for layer in layers.normalized_layers(factor):
            yield layers.WeightNorm.kernel(layer)
            yield layer.b


class AuthorsPyramidTest(tf.test.TestCase):
    def test_agrees_with_the_reference_numbers(self):
        arrays, _, model = reference()
        self.assertEqual(model.sizes(), {"8x8": (8, 8), "16x16": (16, 16)})

        def images(key):
            pixels = arrays[key] * 127.5 + 127.5
            self.assertAllClose(pixels, np.round(pixels), rtol=0, atol=1e-3)
            return np.round(pixels).astype(np.uint8)

        image, seed = images("out/scale0/x"), images("out/scale0/seed")
        self.assertAllEqual(image, arrays["image"])
        fine, base = model.factors["16x16"], model.factors["8x8"]
        [features] = fine.features(seed)
        for value, key in (
            (features, "out/scale0/embedding"),
            (fine.params(image, seed), "out/scale0/params"),
            (base.params(images("out/scale1/x")), "out/scale1/params"),
        ):
            self.assertAllClose(value, arrays[key], rtol=0, atol=1e-4, msg=key)

    def test_reads_every_hyper_parameter_off_the_variables(self):
        for names, source in (
            (DEPTH_3, pyramid(3, filters=5, embedding_blocks=1, depth=3, num_components=2)),
            (DEPTH_1, pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1)),
            ((), pyramid(1, filters=4, num_components=3)),
        ):
            with self.subTest(names=names):
                variables = authors_variables(source, names)
                model = pa.interop.authors_pyramid(variables, base_size=(4, 8))
                self.assertEqual(model.config, source.config)
                for found, expected in zip(
                    kernels_and_biases(model), kernels_and_biases(source), strict=True
                ):
                    self.assertAllClose(found, expected, rtol=1e-5)

    def test_transposed_kernels_of_zeros(self):
        source = pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1)
        variables = authors_variables(source, DEPTH_1)
        variables["Resnet/scale0/upsample0/g"] = np.zeros(3, np.float32)
        model = pa.interop.authors_pyramid(variables, base_size=(4, 8))
        kernel = model.factors["8x16"].embedding.stream.steps[DEPTH_1.index("upsample0")].kernel()
        self.assertAllEqual(kernel, np.zeros([3, 3, 3, 3]))

    def test_names_the_variable_that_is_wrong(self):
        variables = authors_variables(
            pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1), DEPTH_1
        )

        def check(message, name, array=None):
            """One array instead of another, or besides; or without those whose names begin so."""
            changed = {k: v for k, v in variables.items() if not k.startswith(name)}
            if array is not None:
                changed = {**variables, name: array}
            with self.subTest(name=name, message=message):
                with self.assertRaisesRegex(ValueError, message):
                    pa.interop.authors_pyramid(changed, base_size=(4, 8))

        build_once(self, "pyramid")
        check("up_block1_0/conv2/g'. Received none", "Resnet/scale0/up_block1_0/conv2/g")
        check("up_block0_0/conv_aux/V'. Received none", "Resnet/scale0/up_block0_0/conv_aux/")
        check("up_block0_1/conv1/V'. Received none", "Resnet/scale0/up_block0_1/")
        check("scale1/draw_down_right1/conv1/V'. Rec", "Resnet/scale1/draw_down_right1/")
        check("scale1/conv_last/V'. Received none", "Resnet/scale1/conv_last/V")
        check("Resnet/scale.*Received: 0 others", "Resnet/")
        for name, array in (
            ("Resnet/scale0/upsample0/g", np.zeros(4)),
            ("Resnet/scale0/draw_down0/conv1/V", np.zeros([3, 3, 6, 4])),
            ("Resnet/scale1/conv_last/V", np.zeros([1, 1, 3, 13])),
            ("Resnet/scale1/conv_last/V", np.zeros([])),
            ("Resnet/scale1/draw_down_right0/conv_aux/V", np.zeros([6, 3])),
            ("Resnet/scale0/conv_first/b", np.zeros(3, np.int32)),
            ("Resnet/scale0/conv_first/b", np.full(3, np.inf)),
            ("Resnet/scale0/conv_first/b", np.full(3, 1e300)),
            ("Resnet/scale0/conv_first/b", np.array([None] * 3)),
        ):
            check(f"Expected finite floats of shape .*{name}", name, array)
        check("conv_first/V.*length 0", "Resnet/scale0/conv_first/V", np.zeros([3, 3, 3, 3]))
        check("upsample0/V.*length 0", "Resnet/scale0/upsample0/V", np.zeros([3, 3, 3, 3]))
        for name in ("Resnet/scale0/upsample1/b", "Resnet/scale1/conv_first/b", "step"):
            check(f"Received also: .*{name}", name, np.zeros(3))

    def test_a_base_that_the_embeddings_cannot_halve(self):
        _, variables = archive("authors_pyramid")
        with self.assertRaisesRegex(ValueError, r"multiples of 2.*Received: \(7, 8\)"):
            pa.interop.authors_pyramid(variables, base_size=(7, 8))


def python_2_pickle(variables):
    """A list of (name, array) as Python 2 and its numpy pickle it with protocol 2: all strings are bytes."""

    def string(data):
        if len(data) < 256:
            return b"U" + bytes([len(data)]) + data
        return b"T" + len(data).to_bytes(4, "little") + data

    def number(value):
        return b"J" + value.to_bytes(4, "little", signed=True)

    def pair(name, array):
        dtype = b"cnumpy\ndtype\n" + string(array.dtype.str[1:].encode()) + b"K\0K\1\x87R"
        dtype += b"(K\3" + string(b"<") + b"NNN" + number(-1) + number(-1) + b"K\0tb"
        shape = b"(" + b"".join(map(number, array.shape)) + b"t"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + string(b"b")
        state = b"(K\1" + shape + dtype + b"\x89" + string(array.tobytes()) + b"t"
        return string(name.encode()) + empty + b"\x87R" + state + b"b\x86"

    pairs = [pair(f"{name}:0", array) for name, array in variables.items()]
    return b"\x80\x02](" + b"".join(pairs) + b"e."


class Command:
    """Runs a command where it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class ReadVariablesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        random = np.random.default_rng(0)
        self.variables = {
            "a/V": random.normal(size=(2, 3, 5, 7)).astype(np.float32),  # of all bytes
            "a/g": np.asfortranarray(random.normal(size=(3, 4))),
            "a/b": np.array([1.5], ">f4"),
        }

    def read(self, contents):
        file = self.folder / "model.pickle"
        file.write_bytes(contents)
        return pa.interop.read_variables(file)

    def assert_refused(self, contents, message):
        with self.assertRaisesRegex(ValueError, f"model.pickle.*{message}"):
            self.read(contents)

    def assert_same(self, found, expected):
        self.assertEqual(list(found), list(expected))
        for name, array in expected.items():
            self.assertAllEqual(found[name], array)

    def test_pickles_of_python_2(self):
        little = {name: array.astype("<f4") for name, array in self.variables.items()}
        self.assertGreater(max(little["a/V"].tobytes()), 127)
        self.assert_same(self.read(python_2_pickle(little)), little)

    def test_pickles_of_python_3(self):
        for protocol, suffix in itertools.product(range(5), ("", ":0")):
            with self.subTest(protocol=protocol, suffix=suffix):
                pairs = [(name + suffix, array) for name, array in self.variables.items()]
                self.assert_same(self.read(pickle.dumps(pairs, protocol)), self.variables)
        pairs = [(name.encode(), array) for name, array in self.variables.items()]
        self.assert_same(self.read(pickle.dumps(pairs, 2)), self.variables)
        scalar = self.read(pickle.dumps([("step", np.float32(3))], 2))
        self.assert_same(scalar, {"step": np.float32(3)})

    def test_npz(self):
        file = self.folder / "variables.npz"
        np.savez(file, **self.variables)
        self.assert_same(pa.interop.read_variables(file), self.variables)
        prefixed = {f"var/{name}": array for name, array in self.variables.items()}
        np.savez(file, **prefixed, image=np.zeros(3))
        self.assert_same(pa.interop.read_variables(file), self.variables)

    def test_what_a_pickle_names_is_not_called(self):
        marker = self.folder / "marker"
        for protocol in range(5):
            with self.subTest(protocol=protocol):
                hostile = pickle.dumps([("a", Command(f"touch {marker}"))], protocol)
                self.assert_refused(hostile, f"'{os.system.__module__}.system', refused")
                self.assertFalse(marker.exists())
                pickle.loads(hostile)  # It would have.
                self.assertTrue(marker.exists())
                marker.unlink()
        for name in (
            "builtins\neval",
            "numpy\nload",
            "numpy\nndarray.tofile",
            "numpy.core.multiarray\nfromfile",
        ):
            message = name.replace("\n", ".") + "', refused"
            self.assert_refused(f"c{name}\n.".encode(), message)

    def test_arrays_of_anything_but_floats_name_the_variable(self):
        for array in (np.array([1.0, None]), np.array([b"ab"]), np.array([(1, 2)], "f4,f4")):
            with self.subTest(dtype=array.dtype):
                pairs = [("good", self.variables["a/V"]), ("bad", array)]
                self.assert_refused(pickle.dumps(pairs, 2), "Expected floats in 'bad'")
        # Bytes that numpy would take for the addresses of objects.
        addresses = b"cnumpy\nndarray\n(K\1\x85U\1OU\x08" + bytes(8) + b"tR"
        self.assert_refused(b"\x80\2]U\3bad" + addresses + b"\x86a.", "damaged")
        array = b"cnumpy\nndarray\n)RK\1K\1\x85cnumpy\ndtype\nU\1O\x85R\x89U\x08" + bytes(8)
        state = array.replace(b"RK", b"R(K", 1) + b"tb"
        self.assert_refused(b"\x80\2]U\3bad" + state + b"\x86a.", "Expected floats in 'bad'")

    def test_other_contents(self):
        for contents, message in (
            ([("a", 1.0)], "Expected an array in 'a'. Received: 1.0"),
            (
                [("a", np.zeros(1)), (b"a:0", np.zeros(1))],
                "Expected one variable 'a'. Received: sev",
            ),
            ([(1, np.zeros(1))], "damaged"),
            ([np.zeros(1)], "damaged"),
            (7, "damaged"),
        ):
            with self.subTest(contents=contents):
                self.assert_refused(pickle.dumps(contents, 2), message)

    def test_damaged_files(self):
        whole = pickle.dumps([*self.variables.items()], 2)
        for length in range(0, len(whole) - 1, 7):
            self.assert_refused(whole[:length], "damaged")
        random = np.random.default_rng(0)
        for _ in range(300):  # It may read other numbers, but raises nothing else.
            damaged = bytearray(whole)
            damaged[random.integers(len(whole))] = random.choice([*b"\0\xff(.NRbt"])
            try:
                self.read(bytes(damaged))
            except ValueError as error:
                self.assertIn("model.pickle", str(error))
        file = self.folder / "whole.npz"
        np.savez(file, **self.variables)
        self.assert_refused(file.read_bytes()[:-30], "damaged")
        np.savez(file, a=np.array([None]))
        self.assert_refused(file.read_bytes(), "damaged.*allow_pickle=False")
        self.assert_refused(b"Expected weights", "damaged")
        with self.assertRaisesRegex(FileNotFoundError, "none.npz, which is no file"):
            pa.interop.read_variables(self.folder / "none.npz")


class ProgramTest(tf.test.TestCase):
    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "pixelcnn_aux.interop", *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_makes_a_workdir_of_either_file(self):
        folder = helpers.temporary_folder(self)
        arrays, variables, expected = reference()
        npz, model, hostile = (
            DATA / "authors_pyramid.npz",
            folder / "model.pickle",
            folder / "hostile.pickle",
        )
        model.write_bytes(python_2_pickle(variables))
        hostile.write_bytes(pickle.dumps([Command("true")], 2))
        programs = [
            self.start(npz, "--workdir", folder / "npz"),
            self.start(model, "--workdir", folder / "pickle", "--base_size=4x8"),
            self.start(hostile, "--workdir", folder / "none"),
        ]
        outputs = [program.communicate(timeout=300) for program in programs]
        self.assertEqual([program.returncode for program in programs], [0, 0, 1], outputs)
        self.assertIn("with the factors 8x8, 16x16", outputs[0][0])
        self.assertIn(f"{os.system.__module__}.system", outputs[2][1].splitlines()[-1])
        self.assertFalse((folder / "none").exists())
        for _, errors in outputs:
            self.assertNotIn("Traceback", errors)
            self.assertNotIn("RuntimeWarning", errors)
        for name, size in (("npz", (16, 16)), ("pickle", (8, 16))):
            loaded = pa.load(folder / name)
            self.assertEqual((loaded.image_size, loaded.untrained), (size, ()))
            log_prob = loaded.log_prob(arrays["image"])
            self.assertAllEqual(log_prob, expected.log_prob(arrays["image"]))
        config = workdir.read(folder / "pickle")
        self.assertEqual((config["preset"], config["dataset"]), ("model", "celeb_a"))
        self.assertIsNone(config["image_dir"])

    def test_refuses_a_workdir_of_something_else(self):
        folder = helpers.temporary_folder(self)
        variables = authors_variables(pyramid(1, filters=2, num_components=1))
        values = types.SimpleNamespace(workdir=str(folder / "run"), base_size="4x8")
        self.enter_context(mock.patch.object(interop, "FLAGS", values))

        def run(subfolder):
            (folder / subfolder).mkdir(exist_ok=True)
            file = folder / subfolder / "model.npz"
            np.savez(file, **variables)
            interop._main(str(file))

        run("one")
        run("one")  # The same once more.
        before = helpers.contents(folder / "run")
        variables["Resnet/scale0/conv_last/b"] += 1
        with self.assertRaisesRegex(ValueError, "Choose another --workdir"):
            run("another")
        self.assertEqual(helpers.contents(folder / "run"), before)
        values.workdir = str(folder / "one")
        with self.assertRaisesRegex(ValueError, "holds other things"):
            run("another")
        self.assertEqual(list(helpers.contents(folder / "one")), ["model.npz"])
        for values.base_size in ("0", "8x", "8x8x8", "-8"):
            with self.assertRaisesRegex(ValueError, "--base_size as a side or HxW"):
                run("another")


if __name__ == "__main__":
    tf.test.main()
