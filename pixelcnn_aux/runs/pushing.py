"""Uploads a model to a repository of the Hugging Face Hub, with its model card."""

import json
import tempfile

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.run_files import hub, metrics_table, trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.run_files.tensors import fingerprint
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.scores import splits

_PAPER = "[Kolesnikov & Lampert, 2017](https://arxiv.org/abs/1612.08185)"
_WORDS = {
    "data": "Trained on",
    "license": "License of these images",
    "machine": "Trained by",
    "command": "Trained with",
}
_FIGURES = ("bits_per_dim", "std_error", "split", "num_images", "seconds")  # of a card


def push(model: AuxiliaryModel, name: str, license: str | None = None) -> str:
    """Uploads a model to a repository on the Hugging Face Hub, from which `load` can load it.

    The repository receives the model's description and weights, and a model card, README.md. If the model is
    unchanged since `load`, the upload also describes its run: each factor's training and learning curve, and
    the bits per dimension that `pixelcnn-aux bpd` measured with these weights. Paths of this machine are left
    out.

    The upload is one commit, which replaces the files of an earlier push and leaves others as they are. A
    missing repository is created as a public one: create it beforehand to make it private. Log in first, by
    `hf auth login`.

    Args:
      model: `AuxiliaryModel` with all factors trained.
      name: "hf://OWNER/NAME", or "hf://OWNER/NAME@BRANCH" for an existing branch.
      license: the Hub's name of the model's license, such as "apache-2.0"; None leaves it out.

    Returns:
      str, the name with the commit, from which `load` loads this exact model whatever is pushed later.

    Raises:
      ImportError: without huggingface_hub.
      FileNotFoundError, ConnectionError, PermissionError: if the repository cannot be read or written.
      OSError: if a file cannot be read or written.
      ValueError: for a malformed name, an untrained factor, a part of an unregistered class, or a file of the
        run that is damaged or links to elsewhere, as it would become public.
    """
    arguments.instance("model", model, AuxiliaryModel).require(model.factors)
    arguments.instance("license", license, str, optional=True)
    repository, _ = hub.parse(name)
    run = _unchanged_run(model)
    with tempfile.TemporaryDirectory() as folder:
        pushed = RunFolder(folder)
        card = _card(model, run) if run else {}
        config = run.shared_config() if run else {}
        disk.write_json(pushed.config_file, {**config, "model": model.description()})
        for factor in model.factors.values():
            target = pushed[factor.name]
            target.save_weights(factor)
            if run and (settings := run[factor.name].shared_training()) is not None:
                target.record_training({k: x for k, x in settings.items() if _is_setting(k, x)})
            if run and (rows := metrics_table.read(run[factor.name].metrics)):
                metrics_table.write(target.metrics, rows)
        if card:
            disk.write_json(pushed.path / "card.json", card)
        page = _model_card(repository, model, card, license)
        (pushed.path / "README.md").write_text(page, encoding="utf-8")
        return hub.upload(name, pushed.path)


def _unchanged_run(model):
    """The `RunFolder` that a model was loaded from; None if there is none or the model has changed."""
    if model.loaded_from is None:
        return None
    run = RunFolder(trained.find(model.loaded_from))
    own = fingerprint(model)
    has_best = all(disk.exists(run[name].best) for name in model.factors)
    options = (False, True) if has_best else (False,)
    if not any(fingerprint(load(run.path, best=best)) == own for best in options):
        return None
    in_cache = hub.in_cache(run.path) is not None  # the cache consists of links
    root = run.path.resolve().parents[1] if in_cache else run.path.resolve()
    for file in (file for pattern in hub.FILES for file in run.path.glob(pattern)):
        target = file.resolve()
        expected = f"{file}, which would be public, to lie there"
        remedy = "Put the file itself there, or remove it"
        expect(target.is_relative_to(root), expected, f"a link to {target}", remedy)
    return run


def _is_setting(key, value):
    """Whether an entry of training.json may be published: numbers, or one of two names."""
    types = (int, float, type(None), *[str] * (key in ("policy", "init")))
    return all(isinstance(x, types) for x in (value if isinstance(value, list) else [value]))


def _card(model, run):
    """The known facts of a run: dict, some of the keys of `trained.pretrained`."""
    packed = run.path / "card.json"
    if disk.exists(packed):
        card = disk.read_dict(packed, "a trained model's card")
        return {key: x for key, x in card.items() if key in (*_WORDS, *_FIGURES)}
    dataset = run.config().get("dataset")
    file = trained.outputs(run.path) / "bpd.json"
    card = {"data": dataset} if dataset else {}
    figures = disk.read_dict(file, "figures") if disk.exists(file) else {}
    expected = {
        "dataset": dataset,
        "model": fingerprint(model.with_exact(True)),  # as evaluation records it
        "condition": None if model.condition is None else True,  # labels were used
    }
    if all(figures.get(key) == value for key, value in expected.items()):
        bits = figures[splits.bits_kind(model)]
        card |= {"bits_per_dim": bits["total"], "std_error": bits["std_error"]}
        card |= {"split": figures["split"], "num_images": figures["num_images"]}
    return card


def _model_card(repository, model, card, license):
    """The README.md of a repository OWNER/NAME: YAML metadata, then Markdown."""
    fields = {"library_name": "pixelcnn_aux", "pipeline_tag": "unconditional-image-generation"}
    fields["tags"] = ["pixelcnn", "density-estimation"]
    if license:
        fields["license"] = license
    metadata = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    names = list(model.factors)
    chain = [f"p({names[0]})", *(f"p({x} | {below})" for below, x in zip(names, names[1:]))]
    condition = "" if model.condition is None else f", given `{model.condition}`"
    likelihood = model.likelihood
    values = f"{likelihood.num_channels} channels of {likelihood.num_values:,} values"
    facts = "".join(f"- {line}\n" for line in _facts(model, card))
    return f"""---
{metadata}
---

# {repository.partition("/")[2]}

A PixelCNN model with auxiliary variables ({_PAPER}) of images with {values}: `{" ".join(chain)}`{condition}.

```
{model}
```

{facts}
```python
import pixelcnn_aux as pa  # needs the package huggingface_hub too

model = pa.load("hf://{repository}")
model.bits_per_dim(images)  # [B, H, W, C], {arguments.pixel_dtype(likelihood.num_values)}
model.sample([[0, 1], [0, 2]])  # a seed for each image
```
"""


def _facts(model, card):
    """Yields the facts of a card as lines of text. Raises ValueError for damaged ones."""

    def line(value):
        return " ".join(str(value).split())

    if "bits_per_dim" in card:
        bits = arguments.positive("bits_per_dim", card["bits_per_dim"])
        count = arguments.whole("num_images", card.get("num_images"), largest=2**63)
        text = f"**{bits:.3f}** ({splits.bits_kind(model)}"
        if (error := card.get("std_error")) is not None:  # None for a single image
            text += f", standard error {arguments.positive('std_error', error):.3f}"
        yield f"Bits per dimension: {text}), the mean of {count:,} {line(card.get('split'))} images"
    for key, words in _WORDS.items():
        if card.get(key):
            yield f"{words}: {line(card[key])}"
    if "seconds" in card:
        yield f"Training took {arguments.whole('seconds', card['seconds'], 0, 2**63) / 3600:.1f} hours"
