"""Tests of exports: answers and errors, in Python and under the server's C++ loader."""

import base64
import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import types
import unittest
from unittest import mock

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

import pixelcnn_aux as pa
from pixelcnn_aux.base import disk
from pixelcnn_aux.commands import chosen_run, export as export_program
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.serving import exporting, verify
from pixelcnn_aux.serving.exporting import export
from pixelcnn_aux.serving.interface import Tensor, signatures_of_chain
from pixelcnn_aux.serving.signatures import images_of, signatures
from tests import helpers
from tests.codec import helpers as codec_helpers
from tests.serving import loader, model_server

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"
MAX_BATCH = 16
SEEDS = np.array([[3, index] for index in range(5)], np.int32)
NO_SHIFT = np.zeros(5, np.float32)
IMAGES = helpers.pictures(5)
FLOATS = np.minimum(IMAGES + np.float32(0.3), 255)
MASK = np.zeros((5, *helpers.SIZE, 1), np.uint8)
MASK[:, :2] = 1
GRAYS = pa.auxiliary.Grayscale()(IMAGES)


def requests():
    """A request for each signature."""
    sample = {"seed": SEEDS, "log_scale_shift": np.linspace(-1.0, 0.0, 5, dtype=np.float32)}
    return {
        "serving_default": sample,
        "sample": sample,
        "map": sample,
        "given_grayscale": {**sample, "auxiliary": GRAYS},
        "complete": {**sample, "image": IMAGES, "mask": MASK},
        "log_prob": {"image": IMAGES},
        "log_density_and_gradient": {"image": FLOATS},
        "auxiliaries": {"image": IMAGES},
    }


NAMES = [*requests()][1:]  # of all signatures, but for serving_default


@functools.cache
def exported():
    """A run, its export and the answers to verification requests, made once since it is slow."""
    kept = tempfile.TemporaryDirectory()
    run, model = pathlib.Path(kept.name) / "tiny", helpers.randomized(helpers.tiny_model())
    helpers.make_run(run, model, ["grayscale", "image"])
    with mock.patch.object(exporting, "verify"):  # by tests of its own
        path = export(run, run.with_name("models"), max_batch=MAX_BATCH)
    signatures = tf.saved_model.load(str(path)).signatures
    received = helpers.answers(signatures, verify._requests(model, NAMES))
    return types.SimpleNamespace(
        run=run, path=path, received=received, signatures=signatures, kept=kept
    )


class ExportTestCase(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.run_folder, cls.path = exported().run, exported().path
        cls.model = pa.load(cls.run_folder)

    def call(self, signature, **inputs):
        """Outputs of a signature in this process: dict of arrays."""
        inputs = {name: tf.constant(x) for name, x in inputs.items()}
        return {k: v.numpy() for k, v in exported().signatures[signature](**inputs).items()}


def check_tensors(test, functions, model):
    """Asserts that functions have the inputs and outputs of `signatures_of_chain`."""
    expected = signatures_of_chain(images_of(model), model.condition)
    for name in functions:
        inputs, outputs = expected[name]
        _, received = functions[name].structured_input_signature
        returned = functions[name].structured_outputs
        for tensors, found in ((inputs, received), (outputs, returned)):
            test.assertCountEqual(found, tensors, name)
            for key, (dtype, shape, _) in tensors.items():
                test.assertEqual(found[key].dtype, dtype)
                test.assertEqual(tuple(found[key].shape[1:]), shape, (name, key))


class SignaturesTest(ExportTestCase):
    def test_draws_are_the_models(self):
        shifts = requests()["sample"]["log_scale_shift"]
        sample = self.model.sample(SEEDS, log_scale_shift=shifts)
        given = self.model.sample(SEEDS, log_scale_shift=shifts, given={"grayscale": GRAYS})
        for name, expected in (
            ("serving_default", sample),
            ("sample", sample),
            ("map", self.model.sample(SEEDS, log_scale_shift=shifts, mode="map")),
            ("given_grayscale", {"image": given["image"]}),
            ("complete", self.model.sample(SEEDS, log_scale_shift=shifts, known=IMAGES, mask=MASK)),
        ):
            received = self.call(name, **requests()[name])
            png = received.pop("image_png_bytes")
            self.assertCountEqual(received, expected, name)
            for key, images in expected.items():
                self.assertAllEqual(received[key], images, f"{name}: {key}")
            decoded = [tf.io.decode_png(contents) for contents in png]
            self.assertAllEqual(decoded, expected["image"], name)

    def test_log_prob_is_the_models(self):
        received = self.call("log_prob", image=IMAGES)
        self.assertAllClose(received["log_prob"], self.model.log_prob(IMAGES), rtol=1e-5)
        for name, bits in self.model.bits_per_dim(IMAGES).items():
            key = "bits_per_dim" if name == "total" else f"bits_per_dim_{name}"
            self.assertAllClose(received[key], bits, rtol=1e-5)
        nats = received["log_prob_grayscale"] + received["log_prob_image"]
        self.assertAllClose(received["log_prob"], nats, rtol=1e-6)

    def test_densities_are_the_models(self):
        received = self.call("log_density_and_gradient", image=FLOATS)
        self.assertAllClose(received["log_density"], self.model.log_density(FLOATS), rtol=1e-5)
        step = 0.01 * np.random.default_rng(0).normal(size=FLOATS.shape).astype(np.float32)
        ahead = self.call("log_density_and_gradient", image=np.minimum(FLOATS + step, 255))
        along = (received["gradient"] * step).sum(axis=(1, 2, 3))
        found = ahead["log_density"] - received["log_density"]
        self.assertAllClose(found, along, rtol=0.1, atol=0.02)

    def test_weights_are_folded_and_nothing_else_is_kept(self):
        saved = tf.train.list_variables(str(self.path / "variables" / "variables"))
        shapes = [tuple(shape) for name, shape in saved if "weights" in name]
        expected = [
            tuple(weight.shape)
            for factor in self.model.factors.values()
            for weight in factor.kernels().values()
        ]
        self.assertCountEqual(shapes, expected)
        self.assertLess(len(saved) - len(shapes), 2)  # a description of the objects

    def test_the_interface(self):
        self.assertCountEqual(exported().signatures, requests())
        check_tensors(self, exported().signatures, self.model)
        received = self.call("auxiliaries", image=IMAGES)
        self.assertAllEqual(received.pop("factors"), [[b"grayscale", b"image"]] * 5)
        self.assertAllEqual(received.pop("num_values"), [[16, 256]] * 5)
        self.assertAllEqual(received.pop("max_batch"), [MAX_BATCH] * 5)
        self.assertEqual(list(received), ["grayscale"])
        self.assertAllEqual(received["grayscale"], GRAYS)

    def test_some_of_them(self):
        _, functions = signatures(helpers.tiny_model(), names=["auxiliaries", "log_prob"])
        self.assertEqual([*functions], ["serving_default", "auxiliaries", "log_prob"])
        self.assertIs(functions["serving_default"], functions["auxiliaries"])

    def test_models_of_images_of_any_size(self):
        """Models of any size are exported at one size."""
        run = self.folder / "any_size"
        few = {"parts": (1, 1, 1, 1), "base_parts": 1}
        model = helpers.make_run(run, codec_helpers.model(**few))
        images, how = helpers.pictures(2, size=(6, 10)), {"image_size": (6, 10)}
        with mock.patch.object(exporting, "verify"):
            path = export(run, self.folder / "whole", max_batch=4, names=["log_prob"], **how)
        served = tf.saved_model.load(str(path)).signatures
        found = served["log_prob"](image=tf.constant(images))["log_prob"]
        self.assertAllClose(found, model.log_prob(images), rtol=1e-5)

    def test_images_that_png_does_not_hold(self):
        for shape, num_values in (((4, 6, 3), 16), ((4, 6, 2), 256)):
            served = signatures_of_chain({"image": Tensor(tf.uint8, shape, num_values)})
            self.assertEqual(list(served["sample"].outputs), ["image"])

    def test_an_auxiliary_image_called_as_another_output(self):
        model = helpers.tiny_model()
        factors = model.factors.values()
        for name in ("num_values", "log_prob", "bits_per_dim_image"):
            model.factors = dict(zip([name, "image"], factors))
            with self.assertRaisesRegex(ValueError, f"Received: {name}. Give the factor another"):
                signatures(model)

    def test_compiled_and_one_row_a_request(self):
        """The export is compared with the model in a process without this package."""
        # One factor exports faster.
        size = {"filters": 2, "blocks": 1, "resolutions": 1, "num_components": 1}
        model = pa.pixelcnn_pp(helpers.SIZE, **size)
        model.factors["image"] = helpers.randomize(model.factors["image"])
        helpers.make_run(self.folder / "plain", model, ["image"])
        how = {"max_batch": 1, "jit_compile": True, "names": ["sample"]}
        path = export(self.folder / "plain", self.folder / "compiled", **how)
        compiled = tf.saved_model.load(str(path)).signatures
        for loaded, expected in ((exported().signatures, {False}), (compiled, {False, True})):
            functions = loaded["sample"].graph.as_graph_def().library.function
            self.assertEqual({f.attr["_XlaMustCompile"].b for f in functions}, expected)


def warm_up_requests(path):
    """The PredictRequests in an export."""
    file = str(path / "assets.extra" / "tf_serving_warmup_requests")
    for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log.request


MANY = {"seed": np.zeros([17, 2], np.int32), "log_scale_shift": np.zeros(17, np.float32)}
# Signature, inputs that differ from those of `requests`, and the error.
BAD = (
    ("sample", {"seed": SEEDS.astype(np.float32)}, "int32"),
    ("sample", {"seed": SEEDS[:, :1]}, "compatible with expected shape"),
    ("sample", {"log_scale_shift": np.full(5, np.nan, np.float32)}, "Expected finite values"),
    ("sample", {"log_scale_shift": NO_SHIFT[:4]}, "Expected as many rows of log_scale_shift"),
    ("sample", MANY, "Expected 1 to 16 rows"),
    ("log_prob", {"image": IMAGES[:0]}, "Expected 1 to 16 rows"),
    ("log_density_and_gradient", {"image": FLOATS - 255}, "Expected values of image from 0 to 255"),
    ("complete", {"mask": MASK + np.uint8(1)}, "Expected values of mask from 0 to 1"),
    ("given_grayscale", {"auxiliary": GRAYS // 16 + np.uint8(16)}, "auxiliary from 0 to 15"),
)


class LoaderTest(ExportTestCase):
    """The loader inside TensorFlow Serving, in a process without TensorFlow's Python."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.good = requests()
        for name in ("serving_default", "map"):  # differ from `sample` in name, or noise, alone
            del cls.good[name]
        asked = list(cls.good.items())
        for name, inputs, _ in BAD:
            # A good request follows each bad one.
            asked += [(name, {**requests()[name], **inputs}), (name, requests()[name])]
        cls.served = loader.run(cls.path, asked).results

    def test_same_as_in_python(self):
        for (name, inputs), result in zip(self.good.items(), self.served):
            self.assertEqual((result.code, result.message), ("OK", ""))
            expected = self.call(name, **inputs)
            self.assertCountEqual(result.outputs, expected)
            for key, received in result.outputs.items():
                if expected[key].dtype == np.float32:
                    self.assertAllClose(received, expected[key], rtol=1e-6)
                else:
                    self.assertAllEqual(received, expected[key])

    def test_bad_requests(self):
        count = len(self.good)
        bad, good = self.served[count::2], self.served[count + 1 :: 2]
        for (name, inputs, expected), refused, served in zip(BAD, bad, good, strict=True):
            with self.subTest(signature=name, inputs=list(inputs), expected=expected):
                self.assertEqual(refused.code, "INVALID_ARGUMENT")
                self.assertIn(expected, refused.message)
                self.assertEqual(served.code, "OK")

    def test_nothing_that_the_server_lacks(self):
        ops = loader.graph_ops(self.path)
        self.assertIn("While", " ".join(ops))  # ops of functions too
        self.assertEmpty([op for op in ops if "PyFunc" in op])


class Rest(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's REST: predict in the columnar form, by the export."""

    def do_POST(self):
        assert self.path == "/v1/models/tiny:predict"
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        function = exported().signatures[request["signature_name"]]
        _, specs = function.structured_input_signature
        inputs = {key: tf.constant(x, specs[key].dtype) for key, x in request["inputs"].items()}
        outputs = {key: x.numpy().tolist() for key, x in function(**inputs).items()}
        if strings := outputs.pop("image_png_bytes", []):
            outputs["image_png_bytes"] = [{"b64": base64.b64encode(x).decode()} for x in strings]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"outputs": outputs}).encode())


class RestTest(ExportTestCase):
    @unittest.skipIf(shutil.which("curl") is None, "There is no curl.")
    def test_lines_of_the_documentation(self):
        photo, folder = helpers.pictures(1), self.folder
        Image.fromarray(photo[0]).save(folder / "photo.png")
        section = PAGE.read_text().partition("\n## REST\n")[2].partition("\n## ")[0]
        lines = "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))
        with http.server.ThreadingHTTPServer((model_server.HOST, 0), Rest) as server:
            threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
            for documented, here in (
                ("localhost:8501", f"{model_server.HOST}:{server.server_port}"),
                ("grayscale-demo-photos", "tiny"),
                ("(32, 32)", str(helpers.SIZE[::-1])),
                ("python3", sys.executable),
            ):
                self.assertIn(documented, lines)
                lines = lines.replace(documented, here)
            subprocess.run(["bash", "-e", "-c", lines], check=True, cwd=folder)
            server.shutdown()

        def outputs(name):
            return json.loads((folder / name).read_text())["outputs"]

        drawn = self.model.sample([[0, 0], [0, 1]], log_scale_shift=[0.0, -0.5])
        for name in ("grayscale", "image"):
            self.assertAllEqual(outputs("drawn.json")[name], drawn[name])
        self.assertAllEqual(np.asarray(Image.open(folder / "first.png")), drawn["image"][0])
        bits = self.model.bits_per_dim(photo)["total"]
        self.assertAllClose(outputs("bits.json")["bits_per_dim"], bits, rtol=1e-5)
        grays = pa.auxiliary.Grayscale()(photo)
        colored = self.model.sample([[0, 0]], given={"grayscale": grays})["image"]
        self.assertAllEqual(outputs("colored.json")["image"], colored)


class VerifyTest(ExportTestCase):
    def verify(self, model, signature="sample", names=NAMES, **changes):
        """`verify` of the export, with some of its answers changed."""
        received = {name: x for name, x in exported().received.items() if name in names}
        received = {**received, signature: {**received.get(signature, {}), **changes}}
        with mock.patch.object(verify, "_run_export", return_value=received):
            verify.verify(self.path, model, names, max_batch=MAX_BATCH)

    def test_other_weights(self):
        self.verify(self.model)
        # Changes of many draws, and of hardly any.
        for size, expected in ((1.0, "draws as the model does"), (2e-3, "log-likelihoods")):
            other = pa.load(self.run_folder)
            change = functools.partial(np.add, size * np.linspace(0.0, 1.0, 16))
            changed = helpers.altered(other.factors["grayscale"], change, "network/last/b")
            other = other.with_factor(changed)
            with self.assertRaisesRegex(RuntimeError, f"{expected}.* Nothing was exported"):
                self.verify(other)

    def test_other_shifts_masks_and_modes(self):
        unshifted = {"log_scale_shift": NO_SHIFT[:4]}
        for signature, drawn_by, changed in (
            ("sample", "sample", unshifted),
            ("given_grayscale", "given_grayscale", unshifted),
            *(("complete", "complete", x) for x in ({}, {"mask": MASK[:4] * 0})),
            *(("map", x, {}) for x in ("map", "sample")),
        ):
            # Verification skips `map` next to `sample`.
            names = [signature] if signature == "map" else NAMES
            request = verify._requests(self.model, names)[signature]
            drawn = self.call(drawn_by, **{**request, **changed})
            drawn.pop("image_png_bytes")
            message = f"by {signature}, images of '.*' with .* of the pixels different"
            refused = self.assertRaisesRegex(RuntimeError, message)
            with refused if changed or drawn_by != signature else contextlib.nullcontext():
                self.verify(self.model, signature, names, **drawn)

    def test_one_pixel_of_every_image(self):
        damaged = exported().received["sample"]["image"].copy()
        damaged[:, -1, -1] ^= 128
        with mock.patch.object(verify, "MAX_MISMATCHED", 0.5):  # as these images are small
            with self.assertRaisesRegex(RuntimeError, "'image' with .* of the pixels different"):
                self.verify(self.model, image=damaged)

    def test_other_likelihoods_and_auxiliary_images(self):
        received = exported().received
        for signature, name, message in (
            ("log_prob", "log_prob_grayscale", "log-likelihoods, log_prob_grayscale"),
            ("auxiliaries", "grayscale", "auxiliary images. Received: another one of 'grayscale'"),
        ):
            swapped = received[signature][name][::-1]
            with self.assertRaisesRegex(RuntimeError, message):
                self.verify(self.model, signature, **{name: swapped})

    def test_an_export_that_cannot_be_run(self):
        for program, received in (
            ("raise SystemExit('no such op')", "no such op"),
            ("import os; os._exit(3)", "exit status 3"),
            ("import os; os.kill(os.getpid(), 9)", "a killed process, .*memory"),
        ):
            message = f"Expected an export that a new process can run. Received: {received}"
            with mock.patch.object(verify, "_RUN_EXPORT", program):
                with self.assertRaisesRegex(RuntimeError, message):
                    verify.verify(self.path, self.model, NAMES, max_batch=MAX_BATCH)


class FolderTest(ExportTestCase):
    def test_a_program_computes_by_tensorflow_also_beside_jax(self):
        with mock.patch.dict(os.environ, KERAS_BACKEND="jax"), helpers.own_flags():
            export_program.define_flags()
            self.assertEqual(os.environ["KERAS_BACKEND"], "tensorflow")

    def test_flags_are_passed_on(self):
        asked = ("--workdir=run", "--out=models", "--max_batch=7", "--jit", "--image_size=8,12")
        chosen = "--signatures=log_prob,sample"
        self.enter_context(mock.patch.object(chosen_run, "workdir", lambda: "run"))
        with mock.patch.object(exporting, "export") as made:
            said = helpers.run_program(export_program, *asked, chosen)
        how = {"max_batch": 7, "jit_compile": True, "names": ["log_prob", "sample"]}
        made.assert_called_once_with("run", "models", **how, image_size=[8, 12])
        self.assertIn("client needs the signature auxiliaries", said)

    def test_versions_count_up_and_nothing_else_is_left(self):
        """A failed export leaves nothing, and leftovers of killed ones are removed."""
        base = self.folder / "several" / "tiny"
        for name in ("7", ".writing-x/variables"):
            (base / name).mkdir(parents=True)
        with self.assertRaisesRegex(RuntimeError, "refused"):
            self.export_a_little(base.parent, error=RuntimeError("refused"))
        self.assertCountEqual(os.listdir(base), [".lock", "7"])
        for _ in range(2):
            self.export_a_little(base.parent)
        with disk.locked(base / ".lock", self.fail):
            with self.assertRaisesRegex(OSError, "Expected no other export to .*several/tiny"):
                self.export_a_little(base.parent)
        self.assertCountEqual(os.listdir(base), [".lock", "7", "8", "9"])
        self.assertEmpty(os.listdir(base / "7"))

    def test_a_disk_that_is_full_as_it_is_written(self):
        out = self.folder / "full"
        message = "to write an export to .*full/tiny. Received: File too large. Raise the limit"
        with helpers.files_of_at_most(100), self.assertRaisesRegex(OSError, message):
            self.export_a_little(out)
        self.assertEqual(os.listdir(out / "tiny"), [".lock"])

    def test_a_run_that_is_still_training(self):
        """Verification uses the exported weights, not those of a later step."""
        run, save = self.folder / "training", tf.saved_model.save
        helpers.make_run(run, self.model)

        def save_meanwhile(*args):
            save(*args)
            later = pa.load(run)
            for name, factor in later.factors.items():
                RunFolder(run)[name].save_weights(helpers.randomize(factor, 7))

        with mock.patch.object(tf.saved_model, "save", save_meanwhile):
            verified = self.export_a_little(self.folder / "meanwhile", run)
        for name, factor in self.model.factors.items():
            np.testing.assert_equal(verified.factors[name].weights, factor.weights)

    def export_a_little(self, out, run=None, error=None, **arguments):
        """Exports one trivial signature; returns the model passed to verification."""
        little = tf.Module()
        little.double = tf.function(lambda x: {"double": 2 * x})
        spec = tf.TensorSpec([None], tf.float32, "x")
        functions = {"double": little.double.get_concrete_function(x=spec)}
        load = exporting.load if run else lambda folder: self.model
        with (
            mock.patch.object(exporting, "load", load),
            mock.patch.object(exporting, "signatures", lambda *_, **__: (little, functions)),
            mock.patch.object(exporting, "verify", side_effect=error) as verify,
        ):
            export(run or self.run_folder, out, **arguments)
        (_, model, *_), _ = verify.call_args
        return model

    def test_no_folder_to_write_to(self):
        """Raises an error before the model is loaded."""
        file = self.folder / "file"
        file.write_text("mine")
        self.enter_context(mock.patch.object(exporting, "load", self.fail))
        for out in (file, file / "models"):
            with self.assertRaisesRegex(OSError, "Expected a folder .*file.* that takes files"):
                export(self.run_folder, out)

    def test_refusals_write_nothing(self):
        half, any_size = self.folder / "half", self.folder / "any_size"
        helpers.make_run(half, self.model, ["grayscale"])
        helpers.make_run(any_size, codec_helpers.shared_model())
        out = self.folder / "refused"
        for run, names, message in (
            (half, None, "trained factors. Received: 'image' not trained"),
            (any_size, None, "Expected image_size.* of any size. Received: none"),
            (self.run_folder, ["log_prob", "given_4x6"], "signatures of .* Received: given_4x6. "),
            (self.run_folder, [], "Expected signatures of sample, map.* Received: none. Choose"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                export(run, out, names=names)
        self.assertFalse(out.exists())

    def test_what_the_server_takes_besides(self):
        """Warm-up requests are answered; the server may run as another user."""
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o755)
        names = []
        for request in warm_up_requests(self.path):
            self.assertEqual(request.model_spec.name, "tiny")
            names.append(request.model_spec.signature_name)
            inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
            self.call(names[-1], **inputs)
        self.assertCountEqual(names, requests())
        extras = self.path / "assets.extra"
        self.assertIn("value: 16 ", (extras / "batching_parameters.txt").read_text())
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse((extras / "models.config").read_text(), config)
        [served] = config.model_config_list.config
        self.assertEqual((served.name, served.base_path), ("tiny", "/models/tiny"))
        self.assertTrue(served.model_version_policy.HasField("all"))

    def test_batch_sizes_that_are_compiled(self):
        self.export_a_little(self.folder / "sizes", max_batch=5, jit_compile=True)
        path = self.folder / "sizes" / "tiny" / "1"
        parameters = (path / "assets.extra" / "batching_parameters.txt").read_text()
        sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in (1, 4, 5))
        self.assertIn(sizes, parameters)
        warm = [request.inputs["x"] for request in warm_up_requests(path)]
        self.assertEqual([x.tensor_shape.dim[0].size for x in warm], [1, 4, 5])
        long, tensor = "model" * 60, tf.make_tensor_proto(np.zeros(20000, np.float32))
        logged = exporting._logged(long, "", {"x": tensor})
        log = prediction_log_pb2.PredictionLog.FromString(logged)
        self.assertEqual(log.predict_log.request.model_spec.name, long)
        self.assertEqual(log.predict_log.request.inputs["x"], tensor)
