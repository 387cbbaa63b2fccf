"""The path of every artifact, one named property each, relative to the project's root."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.pipeline import MAKERS, STAGES, named
from thinkrec.protocols import Protocol
from thinkrec.variants import DEFAULT

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
TAKEN = {
    "raw": "data/raw holds the raw files",
    "bench": "reports/bench holds the project's own measurements",
    "backbones": "models/backbones holds fetched language models",
}
"""Folders beside those of the data sets, and what is in them."""
WORDNET, MINILM = Path("data/raw/wordnet"), Path("data/raw/minilm")
"""What `thinkrec fetch` brings for the measuring of reasons: an nltk folder, a model of sentence vectors."""

BACKBONES = Path("models/backbones")
"""Where fetched backbones and converted GGUF files lie, a folder each."""
FETCHABLE = ("smollm2",)
"""Backbones that `thinkrec fetch` brings."""


def backbone_place(name: str, root: Path = Path()) -> Path | None:
    """Return the folder of a backbone that is fetched, or converted from a GGUF file; None for another."""
    if name in FETCHABLE:
        return root / BACKBONES / name
    if name.endswith(".gguf"):  # files of one name in several folders, or of a fetched model's
        return root / BACKBONES / f"{Path(name).stem.lower()}-{crc32(name.encode()):08x}"
    return None


def name_fault(name: str) -> str | None:
    """What is wrong with a data set's name, as a sentence; None where nothing is."""
    shown = repr(name) if len(name) <= 80 else f"{name[:80]!r}..."
    if not _NAME.fullmatch(name):
        return (
            f"data set name {shown}: use lower-case letters, digits, underscores and hyphens only, a letter "
            "or a digit first, at most 64"
        )
    if name in TAKEN:
        return f"data set name {shown}: {TAKEN[name]}; choose another name"
    return None


@dataclass(frozen=True)
class Layout:
    """Where the artifacts of one data set lie.

    Args:
        dataset: name of the data set: lower-case letters, digits, underscores and hyphens, at most 64.
        root: the project's root, the folder that holds params.yaml.
        variant: whose adapters are meant, in `thinkrec.variants`.
        seed: of the training whose adapters are meant; None for the first, which later stages use.

    Raises:
        ConfigError: the name could not be a folder's and a DVC stage's name.
    """

    dataset: str
    root: Path = Path()
    variant: str = DEFAULT
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse names that would leave the project or break a stage's name."""
        if fault := name_fault(self.dataset):
            raise ConfigError(fault)

    def of(self, variant: str) -> Self:
        """The same with the adapters of another variant."""
        return self if variant == self.variant else replace(self, variant=variant)

    def of_seed(self, seed: int | None) -> Self:
        """The same with the adapters of a training with a further seed; None for the first."""
        return replace(self, seed=seed)

    @property
    def seeds(self) -> list[int]:
        """Further seeds with which the variant's global LoRA was trained, ascending."""
        folders = (self.adapters / self.variant / "global" / "seeds").glob("*")
        return sorted(int(folder.name) for folder in folders if folder.name.isdecimal())

    def own(self, stage: str) -> str:
        """Name of a stage's run: the stage's, and the variant's where it trains one."""
        return f"{stage}-{self.variant}" if stage in STAGES and STAGES[stage].by_variant else stage

    def run_of(self, own: str) -> tuple[Self, str]:
        """The layout and the stage that `own` names so."""
        for name, stage in STAGES.items():
            if stage.by_variant and own.startswith(f"{name}-"):
                return self.of(own.removeprefix(f"{name}-")), name
        return self, own

    def command(self, stage: str) -> str:
        """The command that runs a stage."""
        by_variant = self.own(stage) != stage and self.variant != DEFAULT
        return f"thinkrec {stage} --dataset {self.dataset}" + (f" --variant {self.variant}" * by_variant)

    @property
    def data(self) -> Path:
        """Prepared data."""
        return self.root / "data" / self.dataset

    @property
    def models(self) -> Path:
        """Trained weights."""
        return self.root / "models" / self.dataset

    @property
    def reports(self) -> Path:
        """Predictions, metrics, records, plots."""
        return self.root / "reports" / self.dataset

    @property
    def interactions(self) -> Path:
        """user_id, item_id, label, rating, timestamp, position, split, not_cold."""
        return self.data / "interactions.parquet"

    @property
    def items(self) -> Path:
        """item_id, raw_id, title, description and further text fields."""
        return self.data / "items.parquet"

    @property
    def users(self) -> Path:
        """user_id, raw_id."""
        return self.data / "users.parquet"

    @property
    def quarantine(self) -> Path:
        """Source file, line number, reason and the head of every row that could not be used."""
        return self.data / "quarantine.parquet"

    @property
    def truth(self) -> Path:
        """True like probabilities (user_id, position, probability); no rows where nobody knows them."""
        return self.data / "truth.parquet"

    @property
    def graph(self) -> Path:
        """item_id, relation, value (null: a link), other_id (null: an attribute), weight (users, or 1)."""
        return self.data / "graph.parquet"

    @property
    def keywords(self) -> Path:
        """item_id, keywords, source."""
        return self.data / "keywords.parquet"

    @property
    def rationales(self) -> Path:
        """user_id, position, label, rationale, attempts, hinted, accepted, teacher, request hash."""
        return self.data / "rationales.parquet"

    @property
    def backbone(self) -> Path:
        """backbone.json, and the weights and tokenizer where they were made here."""
        return self.models / "backbone"

    @property
    def encoders(self) -> Path:
        """Folder of all collaborative encoders."""
        return self.models / "cf"

    def encoder(self, name: str) -> Path:
        """Folder of one collaborative encoder: its weights, its user and item vectors, config.json."""
        return self.encoders / name

    @property
    def baselines(self) -> Path:
        """<seed>.safetensors (gbdt's trees), config.json."""
        return self.models / "baselines"

    @property
    def search(self) -> Path:
        """Folder of all trials of all searches, for going on with them; no DVC output."""
        return self.models / ".search"

    def trials(self, model: str) -> Path:
        """CSV of the trials of one model's search, best first."""
        return self.reports / "search" / f"{model}.csv"

    @property
    def logs(self) -> Path:
        """Folder of what trackers write (`report_to`); no DVC output."""
        return self.models / "logs"

    @property
    def adapters(self) -> Path:
        """Folder of all variants of the language model, each with global, experts/<k> and projector.

        Trainings with further seeds lie in the folder `seeds/<seed>` of each of the three.
        """
        return self.models / "adapters"

    def _adapter(self, name: str) -> Path:
        folder = self.adapters / self.variant / name
        return folder if self.seed is None else folder / "seeds" / str(self.seed)

    @property
    def global_adapter(self) -> Path:
        """The LoRA trained on all data, a PEFT folder."""
        return self._adapter("global")

    @property
    def clusters(self) -> Path:
        """groups.parquet (user_id, group), means.safetensors, clusters.json."""
        return self.models / "clusters"

    @property
    def experts(self) -> Path:
        """Folder of all experts."""
        return self._adapter("experts")

    def expert(self, group: int) -> Path:
        """The LoRA of one group, a PEFT folder."""
        return self.experts / str(group)

    @property
    def projector(self) -> Path:
        """projector.safetensors, config.json."""
        return self._adapter("projector")

    @property
    def cases(self) -> Path:
        """split, number, user_id, position, timestamp, items, target: what the agent and others rank."""
        return self.data / "cases.parquet"

    @property
    def trajectories(self) -> Path:
        """Kept episodes, one a line; `thinkrec replay` shows them."""
        return self.data / "trajectories.jsonl"

    @property
    def agent_backbone(self) -> Path:
        """As `backbone`, of the agent."""
        return self.models / "agent-backbone"

    @property
    def agent_sft(self) -> Path:
        """The agent's LoRA after supervised training, a PEFT folder."""
        return self.models / "agent-sft"

    @property
    def agent_grpo(self) -> Path:
        """The agent's LoRA after reinforcement, a PEFT folder."""
        return self.models / "agent-grpo"

    @property
    def agent_metrics(self) -> Path:
        """agent.json: {protocol: {subset: {system: {...}}}} of the ranking of the test cases."""
        return self.reports / "agent.json"

    @property
    def agent_results(self) -> Path:
        """Folder of the agent's ranks and episodes."""
        return self.reports / "agent"

    @property
    def agent_ranks(self) -> Path:
        """protocol, system, number, user_id, rank, worst_rank (among ties); cases.parquet has the subsets."""
        return self.agent_results / "ranks.parquet"

    def episodes(self, protocol: Protocol, system: str) -> Path:
        """Every test episode of one system, one a line."""
        return self.agent_results / "episodes" / protocol / f"{system}.jsonl"

    @property
    def agent_page(self) -> Path:
        """The agent's report as one self-contained page."""
        return self.reports / "agent.html"

    @property
    def agent_text(self) -> Path:
        """Its tables as Markdown."""
        return self.reports / "agent.md"

    @property
    def predictions(self) -> Path:
        """Folder of every system's scores, by protocol."""
        return self.reports / "predictions"

    def prediction(self, protocol: Protocol, system: str) -> Path:
        """Every scored row of one system."""
        return self.predictions / protocol / f"{system}.parquet"

    def seed_prediction(self, protocol: Protocol, system: str, seed: int) -> Path:
        """As `prediction`, of a training with another seed than the first."""
        return self.predictions / protocol / "seeds" / f"{system}-{seed}.parquet"

    def user_results(self, protocol: Protocol, system: str) -> Path:
        """Metrics of one system for each user and slice."""
        return self.predictions / protocol / f"{system}.users.parquet"

    @property
    def stats(self) -> Path:
        """stats.json: what a paper's table says about the prepared data, and published counts."""
        return self.reports / "stats.json"

    @property
    def audit(self) -> Path:
        """audit.json: what proves, or fails to, that the artifacts keep to the past."""
        return self.reports / "audit.json"

    @property
    def metrics(self) -> Path:
        """metrics.json: {protocol: {system: {slice: {...}}}}, and {reasons: {system: {...}}}."""
        return self.reports / "metrics.json"

    @property
    def slices(self) -> Path:
        """slices.json: {protocol: {system: {slice: {...}}}} of the slices that metrics.json does not have."""
        return self.reports / "slices.json"

    def comparison(self, a: str, b: str, protocol: Protocol, split: str = "test") -> Path:
        """What `thinkrec compare` found of two systems on a split."""
        return self.reports / "compare" / protocol / f"{a}-{b}-{split}.json"

    @property
    def published(self) -> Path:
        """What `thinkrec compare --published` found: published figures beside ours."""
        return self.reports / "compare" / "published.json"

    @property
    def differences(self) -> Path:
        """differences.json: paired differences of one system to every other."""
        return self.reports / "differences.json"

    @property
    def gate(self) -> Path:
        """gate.json: the gate's decisions, and what fusion costs or gains on valid; empty without a gate."""
        return self.reports / "gate.json"

    def plot(self, name: str) -> Path:
        """CSV behind a plot of the report: roc, calibration (under the first protocol), gate."""
        return self.reports / "plots" / f"{name}.csv"

    @property
    def page(self) -> Path:
        """The report as one self-contained page."""
        return self.reports / "report.html"

    @property
    def page_text(self) -> Path:
        """The test table as Markdown."""
        return self.reports / "report.md"

    @property
    def reasons(self) -> Path:
        """reasons.jsonl: generated reasons beside the teacher's, one test row a line."""
        return self.reports / "reasons.jsonl"

    def curve(self, stage: str) -> Path:
        """CSV of a stage's training curve (step, name of series, value)."""
        return self.reports / "curves" / f"{self.own(stage)}.csv"

    def record(self, stage: str) -> Path:
        """Run record of one stage (DVC lets a file belong to one stage only, hence one file a stage)."""
        return self.reports / "run" / f"{self.own(stage)}.json"

    def manifest(self, stage: str) -> Path:
        """What a stage wrote, from what, with which parameters (`thinkrec.artifacts.manifest`)."""
        return self.data / "manifests" / f"{self.own(stage)}.json"

    def lock(self, stage: str) -> Path:
        """The file that a running stage holds locked."""
        return self.data / ".locks" / self.own(stage)

    def journal(self, stage: str) -> Path:
        """What a stage that has ended well is about to put in place; gone when that is done."""
        return self.data / ".journals" / f"{self.own(stage)}.json"

    def work(self, stage: str) -> Path:
        """Where a stage keeps what lets it resume; no DVC output, removed when the stage has ended well."""
        return self.models / ".work" / self.own(stage)


def path_of(layout: Layout, artifact: str) -> Path:
    """Where an artifact or a part of it lies, by its name in the table of stages; see `pipeline.named`."""
    name = named(artifact)
    place: Any = getattr(layout.of(name.variant or layout.variant), name.artifact)
    path: Path = place(name.argument) if name.argument else place
    return path / name.part if name.part else path


def require(layout: Layout, *names: str) -> None:
    """Check that artifacts exist, in the order given, by their names in the table of stages.

    Raises:
        MissingInputError: the first one that is missing, with the command that makes it.
    """
    for name in names:
        path = path_of(layout, name)
        if not path.exists():
            raise MissingInputError(path, maker(layout, name))


def maker(layout: Layout, artifact: str) -> str:
    """The command that makes an artifact."""
    name = named(artifact)
    return layout.of(name.variant or layout.variant).command(MAKERS[name.made])
