"""Command `export`: one adapter for other engines, with proof that it scores there as it does here."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Any

from thinkrec.artifacts.outside import model_folder
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.errors import ConfigError, DataError, ModelError
from thinkrec.files import check_writable, read_json, whole, write_json
from thinkrec.layout import Layout, require
from thinkrec.systems.parts import LANGUAGE, Parts

PROMPTS = 20
"""Test rows that are scored in four ways, which is what takes an export's time (our choice)."""
LEGAL = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")
"""Files of a model's folder that go with its weights, without their endings."""


def _why_not(parts: Parts) -> str:
    """Why a system is more than one adapter."""
    if parts.adapters == "none":
        return "it has no adapter"
    if parts.adapters == "global":
        return "it is a system, whose adapter is `global` of its variant" + (
            ", and vectors are in its prompts" if parts.vectors else ""
        )
    if parts.vectors:
        return "it mixes the experts for each user, and vectors are in its prompts"
    return "it mixes the experts for each user, and merged weights are the same for all"


def find_adapter(layout: Layout, name: str) -> Path:
    """Folder of the adapter `global`, or of the expert of a group; of several seeds, the first's.

    Raises:
        ConfigError: there is none of that name, or it is a system that can't be merged.
        MissingInputError: the stage that trains it was not run.
    """
    if name == "global":
        require(layout, "global_adapter")
        return layout.global_adapter
    if name.isdecimal():
        require(layout, "experts")
    groups = sorted(int(folder.name) for folder in layout.experts.glob("*") if folder.name.isdecimal())
    known = [*(["global"] if layout.global_adapter.exists() else []), *map(str, groups)]
    if name in known:
        return layout.expert(int(name))
    make = f"there is none yet: `{layout.command('global')}` makes one"
    there_are = f"there are {', '.join(known)}" if known else make
    if name in LANGUAGE:
        raise ConfigError(f"--adapter: {name} can't be exported: {_why_not(LANGUAGE[name])}; {there_are}")
    raise ConfigError(f"--adapter: {layout.dataset} has no adapter {name!r}; {there_are}")


def check_free(to: Path) -> None:
    """Check that a folder may be filled.

    Raises:
        ConfigError: it is a file, or holds something.
        StorageError: it can't be made.
    """
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        what = "is there already and is not empty" if to.is_dir() else "is a file"
        raise ConfigError(f"--to: {to} {what}; name a new folder")
    check_writable(to)


def copy_licence(layout: Layout, folder: Path) -> None:
    """Copy the backbone's licence and notices, where its folder has them, beside its weights."""
    noted = read_json(layout.backbone / "backbone.json")
    source = model_folder(noted["model"], noted["revision"], layout.root)
    for path in sorted(source.iterdir()) if source else ():
        if path.is_file() and path.stem.upper() in LEGAL:
            copyfile(path, folder / path.name)


def export(
    layout: Layout, params: Params, adapter: str, to: Path, seed: int, shared: bool = False
) -> dict[str, Any]:
    """Fill a folder: merged/ (plain Hugging Face), adapter/ (PEFT), parity.json, scoring.json, README.md.

    Args:
        layout: where backbone, adapters and test rows lie.
        params: with which they were made.
        adapter: global, or the number of a group.
        to: the folder, absent or empty.
        seed: of the prompts' choice.
        shared: leave out rows of a data set that may not be passed on: parity.json holds scores alone.

    Returns:
        Facts: what parity.json says, without the prompts.

    Raises:
        ConfigError: `to` is taken, there is no such adapter, or the layout is not that of prompts.
        MissingInputError: a stage before was not run.
        DataError: test has no row.
        ModelError: the backbone is in 4 bits, the adapter does not fit or changes no score, or the export
            scores otherwise than it.
    """
    check_free(to)
    for folder in (layout.data, layout.models, layout.reports):
        if folder.resolve() in to.resolve().parents:
            raise ConfigError(f"--to: {to} is inside {folder}, among the artifacts; name a folder elsewhere")
    if params.prompt.layout != "prompt":
        raise ConfigError(
            "prompt.layout is timeline, and other engines use prompts, which such an adapter has not "
            "seen: train with prompt.layout prompt to export"
        )
    require(layout, "interactions", "items", "keywords", "backbone")
    folder = find_adapter(layout, adapter)
    if read_json(layout.backbone / "backbone.json").get("load_in_4bit"):
        raise ModelError(
            "an adapter can't be merged into weights of 4 bits: set backbone.load_in_4bit to false in "
            f"params.yaml and run `thinkrec backbone --dataset {layout.dataset}`, then export again; the "
            "adapters stay valid"
        )
    from thinkrec.llm.adapter import check_prompts, origin_of
    from thinkrec.llm.backbone import load_backbone, load_tokenizer
    from thinkrec.llm.batches import Example
    from thinkrec.llm.examples import score_examples_of
    from thinkrec.llm.export import Prompts, export_adapter
    from thinkrec.prompts.render import PromptWriter
    from thinkrec.prompts.tokens import encode_texts
    from thinkrec.stages.card import TERMS, base, card, example, scoring

    data = Interactions.load(layout.interactions)
    rows = sample_rows(data.rows("test"), PROMPTS, seed)
    if not len(rows):
        raise DataError(f"{layout.interactions} has no test row, on which the export could be checked")
    check_prompts(folder, params.prompt.layout)
    loaded = load_backbone(layout.backbone)
    writer = PromptWriter.load(layout, loaded.tokenizer, params.prompt, protocol=params.evaluate.headline)
    texts = [encoded.text for encoded in writer.encode(data, rows)]
    shown = example(writer)
    (ids,) = encode_texts(loaded.tokenizer, [shown["prompt"]])
    examples = [*score_examples_of(writer, data, rows), Example(ids, len(ids), 0)]
    prompts = Prompts([*texts, shown["prompt"]], examples, params.loss.score)
    facts: dict[str, Any] = {
        "dataset": layout.dataset,
        "adapter": adapter,
        "backbone": origin_of(loaded),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "layout": params.prompt.layout,
        "score": prompts.kind,
        "answers": dict(zip(("Yes", "No"), loaded.answers, strict=True)),
        "rows": len(rows),
        "seed": seed,
    }
    tokenizer, source = load_tokenizer(layout.backbone), base(layout)
    named = {"base_model_name_or_path": source.load, "revision": source.revision}
    free = TERMS[params.datasets[layout.dataset].reader].free
    with whole(to) as beside:
        beside.mkdir()
        size = params.evaluate.batch_size
        parity = export_adapter(beside, loaded, tokenizer, folder, named, prompts, size)
        parity.check()
        copy_licence(layout, beside / "merged")
        own = parity.first(len(rows))  # the last prompt is scoring.json's
        facts |= {"tolerance": own.tolerance, "largest_difference": own.differences()}
        ways = {name: getattr(own, name).tolist() for name in ("thinkrec", "merged", "peft", "bare")}
        asked = {name: getattr(data, name)[rows].tolist() for name in ("user_id", "item_id", "position")}
        columns = ({} if shared and not free else asked | {"prompt": texts}) | ways
        lines = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        write_json(beside / "parity.json", facts | {"prompts": lines})
        shown["score"] = float(parity.thinkrec[-1])
        write_json(beside / "scoring.json", scoring(params, facts, shown))
        text = card(layout, params, data, adapter, facts)
        (beside / "README.md").write_text(text, encoding="utf-8")
    return facts
