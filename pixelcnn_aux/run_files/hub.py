"""Model repositories on the Hugging Face Hub: names, downloads and uploads, through huggingface_hub.

A name is hf://OWNER/NAME or hf://OWNER/NAME@REVISION. A repository holds a run's folder and a model card,
README.md. Only the files named in `FILES` are read, up to the sizes below; their contents are checked where
they are read, as for any run.
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
MOST_WEIGHTS = 2**32  # bytes over all factors, many times those of the paper's networks
MOST_OTHERS = 2**24  # bytes of other files, which are read into memory

_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
# Folder of a commit in the Hub's cache.
_SNAPSHOT = re.compile(r"/models--([^/]+--[^/]+)/snapshots/[^/]+$")


def is_name(path: Any) -> bool:
    """Whether this is meant as the name of a repository rather than a path."""
    return isinstance(path, str) and path.startswith("hf://")


def parse(name: Any) -> tuple[str, str | None]:
    """Splits a name into (OWNER/NAME, revision or None). Raises ValueError for a malformed one."""
    if not isinstance(name, str) or not (match := _NAME.fullmatch(name)):
        raise _malformed(name)
    return match[1], match[2]


def _malformed(name):
    return ValueError(
        "Expected a model repository of the Hugging Face Hub as hf://owner/name or hf://owner/name@revision. "
        f"Received: {arguments.short_repr(name)}. Give such a name."
    )


def in_cache(path: Any) -> str | None:
    """OWNER--NAME of the repository of a folder in the Hub's cache; None for other folders."""
    match = _SNAPSHOT.search(os.path.abspath(path))
    return match and match[1]


def download(name):
    """Downloads the run in a repository: a `pathlib.Path` in the Hub's cache.

    Without a connection, uses the last download. Raises as `load`.
    """
    repository, revision = parse(name)
    with _connected(name) as (api, errors):
        try:
            info = api.model_info(repository, revision=revision, files_metadata=True)
        except errors.HfHubHTTPError:
            raise
        except (errors.HTTPError, ConnectionError):
            options = {"allow_patterns": [*FILES], "local_files_only": True}
            return pathlib.Path(api.snapshot_download(repository, revision=revision, **options))
        sizes = _checked_sizes(name, info)
        options = {"allow_patterns": [*sizes]}
        folder = pathlib.Path(api.snapshot_download(repository, revision=revision, **options))
        received = {x: (folder / x).stat().st_size for x in sizes if (folder / x).is_file()}
    for file, size in sizes.items():
        # Others are truncated, or of a newer commit.
        expected = f"{file} of {name} with {size:,} bytes, as the Hub lists it"
        remedy = f"Remove {folder.parents[1]}, and load it again"
        expect(received.get(file) == size, expected, f"{received.get(file, 0):,}", remedy)
    return folder


def upload(name, folder):
    """Commits a folder's files to a repository, replacing a run's other files; returns the commit's name."""
    repository, revision = parse(name)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    added = {path.relative_to(folder).as_posix(): path for path in files}
    with _connected(name) as (api, _):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(repository, exist_ok=True)
        info = api.model_info(repository, revision=revision)
        old = _run_files(info)
        operations = [CommitOperationDelete(file) for file in old if file not in added]
        operations += [CommitOperationAdd(file, path) for file, path in added.items()]
        options = {"commit_message": "A model of pixelcnn_aux", "revision": revision}
        # Mixed with a concurrent push, the files would not be a run.
        commit = api.create_commit(repository, operations, parent_commit=info.sha, **options)
    return f"hf://{repository}@{commit.oid}"


def _run_files(info):
    """The `FILES` in a repository: dict, path -> size in bytes, or None if unknown."""

    def is_ours(path, pattern):
        return fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/")

    sizes = {file.rfilename: file.size for file in info.siblings}
    return {path: sizes[path] for path in sizes if any(is_ours(path, x) for x in FILES)}


def _checked_sizes(name, info):
    """`_run_files` of a repository. Raises ValueError if it has no model, or a too large one."""
    sizes = _run_files(info)
    weights = fnmatch.filter(sizes, _WEIGHTS)
    listed = ", ".join(file.rfilename for file in info.siblings) or "no files"
    expected = "a repository with config.json and FACTOR/average.safetensors, as pa.push leaves it"
    remedy = "Give one of a model of pixelcnn_aux"
    expect("config.json" in sizes and weights, expected, f"{name}, with {listed:.200}", remedy)
    bounds = {path: math.inf if size is None else size for path, size in sizes.items()}
    weight_bytes = sum(bounds[path] for path in weights)
    other_bytes = sum(bounds.values()) - weight_bytes
    expected = f"at most {MOST_WEIGHTS:,} bytes of weights and {MOST_OTHERS:,} of other files"
    received = f"{name}, with {weight_bytes:,} and {other_bytes:,}"
    remedy = "If you trust it, download it (hf download) and load that folder"
    fits = weight_bytes <= MOST_WEIGHTS and other_bytes <= MOST_OTHERS
    expect(fits, expected, received, remedy)
    return sizes


@contextlib.contextmanager
def _connected(name):
    """Yields the Hub's API and its errors module; adds remedies to errors raised within."""
    needed = f"huggingface_hub, to read and write {name}"
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
                "revision that does not exist, or that you may not read. Check the name, or log in "
                "(hf auth login) as someone who has access."
            ) from error
        except (errors.HTTPError, OSError, RuntimeError) as error:  # HTTPErrors are the Hub's own
            if getattr(error, "errno", None) is not None:
                raise  # to `explained`
            received = f"{type(error).__name__}, {' '.join(str(error).split()):.200}"
            status = isinstance(error, errors.HfHubHTTPError) and error.response.status_code
            error_type, remedy = ConnectionError, "Check the connection, and try again"
            hub = "the Hugging Face Hub"
            expected = f"{hub} to answer about {name}"
            if status in (401, 403):
                error_type = PermissionError
                remedy = "Log in (hf auth login) with a token that may"
                expected = f"to be logged in to {hub} as someone who may use {name}"
            elif status == 412:
                remedy, expected = "Push again", f"{name} as it was when this push began"
            raise error_type(f"Expected {expected}. Received: {received}. {remedy}.") from error
