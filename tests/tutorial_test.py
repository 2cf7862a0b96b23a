"""The tutorial runs, with small models and few steps."""

import contextlib
import json
import re

import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.run_files.folder import RunFolder
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


CELLS = [x for x in json.loads(NOTEBOOK.read_text())["cells"] if x["cell_type"] == "code"]


class TutorialTest(helpers.TestCase):
    def test_every_cell_runs(self):
        code = ["".join(cell["source"]) for cell in CELLS]
        for original, fewer in FEWER.items():
            self.assertTrue(any(original in cell for cell in code), original)
            code = [cell.replace(original, fewer) for cell in code]
        for name, make in MODELS.items():
            RunFolder(self.folder / name).save_model(make())  # `pa.load` prefers such a folder
        self.addCleanup(tf.get_logger().setLevel, tf.get_logger().level)
        self.enter_context(helpers.nothing_stays_registered())
        self.enter_context(contextlib.chdir(self.folder))
        namespace = {"__name__": "tutorial"}
        with helpers.eagerly():
            for number, cell in enumerate(code, start=1):
                cell = re.sub(r"(?m)^( *)%.*", r"\1pass", cell)  # commands of notebooks
                exec(compile(cell, f"cell {number}", "exec"), namespace)

    def test_outputs_are_stored(self):
        counts = [cell["execution_count"] for cell in CELLS]
        self.assertEqual(counts, list(range(1, len(CELLS) + 1)))
        outputs = [output for cell in CELLS for output in cell["outputs"]]
        self.assertNotIn("error", {output["output_type"] for output in outputs})
        printed = "".join("".join(output.get("text", "")) for output in outputs)
        for name, card in pa.pretrained().items():
            self.assertIn(f"{name}: {card['bits_per_dim']:.3f} bits per dimension", printed)
