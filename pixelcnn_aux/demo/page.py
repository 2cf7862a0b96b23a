"""The page: its components, and the action that each button starts."""

import functools
import html
import itertools
import pathlib
import tempfile

import gradio as gr
from absl import logging
from gradio.utils import get_upload_folder

from pixelcnn_aux.data import photos
from pixelcnn_aux.demo import actions, uploads
from pixelcnn_aux.runs import trained

TITLE = "PixelCNN models with auxiliary variables"
ABOUT = f"""
# {TITLE}

Everything is computed on this machine, and nothing is sent anywhere. One thing is computed at a time; other
requests wait.
"""
FILES = (
    f"PNG, JPEG, TIFF or WebP, at most {uploads.MAX_BYTES >> 20} MB and {uploads.MAX_PIXELS >> 20} million "
    f"pixels. A picture of more than {uploads.KEPT_PIXELS:,} pixels is reduced."
)
CSS = """
/* Pixels are to be seen, however few there are. */
.pixels img { image-rendering: pixelated; }
.pixels .grid-wrap { max-height: none; min-height: 0; }
/* Fewer columns where images would have less than 130 pixels. */
.pixels .grid-container {
  grid-template-columns:
    repeat(auto-fill, minmax(max(130px, calc(100% / var(--grid-cols) - 8px)), 1fr));
}
/* Two lines; a click shows all of it. */
.pixels .caption-label {
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  white-space: normal; padding-block: 0;
}
.error { color: #b3001b; font-weight: 600; }
.dark .error { color: #ff9aa8; }
"""
# Actions, and reading of files: one at a time each.
COMPUTING = {"concurrency_id": "computing", "concurrency_limit": 1}
READING = {"concurrency_id": "reading", "concurrency_limit": 1}


class Page(gr.Blocks):
    """A page whose functions are given files of its own uploads alone, whoever asks.

    Gradio checks paths of pages that it launches, not of mounted ones, and fetches addresses given as paths.
    """

    async def preprocess_data(self, block_fn, inputs, *args, **kwargs):
        try:
            uploads.require_own(inputs, get_upload_folder())
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return await super().preprocess_data(block_fn, inputs, *args, **kwargs)


def build(models):
    """The page, `gradio.Blocks`, of `actions.Models`."""
    # Uploaded files are removed ten minutes later.
    with Page(title=TITLE, delete_cache=(60, 600)) as page:
        gr.Markdown(ABOUT)
        editor = gr.ImageEditor(
            label="Paint over the region to draw",
            elem_id="region",
            sources=(),
            transforms=(),
            layers=False,
            brush=gr.Brush(default_size=20, colors=["#e6007e"], color_mode="fixed"),
            buttons=[],
            format="png",
            render=False,
        )
        picture = _picture(editor)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Draw"):
                _draw(models)
            with gr.Tab("Enlarge and color"):
                _redraw(models, picture)
            with gr.Tab("Complete"):
                _complete(models, picture, editor)
            with gr.Tab("Compress"):
                _compress(models, picture)
            with gr.Tab("Scores"):
                _score(models, picture)
    return page.queue(max_size=16, api_open=False)


def _picture(editor):
    """The components that choose a picture, and its state, which is returned."""
    chosen = gr.State(time_to_live=3600)
    with gr.Row():
        with gr.Column():
            file = gr.File(label="A picture", elem_id="picture-file", height=140)
            gr.Markdown(FILES)
        with gr.Column():
            names = {name.partition(".")[0].replace("_", " "): name for name in photos.names()}
            label, choices = "Or a photograph of scikit-image", list(names.items())
            example = gr.Dropdown(choices, value=None, label=label, visible=bool(names))
            message = gr.HTML(elem_id="picture-message")
        how = {"interactive": False, "format": "png", "height": 220, "buttons": []}
        preview = gr.Image(label="The picture", alt_text="The picture", **how)

    def photograph(name):
        return uploads.reduced(photos.read(name), uploads.KEPT_PIXELS)

    def choosing(read):
        def choose(given):
            try:
                pixels = read(given)
                small = uploads.reduced(pixels, actions.IN_WINDOWS)
                shown = uploads.enlarged(pixels), uploads.enlarged(small)
            except Exception as error:  # any file: the page goes on
                return error_html(error), gr.skip(), gr.skip(), gr.skip()
            height, width, _ = pixels.shape
            return f"{width} x {height} pixels", pixels, *shown

        return choose

    outputs = [message, chosen, preview, editor]
    file.upload(choosing(uploads.picture), file, outputs, **READING)
    example.input(choosing(photograph), example, outputs, **READING)
    return chosen


def _draw(models):
    with gr.Row():
        model = _model(models.names, trained.DEFAULT)
        has_classes = models.has_classes(trained.DEFAULT)
        label = gr.Number(-1, label="Class; -1 is none", precision=0, visible=has_classes)
        seed, shift = _seed_and_shift(shift=0)
        is_map = gr.Checkbox(False, label="MAP sampling")
    model.change(lambda x: gr.update(visible=models.has_classes(x)), model, label, queue=False)
    inputs = [model, seed, shift, is_map, label]
    _start("Draw", functools.partial(actions.draw, models), inputs)


def _redraw(models, picture):
    with gr.Row():
        [first, *_] = actions.REDRAWS
        what = gr.Radio(list(actions.REDRAWS), value=first, label="What the picture becomes")
        model = _model(models.names, actions.REDRAWS[first])
        seed, shift = _seed_and_shift()
    what.change(actions.REDRAWS.get, what, model, queue=False)
    redraw = functools.partial(actions.redraw, models)
    _start("Draw it several times", redraw, [model, what, picture, seed, shift], pair=True)


def _complete(models, picture, editor):
    with gr.Row():
        model = _model(models.names, actions.COMPLETES)
        seed, shift = _seed_and_shift()
    editor.render()
    label = "Or a rectangle: its left, top, right and bottom, in percent of the picture"
    rectangle = gr.Textbox(label=label, placeholder="25 25 75 75")
    complete = functools.partial(actions.complete, models)
    inputs = [model, picture, editor, rectangle, seed, shift]
    _start("Draw the region", complete, inputs, pair=True)


def _compress(models, picture):
    model = _model(models.rounded_names, actions.COMPRESSES)
    with gr.Row():
        file = gr.File(label="A compressed file, to open it", elem_id="compressed-file", height=140)
        label = "The compressed file"
        written = gr.File(label=label, interactive=False, visible=False, elem_id="written")
    compress = functools.partial(actions.compress, models)
    outputs = _start("Compress", compress, [model, picture], pair=True, tables=2, file=written)

    def decompress(path):
        return actions.decompress(models, *uploads.compressed(path))

    file.upload(_answer(decompress, outputs), file, list(outputs.values()), **COMPUTING)


def _score(models, picture):
    model = _model(models.names, trained.DEFAULT)
    _start("Score", functools.partial(actions.score, models), [model, picture], tables=1)


def _model(names, name):
    return gr.Dropdown(names, value=name, label="Model", filterable=False, min_width=240)


def _seed_and_shift(shift=-0.3):
    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=actions.MAX_SEED)
    low, high = actions.SHIFTS
    info = "Below 0, draws vary less"
    return seed, gr.Slider(low, high, shift, step=0.1, label="Shift of log-scales", info=info)


def _start(text, action, inputs, *, pair=False, tables=0, file=None):
    """A button that starts an action, and the components for its results: dict, which it returns."""
    button = gr.Button(text, variant="primary")
    outputs = {"text": gr.HTML()}
    if file is not None:
        outputs["file"] = file
    tables = [gr.Dataframe(visible=False, buttons=["copy"]) for _ in range(tables)]
    outputs |= {f"table {n}": table for n, table in enumerate(tables)}
    how = {"format": "png", "elem_classes": "pixels", "visible": False}
    outputs["images"] = gr.Gallery(label="Images", columns=4, object_fit="contain", **how)
    if pair:
        outputs["pair"] = gr.ImageSlider(label="Before and after", interactive=False, **how)
    button.click(_answer(action, outputs), inputs, list(outputs.values()), **COMPUTING)
    return outputs


def _answer(action, outputs):
    """A generator function of an action's arguments, which yields values of `outputs` and never raises."""
    tables = [key for key in outputs if key.startswith("table")]

    def changes(step, before):
        """Pairs of a key of `outputs` and an update, for values that differ from those of the step before."""
        yield "text", status_html(step.text, step.share)
        if step.images is not before.images:
            yield "images", gr.update(value=list(step.images), visible=bool(step.images))
        if step.pair is not before.pair:
            yield "pair", gr.update(value=step.pair, visible=step.pair is not None)
        if step.tables is not before.tables:
            for key, table in itertools.zip_longest(tables, step.tables):
                table, visible = table or actions.Table("", [], []), table is not None
                value = {"headers": table.head, "data": table.rows}
                yield key, gr.update(value=value, label=table.caption, visible=visible)
        if step.file is not before.file:
            path = step.file and pathlib.Path(tempfile.mkdtemp(), "picture.pxa")
            if path:
                path.write_bytes(step.file)
            yield "file", gr.update(value=path and str(path), visible=path is not None)

    def answers(*given):
        before = actions.Step("", images=None, pair=(), tables=None, file=b"")
        try:
            for step in actions.within_time(action(*given)):
                changed = dict(changes(step, before))
                yield [changed.get(key, gr.skip()) for key in outputs]
                before = step
        except Exception as error:  # any input: the page goes on
            yield [error_html(error), *[gr.skip()] * (len(outputs) - 1)]

    return answers


def status_html(text, share=None):
    """The progress of an action, which screen readers announce."""
    bar = "" if share is None else f'<progress value="{share:.3f}"></progress>'
    return f'<p role="status">{bar} {html.escape(text)}</p>'


def error_html(error):
    """An error, which screen readers announce: its message alone, if that is meant for the user."""
    logging.debug("%s", error, exc_info=error)
    text = str(error)
    text = text if text.startswith("Expected ") else f"{type(error).__name__}: {text}"
    return f'<p role="alert" class="error">{html.escape(text)}</p>'
