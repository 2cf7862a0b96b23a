"""Model repositories on the Hugging Face Hub: their names, downloads and uploads, through huggingface_hub.

A name is hf://OWNER/NAME, or hf://OWNER/NAME@REVISION. A repository holds the folder of a run, and README.md,
its model card. Of what others put there files of these names alone are read, up to these sizes. Their
contents are checked where they are read, as of any run.
"""

import contextlib
import fnmatch
import math
import os
import pathlib
import re
from typing import Any

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect, needs

_WEIGHTS = "*/average.safetensors"
FILES = ("config.json", "card.json", _WEIGHTS, "*/training.json", "*/metrics.csv")
MOST_WEIGHTS = 2**32  # bytes, of all factors: many times what the paper's networks have
MOST_OTHERS = 2**24  # bytes, which are read into memory

_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
# The folder of a commit in the Hub's cache.
_SNAPSHOT = re.compile(r"/models--([^/]+--[^/]+)/snapshots/[^/]+$")


def is_name(path: Any) -> bool:
    """Whether this is, or is meant to be, the name of a repository rather than a path."""
    return isinstance(path, str) and path.startswith("hf://")


def parse(name: Any) -> tuple[str, str | None]:
    """(OWNER/NAME, branch, tag, commit or None) of a name. Raises ValueError for a malformed one."""
    if not isinstance(name, str) or not (found := _NAME.fullmatch(name)):
        raise _malformed(name)
    return found[1], found[2]


def _malformed(name):
    return ValueError(
        "Expected a model repository of the Hugging Face Hub as hf://owner/name or hf://owner/name@revision. "
        f"Received: {arguments.short_repr(name)}. Give such a name."
    )


def in_cache(path: Any) -> str | None:
    """OWNER--NAME of the repository that a folder of the Hub's cache belongs to; None for other folders."""
    found = _SNAPSHOT.search(os.path.abspath(path))
    return found and found[1]


def download(name):
    """The folder of the run in a repository, a `pathlib.Path` in the Hub's cache.

    Without a connection it is the one that was downloaded last. Raises as `load`.
    """
    repository, revision = parse(name)
    with _connected(name) as (api, errors):
        try:
            info = api.model_info(repository, revision=revision, files_metadata=True)
        except errors.HfHubHTTPError:
            raise
        except (errors.HTTPError, ConnectionError):
            files = {"allow_patterns": [*FILES], "local_files_only": True}
            return pathlib.Path(api.snapshot_download(repository, revision=revision, **files))
        sizes = _checked_sizes(name, info)
        found = api.snapshot_download(repository, revision=revision, allow_patterns=[*sizes])
        folder = pathlib.Path(found)
        received = {x: (folder / x).stat().st_size for x in sizes if (folder / x).is_file()}
    for file, size in sizes.items():
        # Others were cut short, or are of a commit that came meanwhile.
        expected = f"{file} of {name} with {size:,} bytes, as the Hub has listed it"
        remedy = f"Remove {folder.parents[1]}, and load it again"
        expect(received.get(file) == size, expected, f"{received.get(file, 0):,}", remedy)
    return folder


def upload(name, folder):
    """Commits the files in a folder, in place of others of a run, to a repository: the name of the commit."""
    repository, revision = parse(name)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    added = {path.relative_to(folder).as_posix(): path for path in files}
    with _connected(name) as (api, _):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(repository, exist_ok=True)
        info = api.model_info(repository, revision=revision)
        there = _run_files(info)
        operations = [CommitOperationDelete(file) for file in there if file not in added]
        operations += [CommitOperationAdd(file, path) for file, path in added.items()]
        how = {"commit_message": "A model of pixelcnn_aux", "revision": revision}
        # Beside files that somebody else pushes meanwhile, these would be no run.
        commit = api.create_commit(repository, operations, parent_commit=info.sha, **how)
    return f"hf://{repository}@{commit.oid}"


def _run_files(info):
    """The `FILES` in a repository: dict, path -> size in bytes, or None where it was not asked for."""

    def is_ours(path, pattern):
        return fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/")

    sizes = {file.rfilename: file.size for file in info.siblings}
    return {path: sizes[path] for path in sizes if any(is_ours(path, x) for x in FILES)}


def _checked_sizes(name, info):
    """`_run_files` of a repository that may be downloaded. Raises ValueError for others."""
    sizes = _run_files(info)
    weights = fnmatch.filter(sizes, _WEIGHTS)
    found = ", ".join(file.rfilename for file in info.siblings) or "no files"
    expected = "a repository with config.json and FACTOR/average.safetensors, as pa.push leaves it"
    remedy = "Give one of a model of pixelcnn_aux"
    expect("config.json" in sizes and weights, expected, f"{name}, with {found:.200}", remedy)
    known = {path: math.inf if size is None else size for path, size in sizes.items()}
    total = sum(known[path] for path in weights)
    others = sum(size for path, size in known.items() if path not in weights)
    expected = f"at most {MOST_WEIGHTS:,} bytes of weights and {MOST_OTHERS:,} of other files"
    received = f"{name}, with {total:,} and {others:,}"
    remedy = "If you trust it, download it (hf download) and load that folder"
    expect(total <= MOST_WEIGHTS and others <= MOST_OTHERS, expected, received, remedy)
    return sizes


@contextlib.contextmanager
def _connected(name):
    """Yields the Hub's API and the module of its errors, which get a remedy if they are raised within."""
    needed = f"huggingface_hub, by which {name} is read or written"
    with needs(needed, "Run pip install huggingface_hub"):
        import huggingface_hub
        from huggingface_hub import errors
    with disk.explained("to keep files in the Hub's cache (HF_HOME)"):
        try:
            yield huggingface_hub.HfApi(library_name="pixelcnn_aux"), errors
        except errors.HFValidationError as error:
            raise _malformed(name) from error
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise FileNotFoundError(
                f"Expected a model repository of the Hugging Face Hub. Received: {name}, a repository or "
                "revision that is not there, or not for you to read. Check the name, or log in "
                "(hf auth login) as someone who has access."
            ) from error
        except (errors.HTTPError, OSError, RuntimeError) as error:  # HTTPErrors are the Hub's own
            if getattr(error, "errno", None) is not None:
                raise  # `explained`
            received = f"{type(error).__name__}, {' '.join(str(error).split()):.200}"
            status = isinstance(error, errors.HfHubHTTPError) and error.response.status_code
            kind, remedy = ConnectionError, "Check the connection, and try again"
            hub = "the Hugging Face Hub"
            expected = f"{hub} to answer about {name}"
            if status in (401, 403):
                kind, remedy = PermissionError, "Log in (hf auth login) with a token that may"
                expected = f"to be logged in to {hub} as someone who may use {name} so"
            elif status == 412:
                remedy, expected = "Push again", f"{name} as it was when this push began"
            raise kind(f"Expected {expected}. Received: {received}. {remedy}.") from error
