"""Downloads what a repository on the Hub holds of a run, and uploads it, through huggingface_hub.

What others have put there is read as little as possible: files of these names alone, up to these sizes. What
they hold is checked where it is read, as of any run.
"""

import contextlib
import fnmatch
import math
import os
import pathlib
import re
from typing import Any, NamedTuple

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk

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
        f"Received: {arguments.short_repr(name)}. Give such a name."
    )


def in_cache(path: Any) -> str | None:
    """OWNER--NAME of the repository whose files a folder of the Hub's cache has; None for other folders."""
    found = _SNAPSHOT.search(os.path.abspath(path))
    return found and found[1]


_WEIGHTS = "*/average.safetensors"
FILES = ("config.json", "card.json", _WEIGHTS, "*/training.json", "*/metrics.csv")
MOST_WEIGHTS = 2**32  # bytes, of all factors: many times what the paper's networks have
MOST_OTHERS = 2**24  # bytes, which are read into memory


def download(name):
    """The folder of the run that a repository holds, a `pathlib.Path` in the Hub's cache.

    Without a connection it is the one that was downloaded last.

    Raises:
      ImportError: without huggingface_hub.
      FileNotFoundError: there is no such repository or revision, or none that may be read.
      ConnectionError, PermissionError, OSError: it cannot be had now.
      ValueError: the name is malformed, or the repository holds something else, or too much.
    """
    repository, revision = parse(name)
    with _connected(name) as (api, errors):
        try:
            info = api.model_info(repository, revision=revision, files_metadata=True)
        except errors.HfHubHTTPError:
            raise
        except (errors.HTTPError, ConnectionError):
            cached = api.snapshot_download(
                repository, revision=revision, allow_patterns=[*FILES], local_files_only=True
            )
            return pathlib.Path(cached)
        sizes = _sizes(name, info)
        folder = pathlib.Path(
            api.snapshot_download(repository, revision=revision, allow_patterns=[*sizes])
        )
        received = {x: (folder / x).stat().st_size for x in sizes if (folder / x).is_file()}
    for file, size in sizes.items():
        if received.get(file) != size:  # cut short, or of a commit that came meanwhile
            raise ValueError(
                f"Expected {file} of {name} with {size:,} bytes, as the Hub has listed it. Received: "
                f"{received.get(file, 0):,}. Remove {folder.parents[1]}, and load it again."
            )
    return folder


def upload(name, folder):
    """Makes the files in a folder those of a repository, made where there is none, in one commit.

    Other files of a run are removed from there; what else is there stays. Returns the name with the commit.
    Raises as `download`.
    """
    repository, revision = parse(name)
    added = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    added = {path.relative_to(folder).as_posix(): path for path in added}
    with _connected(name) as (api, _):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(repository, exist_ok=True)
        there = _of_a_run(api.model_info(repository, revision=revision))
        operations = [CommitOperationDelete(file) for file in there if file not in added]
        operations += [CommitOperationAdd(file, path) for file, path in added.items()]
        commit = api.create_commit(
            repository, operations, commit_message="A model of pixelcnn_aux", revision=revision
        )
    return f"hf://{repository}@{commit.oid}"


def _of_a_run(info):
    """What a repository holds of `FILES`: dict, path -> size in bytes, None where it was not asked for."""

    def is_ours(path, pattern):
        return fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/")

    sizes = {file.rfilename: file.size for file in info.siblings}
    return {path: sizes[path] for path in sizes if any(is_ours(path, x) for x in FILES)}


def _sizes(name, info):
    """`_of_a_run` of one that may be downloaded. Raises ValueError for others."""
    sizes = _of_a_run(info)
    weights = fnmatch.filter(sizes, _WEIGHTS)
    if "config.json" not in sizes or not weights:
        found = ", ".join(file.rfilename for file in info.siblings)
        raise ValueError(
            f"Expected a repository with config.json and FACTOR/average.safetensors, as pa.push leaves it. "
            f"Received: {name}, with {found or 'no files':.200}. Give one of a model of pixelcnn_aux."
        )
    known = {path: math.inf if size is None else size for path, size in sizes.items()}
    total = sum(known[path] for path in weights)
    others = sum(size for path, size in known.items() if path not in weights)
    if total > MOST_WEIGHTS or others > MOST_OTHERS:
        raise ValueError(
            f"Expected at most {MOST_WEIGHTS:,} bytes of weights and {MOST_OTHERS:,} of other files. "
            f"Received: {name}, with {total:,} and {others:,}. If you trust it, download it (hf download) "
            "and load that folder."
        )
    return sizes


@contextlib.contextmanager
def _connected(name):
    """Yields the Hub's API and the module of its errors, which say what to do if they are raised within."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(
            f"Expected huggingface_hub, by which {name} is read or written. Received: no such package. "
            "Run pip install huggingface_hub."
        ) from error
    with disk.explained("to keep files in the Hub's cache (HF_HOME)"):
        try:
            yield huggingface_hub.HfApi(library_name="pixelcnn_aux"), errors
        except errors.HFValidationError as error:
            raise malformed(name) from error
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise FileNotFoundError(
                f"Expected a model repository of the Hugging Face Hub. Received: {name}, a repository or "
                "revision that is not there, or not for you to read. Check the name, or log in "
                "(hf auth login) as someone who has access."
            ) from error
        except errors.HfHubHTTPError as error:
            if error.response.status_code in (401, 403):
                raise PermissionError(
                    f"Expected to be logged in to the Hugging Face Hub as someone who may use {name} so. "
                    f"Received: {_summary(error)}. Log in (hf auth login) with a token that may."
                ) from error
            raise _unavailable(name, error) from error
        except (errors.HTTPError, OSError, RuntimeError) as error:
            # What the system says of the disk is explained above.
            if getattr(error, "errno", None) is not None:
                raise
            raise _unavailable(name, error) from error


def _unavailable(name, error):
    return ConnectionError(
        f"Expected the Hugging Face Hub to answer about {name}. Received: {_summary(error)}. Check the "
        "connection, and try again."
    )


def _summary(error):
    return f"{type(error).__name__}, {' '.join(str(error).split()):.200}"
