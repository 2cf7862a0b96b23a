"""The page: its components, and the action that each button starts."""

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
from pixelcnn_aux.runs import trained

TITLE = "PixelCNN models with auxiliary variables"
ABOUT = "Everything is computed on this machine, one thing at a time. Nothing is sent anywhere."
FILES = (
    f"PNG, JPEG, TIFF or WebP, at most {uploads.MAX_BYTES >> 20} MB and {uploads.MAX_PIXELS >> 20} million "
    f"pixels. A picture of more than {uploads.KEPT_PIXELS:,} pixels is reduced."
)
CSS = """
/* Pixels are to be seen, however few there are. */
.pixels img { image-rendering: pixelated; }
.pixels .grid-wrap { max-height: none; min-height: 0; padding-top: 28px; }
/* Fewer columns where images would have less than 130 pixels. */
.pixels .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(max(130px, calc(100% / var(--grid-cols) - 8px)), 1fr)); }
/* Two lines; a click shows all of it. */
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
# Waiting and computing, for which `work.Worker` has turns; and reading of files, one at a time.
COMPUTING = {"concurrency_id": "computing", "concurrency_limit": 64, "show_progress": "hidden"}
READING = {"concurrency_id": "reading", "concurrency_limit": 1}
PATIENCE = 5  # seconds, for a browser to listen to what it has asked for
STAY = 0.2  # seconds that it listens before the work begins


class Page(gr.Blocks):
    """A page whose functions answer clients that listen, and are given files of its own uploads alone.

    Gradio checks paths of pages that it launches, not of mounted ones, and fetches addresses given as paths.
    """

    async def process_api(self, *args, **call):
        try:
            if call["iterator"] is None:
                uploads.require_own(call["inputs"], get_upload_folder())
                sent, session = self._queue.pending_messages_per_session, call["session_hash"]
                async with asyncio.timeout(PATIENCE):
                    while not sent[session].empty():  # nobody has fetched that the work begins
                        await asyncio.sleep(0.02)
                await asyncio.sleep(STAY)
                expect(session in sent, "a page that is open", "none", "Reload it")
            return await super().process_api(*args, **call)
        except Exception as error:  # any request: without a traceback
            raise gr.Error(explained(error), print_exception=False) from None


def build(models, run):
    """The page, `gradio.Blocks`, of `actions.Models`. Its actions are run by `work.Worker.run`."""
    # Of the class, since Gradio makes new editors: `uploads.mask` checks layers before it decodes them.
    gr.ImageEditor.preprocess = lambda _, value: [x.path for x in value.layers] if value else []
    # Uploaded files are removed when they are nine minutes old, looked for once a minute.
    with Page(title=TITLE, delete_cache=(60, 540), fill_width=True) as page:
        page.state_session_capacity, page.max_threads = 256, 128  # the former keep a picture each
        gr.Markdown(f"# {TITLE}\n\n{ABOUT}")
        examples = {x: uploads.photograph(x) for x in photos.names()[:3]}
        first = next(iter(examples.values()), None)  # None without scikit-image
        how = {"sources": (), "transforms": (), "layers": False, "buttons": [], "format": "png"}
        how["brush"] = gr.Brush(default_size=20, colors=["#e6007e"], color_mode="fixed")
        large = first and uploads.enlarged(first.pixels)
        editor = gr.ImageEditor(large, label="The region", elem_id="region", render=False, **how)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                picture = _picture(editor, examples, first)
            with gr.Column(scale=3, min_width=340), gr.Tabs(overflow_behavior="wrap"):
                start = functools.partial(_start, run)
                with gr.Tab("Enlarge, color"):
                    gr.Markdown(
                        "Draws it three times: larger (about a minute), or in colors (15 s)."
                    )
                    [default, *_] = choices = list(actions.REDRAWS)
                    what = gr.Radio(choices, value=default, label="What the picture becomes")
                    with gr.Row():
                        model = _model(models.names, actions.REDRAWS[default][0])
                        seed, variety = _seed_and_variety()
                    inputs = [model, what, picture, seed, variety]
                    what.change(actions.REDRAWS.get, what, [model, variety])
                    start("Draw three times", actions.redraw, inputs, pair="Before and after")
                with gr.Tab("Complete"):
                    gr.Markdown(
                        "Paint over a part: it is drawn anew, three times (about a minute)."
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
                    how = {"height": 140, "elem_id": "compressed-file"}
                    file = gr.File(label="A compressed file, to open it", **how)
                    how = {"pair": "The picture and its bits", "tables": 2, "makes": True}
                    opens = file, lambda path: run(actions.decompress, *uploads.compressed(path))
                    start("Compress", actions.compress, [model, picture], opens=opens, **how)
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
    """The components that choose a picture, and its state, an `uploads.Picture`, which is returned."""
    chosen = gr.State(first, time_to_live=3600)
    how = {"interactive": False, "format": "png", "buttons": []}
    label, pixels = "The picture", first and uploads.enlarged(first.pixels)
    preview = gr.Image(pixels, label=label, alt_text=label, visible=bool(first), height=200, **how)
    message = gr.HTML(first and first.taken(first.pixels), elem_id="picture-message")
    shown = [(x.pixels, name.partition(".")[0]) for name, x in examples.items()]
    how |= {"columns": 3, "allow_preview": False, "elem_classes": "pixels", "elem_id": "examples"}
    gallery = gr.Gallery(shown, label="Examples, of scikit-image", visible=bool(shown), **how)
    file = gr.File(label="Or your own picture", elem_id="picture-file", height=140)
    gr.Markdown(FILES)
    outputs = [message, chosen, preview, editor, file]

    def choose(read, *given):
        try:
            picture = read(*given)
        except Exception as error:  # any file: the page goes on, with the picture that it had
            return error_html(error), *[gr.skip()] * 3, None
        said, large = picture.taken(picture.pixels), uploads.enlarged(picture.pixels)
        box = gr.skip() if given else None  # of the file before the example
        return said, picture, gr.update(value=large, visible=True), large, box

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
    most = actions.MAX_SEED
    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=most, min_width=100)
    info = {"label": "Variety", "info": "Less is smoother"}
    return seed, gr.Slider(*actions.SHIFTS, -0.5, step=0.1, min_width=240, **info)


def _start(run, text, action, inputs, *, pair=None, tables=0, makes=False, opens=None):
    """A button that starts an action, another that cancels it, and components for its results.

    `pair` labels two images to compare, `makes` says whether it makes a file. `opens` is a component for a
    file, and the action that its upload starts.
    """
    with gr.Row():
        button = gr.Button(text, variant="primary", scale=3)
        cancel = gr.Button("Cancel", visible="hidden", scale=1)
    outputs = {"text": gr.HTML(), "cancel": cancel}
    if makes:
        how = {"interactive": False, "visible": "hidden", "elem_id": "written"}
        outputs["file"] = gr.File(label="The compressed file", **how)
    for number in range(tables):
        outputs[f"table {number}"] = gr.Dataframe(visible="hidden", buttons=["copy"])
    how = {"format": "png", "elem_classes": "pixels", "visible": "hidden"}
    if pair:
        outputs["pair"] = gr.ImageSlider(label=pair, interactive=False, **how)
    how |= {"columns": 4, "fit_columns": False, "object_fit": "contain"}
    how["buttons"] = ["download", "fullscreen"]
    outputs["images"] = gr.Gallery(label="Images: a click enlarges one", **how)
    answer = _answer(functools.partial(run, action), outputs)
    events = [button.click(answer, inputs, list(outputs.values()), **COMPUTING)]
    if opens:
        file, action = opens
        refusing = {**outputs, "refused": file}
        answer, refusing = _answer(action, refusing), list(refusing.values())
        events.append(file.upload(answer, file, refusing, **COMPUTING))
    canceled = status_html("Canceled"), gr.update(visible="hidden")
    cancel.click(lambda: canceled, None, [outputs["text"], cancel], cancels=events)


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
        def values(**changed):
            return [changed.get(key, gr.skip()) for key in outputs]

        before = blank = actions.Step("", images=None, pair=(), tables=None, file=b"")
        try:
            with contextlib.closing(action(*given)) as steps:
                for step in steps:
                    done = step.share is None
                    # Then all again: browsers skip updates that come fast.
                    changed = dict(changes(step, blank if done else before))
                    yield values(**changed, cancel=gr.update(visible="hidden" if done else True))
                    before = step
        except Exception as error:  # any input: the page goes on
            yield values(text=error_html(error), cancel=gr.update(visible="hidden"), refused=None)

    return answers


def status_html(text, share=None):
    """The progress of an action, which screen readers announce."""
    bar = "" if share is None else f'<progress value="{share:.3f}"></progress>'
    return f'<p role="status">{bar} {html.escape(text)}</p>'


def error_html(error):
    """An error, which screen readers announce."""
    logging.debug("%s", error, exc_info=error)
    return f'<p role="alert" class="error">{html.escape(explained(error))}</p>'


def explained(error):
    """The text of an error, the reason first and the rule last."""
    rule, separator, reason = str(error).partition(" Received: ")
    if separator and rule.startswith("Expected "):
        return f"{reason[:1].upper()}{reason[1:]} {rule}"
    return f"{type(error).__name__}: {error}"
