"""The tutorial runs, with fewer steps and images."""

import pathlib

import nbclient
import nbformat
import tensorflow as tf

NOTEBOOK = pathlib.Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
FEWER = {"steps = 300": "steps = 2", "count = 8": "count = 2"}


class TutorialTest(tf.test.TestCase):
    def test_every_cell_runs(self):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        for line, fewer in FEWER.items():
            [cell] = [cell for cell in notebook.cells if line in cell.source]
            cell.source = cell.source.replace(line, fewer)
        nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()

    def test_it_is_kept_with_its_outputs(self):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        shown = [
            output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
        ]
        self.assertNotIn("error", {output.output_type for output in shown})
        pictures = [output for output in shown if "image/png" in output.get("data", {})]
        self.assertGreaterEqual(len(pictures), 6)


if __name__ == "__main__":
    tf.test.main()
