"""The page: its components, and the actions behind its buttons."""

import asyncio
import contextlib
import functools
import html
import itertools
import pathlib
import tempfile

import gradio as gr
from absl import logging
from gradio.utils import get_upload_folder

from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.data import photos
from pixelcnn_aux.demo import actions, uploads
from pixelcnn_aux.run_files import trained

TITLE = "PixelCNN models with auxiliary variables"
ABOUT = "Everything is computed on this machine, one thing at a time. Nothing is sent anywhere."
FILES = (
    f"PNG, JPEG, TIFF or WebP, at most {uploads.MAX_BYTES >> 20} MB and {uploads.MAX_PIXELS >> 20} million "
    f"pixels. A picture of more than {uploads.KEPT_PIXELS:,} pixels is reduced."
)
CSS = """
/* Show pixels as squares. */
.pixels img { image-rendering: pixelated; }
.pixels .grid-wrap { max-height: none; min-height: 0; padding-top: 28px; }
/* Use fewer columns if images would have less than 130 pixels. */
.pixels .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(max(130px, calc(100% / var(--grid-cols) - 8px)), 1fr)); }
/* Show two lines; a click shows the rest. */
.pixels .caption-label {
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  white-space: normal; padding-block: 0; }
progress { appearance: none; height: .6em; }
progress, progress::-webkit-progress-bar { background: var(--border-color-primary); }
progress::-webkit-progress-value { background: var(--color-accent); }
progress::-moz-progress-bar { background: var(--color-accent); }
#examples .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)); }
#examples button { width: 100%; min-width: 0; } #examples .caption-label { display: none; }
@media (max-width: 480px) { .tab-wrapper { margin-inline: -12px; }
  .tab-container button { padding-inline: 4px; font-size: 13px; } }
.error { color: #b3001b; } .dark .error { color: #ff9aa8; }
"""
# `work.Worker` queues computations; files are read one at a time.
COMPUTING = {"concurrency_id": "computing", "concurrency_limit": 64, "show_progress": "hidden"}
READING = {"concurrency_id": "reading", "concurrency_limit": 1}
PATIENCE = 5  # seconds for a browser to listen for the answer to its request
STAY = 0.2  # seconds that it has to listen before the work begins


class Page(gr.Blocks):
    """A page whose functions only answer listening clients, and only accept files uploaded to it.

    Gradio doesn't check paths for mounted pages, and fetches URLs that are given as paths.
    """

    async def process_api(self, *args, **call):
        try:
            if call["iterator"] is None:
                uploads.require_own(call["inputs"], get_upload_folder())
                sent, session = self._queue.pending_messages_per_session, call["session_hash"]
                async with asyncio.timeout(PATIENCE):
                    while not sent[session].empty():  # the client hasn't fetched the start message
                        await asyncio.sleep(0.02)
                await asyncio.sleep(STAY)
                expect(session in sent, "a page that is open", "none", "Reload it")
            return await super().process_api(*args, **call)
        except Exception as error:  # answer any bad request without a traceback
            raise gr.Error(explained(error), print_exception=False) from None


def build(models, run):
    """Builds the page, `gradio.Blocks`, for `actions.Models`; `run` is `work.Worker.run`."""
    # Pass paths: `uploads.mask` checks layers before decoding. On the class, since Gradio makes new editors.
    gr.ImageEditor.preprocess = lambda _, value: [x.path for x in value.layers] if value else []
    # Once a minute, remove uploaded files that are nine minutes old.
    with Page(title=TITLE, delete_cache=(60, 540), fill_width=True) as page:
        page.state_session_capacity = 256  # sessions, which keep a picture each
        page.max_threads = 128
        gr.Markdown(f"# {TITLE}\n\n{ABOUT}")
        examples = {x: uploads.photograph(x) for x in photos.names()[:3]}
        first = next(iter(examples.values()), None)  # None without scikit-image
        editor = gr.ImageEditor(
            first and uploads.enlarged(first.pixels),
            label="The region",
            elem_id="region",
            render=False,
            sources=(),
            transforms=(),
            layers=False,
            buttons=[],
            format="png",
            brush=gr.Brush(default_size=20, colors=["#e6007e"], color_mode="fixed"),
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                picture = _picture(editor, examples, first)
            with gr.Column(scale=3, min_width=340), gr.Tabs(overflow_behavior="wrap"):
                start = functools.partial(_start, run)
                with gr.Tab("Enlarge, color"):
                    gr.Markdown(
                        "Draws it three times: larger (about a minute), or in colors, as guesses of a small "
                        "model (15 s)."
                    )
                    [default, *_] = choices = list(actions.REDRAWS)
                    result = gr.Radio(choices, value=default, label="What the picture becomes")
                    with gr.Row():
                        model = _model(models.names, actions.REDRAWS[default][0])
                        seed, variety = _seed_and_variety()
                    inputs = [model, result, picture, seed, variety]
                    result.change(actions.REDRAWS.get, result, [model, variety])
                    start("Draw three times", actions.redraw, inputs, pair="Before and after")
                with gr.Tab("Complete"):
                    gr.Markdown(
                        "Paint over a part: it is drawn anew, three times (about a minute). Textures "
                        "continue; objects are not restored."
                    )
                    with gr.Row():
                        model = _model(models.names, actions.COMPLETES)
                        draws = _seed_and_variety()
                    editor.render()
                    label = "Or a rectangle: its left, top, right and bottom, in percent"
                    rectangle = gr.Textbox(label=label, placeholder="25 25 75 75")
                    inputs = [model, picture, editor, rectangle, *draws]
                    start("Draw the region", actions.complete, inputs, pair="Before and after")
                with gr.Tab("Compress"):
                    gr.Markdown("Packs it without loss (about 20 s), and maps where its bits are.")
                    model = _model(models.rounded_names, actions.COMPRESSES)
                    label = "A compressed file, to open it"
                    file = gr.File(label=label, height=140, elem_id="compressed-file")
                    opens = file, lambda path: run(actions.decompress, *uploads.compressed(path))
                    results = {"pair": "The picture and its bits", "tables": 2, "file": True}
                    start("Compress", actions.compress, [model, picture], opens=opens, **results)
                with gr.Tab("Scores"):
                    gr.Markdown(
                        "Shows how likely it is to a model: the fewer bits, the likelier (2 s)."
                    )
                    model = _model(models.names, trained.DEFAULT)
                    start("Score", actions.score, [model, picture], tables=1)
                with gr.Tab("Draw"):
                    gr.Markdown("Draws four images that never were, scale by scale (2 s).")
                    with gr.Row():
                        model = _model(models.names, trained.DEFAULT)
                        draws = _seed_and_variety()
                    with gr.Row():
                        label = gr.Dropdown(**_classes(models, model.value), label="What it shows")
                        info = "No chance (MAP sampling)"
                        is_map = gr.Checkbox(False, label="Likeliest values", info=info)
                    model.change(lambda x: gr.update(**_classes(models, x)), model, label)
                    start("Draw", actions.draw, [model, *draws, is_map, label])
    return page.queue(max_size=64, api_open=False)


def _picture(editor, examples, first):
    """Adds the components that choose a picture; returns its state, an `uploads.Picture`."""
    chosen = gr.State(first, time_to_live=3600)
    options = {"interactive": False, "format": "png", "buttons": [], "visible": bool(first)}
    label = "The picture"
    pixels = first and uploads.enlarged(first.pixels)
    preview = gr.Image(pixels, label=label, alt_text=label, height=200, **options)
    message = gr.HTML(first and first.described(first.pixels), elem_id="picture-message")
    images = [(x.pixels, name.partition(".")[0]) for name, x in examples.items()]
    options |= {"columns": 3, "allow_preview": False, "elem_classes": "pixels"}
    label = "Examples, of scikit-image"
    gallery = gr.Gallery(images, label=label, elem_id="examples", **options)
    file = gr.File(label="Or your own picture", elem_id="picture-file", height=140)
    gr.Markdown(FILES)
    outputs = [message, chosen, preview, editor, file]

    def choose(read, *path):
        try:
            picture = read(*path)
        except Exception as error:  # any bad file: keep the previous picture
            return error_html(error), *[gr.skip()] * 3, None
        large = uploads.enlarged(picture.pixels)
        box = gr.skip() if path else None  # an example empties the file box
        text = picture.described(picture.pixels)
        return text, picture, gr.update(value=large, visible=True), large, box

    def choose_example(event: gr.SelectData) -> tuple:
        return choose(lambda: [*examples.values()][event.index])

    file.upload(functools.partial(choose, uploads.picture), file, outputs, **READING)
    gallery.select(choose_example, None, outputs, **READING)
    return chosen


def _classes(models, name):
    classes = models.classes(name)
    return {"choices": classes, "value": -1 if classes else None, "visible": bool(classes)}


def _model(names, name):
    return gr.Dropdown(names, value=name, label="Model", filterable=False, min_width=200)


def _seed_and_variety():
    limits = {"precision": 0, "minimum": 0, "maximum": actions.MAX_SEED}
    seed = gr.Number(0, label="Seed", min_width=100, **limits)
    texts = {"label": "Variety", "info": "Less is smoother"}
    return seed, gr.Slider(*actions.SHIFTS, -0.5, step=0.1, min_width=240, **texts)


def _start(run, text, action, inputs, *, pair=None, tables=0, file=False, opens=None):
    """Adds a button that starts an action, another that cancels it, and components for its results.

    `pair` labels two images to compare; `file` adds a file to download. `opens` is a file component, and the
    action that an upload starts.
    """
    with gr.Row():
        button = gr.Button(text, variant="primary", scale=3)
        cancel = gr.Button("Cancel", visible="hidden", scale=1)
    outputs = {"text": gr.HTML(), "cancel": cancel}
    if file:
        options = {"interactive": False, "visible": "hidden", "elem_id": "written"}
        outputs["file"] = gr.File(label="The compressed file", **options)
    for number in range(tables):
        outputs[f"table {number}"] = gr.Dataframe(visible="hidden", buttons=["copy"])
    options = {"format": "png", "elem_classes": "pixels", "visible": "hidden"}
    if pair:
        outputs["pair"] = gr.ImageSlider(label=pair, interactive=False, **options)
    options |= {"columns": 4, "fit_columns": False, "object_fit": "contain"}
    options["buttons"] = ["download", "fullscreen"]
    outputs["images"] = gr.Gallery(label="Images: a click enlarges one", **options)
    answer = _answer(functools.partial(run, action), outputs)
    events = [button.click(answer, inputs, list(outputs.values()), **COMPUTING)]
    if opens:
        upload, action = opens
        outputs_and_upload = {**outputs, "refused": upload}
        answer = _answer(action, outputs_and_upload)
        components = list(outputs_and_upload.values())
        events.append(upload.upload(answer, upload, components, **COMPUTING))
    canceled = status_html("Canceled"), gr.update(visible="hidden")
    cancel.click(lambda: canceled, None, [outputs["text"], cancel], cancels=events)


def _answer(action, outputs):
    """A generator function of an action's inputs that yields values for `outputs`, and never raises."""
    tables = [key for key in outputs if key.startswith("table")]

    def changes(step, before):
        """Yields (key of `outputs`, update) for values that changed since the previous step."""
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

    def answers(*inputs):
        def values(**changed):
            return [changed.get(key, gr.skip()) for key in outputs]

        before = blank = actions.Step("", images=None, pair=(), tables=None, file=b"")
        try:
            with contextlib.closing(action(*inputs)) as steps:
                for step in steps:
                    done = step.share is None
                    # Finally, send everything again: browsers skip quick updates.
                    changed = dict(changes(step, blank if done else before))
                    yield values(**changed, cancel=gr.update(visible="hidden" if done else True))
                    before = step
        except Exception as error:  # show errors for any input
            yield values(text=error_html(error), cancel=gr.update(visible="hidden"), refused=None)

    return answers


def status_html(text, share=None):
    """An action's progress, announced by screen readers."""
    bar = "" if share is None else f'<progress value="{share:.3f}"></progress>'
    return f'<p role="status">{bar} {html.escape(text)}</p>'


def error_html(error):
    """An error, announced by screen readers."""
    logging.debug("%s", error, exc_info=error)
    return f'<p role="alert" class="error">{html.escape(explained(error))}</p>'


def explained(error):
    """An error's text, the received value first and the expectation last."""
    rule, separator, reason = str(error).partition(" Received: ")
    if separator and rule.startswith("Expected "):
        return f"{reason[:1].upper()}{reason[1:]} {rule}"
    return f"{type(error).__name__}: {error}"
