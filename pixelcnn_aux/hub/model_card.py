"""The model card of a repository: what the Hub shows as its page."""

import json

from pixelcnn_aux import arguments
from pixelcnn_aux.scores import splits

# What a card says in words, and what stands before it.
_WORDS = {
    "data": "Trained on",
    "license": "License of these images",
    "machine": "Trained by",
    "command": "Trained with",
}
_PAPER = "[Kolesnikov & Lampert, 2017](https://arxiv.org/abs/1612.08185)"


def text(repository, model, card, license=None):
    """README.md of a repository: Markdown, below its metadata as YAML.

    Args:
      repository: str, OWNER/NAME.
      model: `AuxiliaryModel`.
      card: dict, what is known of it: any of the keys that the card of a model of the package has.
      license: str, what the Hub calls the license of the model; None where it is not told.

    Returns:
      str.

    Raises:
      ValueError: for a card with other values than such a card has.
    """
    fields = {"library_name": "pixelcnn_aux", "pipeline_tag": "unconditional-image-generation"}
    fields |= {
        "tags": ["pixelcnn", "density-estimation"],
        **({"license": license} if license else {}),
    }
    metadata = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    names = list(model.factors)
    chain = [f"p({names[0]})", *(f"p({x} | {below})" for below, x in zip(names, names[1:]))]
    condition = "" if model.condition is None else f", given `{model.condition}`"
    likelihood = model.likelihood
    kind = f"{likelihood.num_channels} channels of {likelihood.num_values:,} values"
    known = "".join(f"- {line}\n" for line in _lines(model, card))
    return f"""---
{metadata}
---

# {repository.partition("/")[2]}

A PixelCNN model with auxiliary variables ({_PAPER}) of images with {kind}: `{" ".join(chain)}`{condition}.

```
{model}
```

{known}
```python
import pixelcnn_aux as pa  # beside it the package huggingface_hub has to be installed

model = pa.load("hf://{repository}")
model.bits_per_dim(images)  # [B, H, W, C], {arguments.pixel_dtype(likelihood.num_values)}
model.sample([[0, 1], [0, 2]])  # a seed for each image
```
"""


def _lines(model, card):
    """Yields what a card says, line by line."""
    if "bits_per_dim" in card:
        bits = arguments.positive("bits_per_dim", card["bits_per_dim"])
        count = arguments.whole("num_images", card.get("num_images"), largest=2**63)
        found = f"**{bits:.3f}** ({splits.kind(model)}"
        if (error := card.get("std_error")) is not None:  # of one image there is none
            found += f", standard error {arguments.positive('std_error', error):.3f}"
        split = _line(card.get("split"))
        yield f"Bits per dimension: {found}), the mean of {count:,} {split} images"
    for key, before in _WORDS.items():
        if card.get(key):
            yield f"{before}: {_line(card[key])}"
    if "seconds" in card:
        yield f"Training took {arguments.whole('seconds', card['seconds'], 0, 2**63) / 3600:.1f} hours"


def _line(value):
    """Text as one line, whatever it holds."""
    return " ".join(str(value).split())
