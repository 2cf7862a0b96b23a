"""The page: what stands where, and which action each button starts."""

import pathlib
import tempfile

import gradio as gr

from pixelcnn_aux.data import photos
from pixelcnn_aux.demo import compress, draw, redraw, score, uploads
from pixelcnn_aux.demo.answers import answer, attempt
from pixelcnn_aux.demo.models import IN_WINDOWS
from pixelcnn_aux.demo.shown import Figure, Shown, contents, painting
from pixelcnn_aux.runs import trained

TITLE = "PixelCNN models with auxiliary variables"
ABOUT = f"""
# {TITLE}

Everything is computed on this machine, and nothing is sent anywhere. One thing is computed at a time: what
else is asked for waits. The first use of a model takes some seconds longer.
"""
FILES = (
    f"PNG, JPEG, TIFF or WebP, at most {uploads.MAX_BYTES >> 20} MB and {uploads.MAX_PIXELS >> 20} million "
    f"pixels. Larger than {uploads.KEPT_PIXELS:,} pixels, it is reduced."
)
# Long ones, and the moments in which a file becomes a picture, each one at a time.
COMPUTING = {"concurrency_id": "computing", "concurrency_limit": 1}
READING = {"concurrency_id": "reading", "concurrency_limit": 1}


def build(models):
    """The page, `gradio.Blocks`, of `Models`."""
    # Files that people send are gone ten minutes later.
    with gr.Blocks(title=TITLE, delete_cache=(60, 600)) as page:
        gr.Markdown(ABOUT)
        picture, painted = _picture()
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Draw"):
                _draw(models)
            with gr.Tab("Enlarge and color"):
                _redraw(models, picture)
            with gr.Tab("Complete"):
                painted.render()
                _complete(models, picture)
            with gr.Tab("Compress"):
                _compress(models, picture)
            with gr.Tab("Scores"):
                _score(models, picture)
    return page.queue(max_size=16, api_open=False)


def _picture():
    """Where a picture is chosen: (its state, the HTML to paint on it, which is placed later)."""
    chosen, painted = gr.State(time_to_live=3600), gr.HTML(render=False)
    with gr.Row():
        with gr.Column():
            file = gr.File(label="A picture", elem_id="picture-file", height=140)
            gr.Markdown(FILES)
        with gr.Column():
            names = {name.partition(".")[0].replace("_", " "): name for name in photos.names()}
            example = gr.Dropdown(
                list(names.items()),
                value=None,
                label="Or a photograph of scikit-image",
                visible=bool(names),
                elem_id="example",
            )
            said = gr.HTML(elem_id="picture-said")
        with gr.Column():
            preview = gr.HTML(elem_id="picture")
    outputs = [chosen, said, preview, painted]

    def choose(pixels):
        height, width, _ = pixels.shape
        shown = contents(Shown("", figures=(Figure("The picture", [pixels]),)))
        small = uploads.reduced(pixels, IN_WINDOWS)
        return pixels, f"{width} x {height} pixels", shown, painting(small)

    def read(path):
        return choose(uploads.picture(path))

    def take(name):
        return choose(uploads.reduced(photos.read(name), uploads.KEPT_PIXELS))

    file.upload(attempt(read, outputs), file, outputs, **READING)
    example.input(attempt(take, outputs), example, outputs, **READING)
    return chosen, painted


def _draw(models):
    with gr.Row():
        model = _model(models, trained.DEFAULT)
        how = {"precision": 0, "visible": models.has_classes(trained.DEFAULT)}
        label = gr.Number(-1, label="Class; -1 is none", **how)
        seed, shift = _how(shift=0)
        is_map = gr.Checkbox(False, label="MAP sampling")

    model.change(lambda x: gr.update(visible=models.has_classes(x)), model, label, queue=False)
    _start("Draw", lambda *x: draw.draw(models, *x), [model, seed, shift, is_map, label])


def _redraw(models, picture):
    with gr.Row():
        [first, *_] = redraw.DEFAULTS
        what = gr.Radio(list(redraw.DEFAULTS), value=first, label="What the picture becomes")
        model = _model(models, redraw.DEFAULTS[first])
        seed, shift = _how()
    what.change(redraw.DEFAULTS.get, what, model, queue=False)
    _start(
        "Draw it several times",
        lambda *x: redraw.redraw(models, *x),
        [model, what, picture, seed, shift],
    )


def _complete(models, picture):
    with gr.Row():
        model = _model(models, redraw.COMPLETES)
        seed, shift = _how()
    # What is painted is on the canvas alone, where the button reads it.
    region = gr.Textbox(visible=False)
    _start(
        "Draw what is painted over",
        lambda *x: redraw.complete(models, *x),
        [model, picture, region, seed, shift],
        js="(model, picture, region, ...how) => [model, picture, paintedRegion(), ...how]",
    )


def _compress(models, picture):
    model = _model(models, compress.DEFAULT)
    with gr.Row():
        button = gr.Button("Compress", variant="primary")
        file = gr.File(label="A compressed file, to open it", elem_id="compressed-file", height=120)
    written = gr.File(
        label="The compressed file", interactive=False, visible=False, elem_id="written"
    )
    said, found = gr.HTML(elem_id="compress-said"), gr.HTML(elem_id="compress-found")

    def save(data):
        if data is None:
            return gr.update(value=None, visible=False)
        path = pathlib.Path(tempfile.mkdtemp(), "picture.pxa")
        path.write_bytes(data)
        return gr.update(value=str(path), visible=True)

    def pack(*given):
        return compress.compress(models, *given)

    def unpack(path):
        return compress.decompress(models, *uploads.compressed(path))

    outputs = [said, found, written]
    button.click(answer(pack, save), [model, picture], outputs, **COMPUTING)
    file.upload(answer(unpack, save), file, outputs, **COMPUTING)


def _score(models, picture):
    model = _model(models, trained.DEFAULT)
    _start("Score", lambda *x: score.score(models, *x), [model, picture])


def _model(models, name):
    return gr.Dropdown(models.names, value=name, label="Model", filterable=False, min_width=240)


def _how(shift=-0.3):
    """(seed, shift of log-scales), components."""
    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=draw.MAX_SEED)
    low, high = draw.SHIFTS
    info = "Below 0, draws vary less"
    return seed, gr.Slider(low, high, shift, step=0.1, label="Shift of log-scales", info=info)


def _start(text, action, inputs, js=None):
    """A button that starts an action, and below it what that says and finds."""
    button = gr.Button(text, variant="primary")
    outputs = [gr.HTML(), gr.HTML()]
    button.click(answer(action), inputs, outputs, js=js, **COMPUTING)
