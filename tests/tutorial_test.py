"""The tutorial runs, with small models and few steps."""

import os

import nbclient
import nbformat

import pixelcnn_aux as pa
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

NOTEBOOK = helpers.ROOT / "docs" / "tutorial.ipynb"
# Replacements that save time: fewer steps, photographs, blocks and pixels.
FEWER = {
    "[32, 32, 48]": "4",
    '"blocks": 2, "resolutions": 3': '"blocks": 1, "num_components": 2',
    "pa.pyramid((32, 32), ": "pa.pyramid((4, 4), (2, 2), ",
    "steps = 300": "steps = 2",
    "count = 8": "count = 2",
    "flat(blocks=3)": "flat(blocks=1)",
    '"photos", "train"': '"photos", "test"',
    'photos, validation = (pa.data.load("photos", x, (32, 32)) for x in ("train", "validation"))': (
        "photos = train"
    ),
    "spread(1000)": "spread(50)",
    "spread(100)": "spread(4)",
    "32, 32": "4, 4",
    '"32x32"': '"4x4"',
    '"16x16"': '"2x2"',
    ":16]": ":2]",
}
SMALL = {"filters": 4, "num_components": 2, "embedding_blocks": 1}
SMALL["condition"] = pa.conditions.Classes(10)
GRAYS = {"gray_blocks": 1, "image_blocks": 1, "resolutions": 1, **SMALL}
MODELS = {
    "cifar10-pyramid": lambda: pa.pyramid((4, 4), (2, 2), blocks=1, depth=1, **SMALL),
    "cifar10-grayscale": lambda: pa.grayscale((4, 4), **GRAYS),
}


class TutorialTest(helpers.TestCase):
    def test_every_cell_runs(self):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for original, fewer in FEWER.items():
            self.assertTrue(any(original in cell.source for cell in code), original)
            for cell in code:
                cell.source = cell.source.replace(original, fewer)
        folder = helpers.temporary_folder(self)
        for name, make in MODELS.items():
            RunFolder(folder / name).save_model(make())  # `pa.load` prefers a folder of that name
        startup = folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "eagerly.py").write_text(
            "import tensorflow as tf\ntf.config.run_functions_eagerly(True)\n"
        )
        places = {"PYTHONPATH": str(helpers.ROOT), "IPYTHONDIR": str(folder / "ipython")}
        client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3")
        client.execute(cwd=str(folder), env={**os.environ, **places})

    def test_outputs_are_stored(self):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.assertEqual([cell.execution_count for cell in code], list(range(1, len(code) + 1)))
        outputs = [output for cell in code for output in cell.outputs]
        self.assertNotIn("error", {output.output_type for output in outputs})
        printed = "".join(output.get("text", "") for output in outputs)
        for name, card in pa.pretrained().items():
            self.assertIn(f"{name}: {card['bits_per_dim']:.3f} bits per dimension", printed)

    def test_trained_models_evaluate_photographs(self):
        for name, card in pa.pretrained().items():
            model = pa.load(name)
            images = pa.data.load("photos", "test", model.image_size).spread(1)
            most = card["bits_per_dim"]
            if model.image_size is None:  # of a whole photograph: others than those of the card
                images = images[:, :64, :64]
                [most] = lossless_files.bits_per_dim("WebP", images)
            self.assertAllLess(model.bits_per_dim(images)["total"], most)
