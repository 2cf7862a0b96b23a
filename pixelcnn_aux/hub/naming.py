"""Names of model repositories on the Hugging Face Hub: hf://OWNER/NAME, and hf://OWNER/NAME@REVISION."""

import os
import re
from typing import Any, NamedTuple

from pixelcnn_aux import arguments

_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
# Where the Hub's cache has the files of a commit.
_SNAPSHOT = re.compile(r"/models--([^/]+--[^/]+)/snapshots/[^/]+$")


class HubName(NamedTuple):
    repository: str  # OWNER/NAME
    revision: str | None  # a branch, tag or commit; None for the main branch


def is_name(path: Any) -> bool:
    """Whether this is, or is meant to be, the name of a repository rather than a path."""
    return isinstance(path, str) and path.startswith("hf://")


def parse(name: Any) -> HubName:
    """The parts of a name. Raises ValueError where it is none."""
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise malformed(name)
    return HubName(*found.groups())


def malformed(name: Any) -> ValueError:
    """The error to raise for what is no name of a repository."""
    return ValueError(
        "Expected a model repository of the Hugging Face Hub as hf://owner/name or hf://owner/name@revision. "
        f"Received: {arguments.shown(name)}. Give such a name."
    )


def in_cache(path: Any) -> str | None:
    """OWNER--NAME of the repository whose files a folder of the Hub's cache has; None for other folders."""
    found = _SNAPSHOT.search(os.path.abspath(path))
    return found and found[1]
