"""Gives a model to others, as a repository on the Hub."""

import shutil
import tempfile

from pixelcnn_aux import arguments, zoo
from pixelcnn_aux.codec.codec import fingerprint
from pixelcnn_aux.hub import model_card, naming, repository
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs import disk, records
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.scores import splits


def push(model: AuxiliaryModel, name: str, license: str | None = None) -> str:
    """Makes a model the contents of a repository on the Hugging Face Hub, from which `load` gives it back.

    The repository gets the model's description and weights, and a model card, README.md. If the model is as
    `load` gave it, it also gets what is known of its run: how each factor was trained, its learning curve,
    and the bits per dimension that `pixelcnn-aux bpd` has found with these weights. It gets no paths of this
    machine.

    It is one commit, which replaces what an earlier push left there, and leaves other files as they are. A
    repository that does not exist is made, a public one: make it before if it is to be private. Log in first,
    by `hf auth login`.

    Args:
      model: `AuxiliaryModel`, all of whose factors are trained.
      name: "hf://OWNER/NAME", or "hf://OWNER/NAME@BRANCH" for a branch that there is.
      license: of the model, as the Hub calls it, such as "apache-2.0"; None leaves it out.

    Returns:
      str, the name with the commit: `load` gives this very model for it, whatever is pushed later.

    Raises:
      ImportError: without huggingface_hub.
      FileNotFoundError, ConnectionError, PermissionError: if the repository cannot be had or written.
      OSError: if a file cannot be read or written.
      ValueError: for a malformed name, a factor that is not trained, a part of the model of a class that is
        not registered, or a damaged file of its run.
    """
    arguments.instance("model", model, AuxiliaryModel).require(model.factors)
    arguments.instance("license", license, str, optional=True)
    where, _ = naming.parse(name)
    run = _run(model)
    with tempfile.TemporaryDirectory() as folder:
        pushed, card = RunFolder(folder), _card(model, run) if run else {}
        settings = run.shared_config() if run else {}
        disk.write_json(pushed.config_file, {**settings, "model": model.description()})
        for factor in model.factors.values():
            pushed[factor.name].save_weights(factor)
            if run:
                _copy_training(run[factor.name], pushed[factor.name])
        if card:
            disk.write_json(pushed.path / "card.json", card)
        page = model_card.text(where, model, card, license)
        (pushed.path / "README.md").write_text(page, encoding="utf-8")
        return repository.upload(name, pushed.path)


def _run(model):
    """The `RunFolder` that a model was loaded from; None if there is none, or the model has changed since."""
    if model.loaded_from is None:
        return None
    run, own = RunFolder(zoo.find(model.loaded_from)), fingerprint(model)
    has_best = all(disk.exists(run[name].best) for name in model.factors)
    kinds = (False, True) if has_best else (False,)
    same = any(fingerprint(load(run.path, best=best)) == own for best in kinds)
    return run if same else None


def _card(model, run):
    """What is known of a run, as the card of a model of the package has it: dict, of some of its keys."""
    packed = run.path / "card.json"
    if disk.exists(packed):
        return records.read_dict(packed, "a trained model's card")
    dataset, file = run.config().get("dataset"), zoo.outputs(run.path) / "bpd.json"
    card = {"data": dataset} if dataset else {}
    found = records.read_dict(file, "figures") if disk.exists(file) else {}
    expected = {
        "dataset": dataset,
        "model": fingerprint(model.with_exact(True)),  # as evaluation records it
        "condition": None if model.condition is None else True,  # the labels were told
    }
    if any(found.get(key) != value for key, value in expected.items()):
        return card
    bits = found[splits.kind(model)]
    card |= {"bits_per_dim": bits["total"], "std_error": bits["std_error"]}
    return {**card, "split": found["split"], "num_images": found["num_images"]}


def _copy_training(given, made):
    """Writes into the folder of a factor how it was trained, if the run tells."""
    if (recorded := given.shared_training()) is not None:
        made.record_training(recorded)
    if disk.exists(given.metrics):
        shutil.copy(given.metrics, made.metrics)
