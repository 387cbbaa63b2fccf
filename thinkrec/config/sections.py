"""params.yaml as typed sections, one a stage. Defaults are the `cpu` preset, for SmolLM2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from thinkrec.config.agent import Agent, AgentGrpo, AgentSft, EvaluateAgent, Trajectories
from thinkrec.config.base import (
    SIZE,
    AnyCount,
    AnyRows,
    Count,
    Decay,
    Few,
    Passes,
    Rate,
    Rows,
    Section,
    Seed,
    Seeds,
    Share,
    Some,
    Temperature,
    Text,
    Unlike,
    Weight,
    Width,
    parse_size,
)
from thinkrec.config.models import Backbone, Endpoint, Lora
from thinkrec.config.names import ENCODERS, Encoder, Scoring, VariantName
from thinkrec.config.shared import with_shared
from thinkrec.config.sources import DemoSource, Source
from thinkrec.layout import name_fault
from thinkrec.protocols import Protocol
from thinkrec.variants import DEFAULT, VARIANTS, systems_of


def _named(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


Name = Annotated[str, AfterValidator(_named)]
"""A data set's, as a folder and a DVC stage may be called."""
Threshold = Annotated[float, Field(ge=-1000, le=1000)]
LEAST = 600_000_000
"""Bytes without which prep can't read JSON lines."""


class Demo(Section):
    """How the embedded data set is generated."""

    users: Count = 100
    items: Count = 400
    interactions: Annotated[int, Field(ge=1, le=100_000_000)] = 6_000
    seed: Seed = Field(7, description="its own seed: another training seed keeps the data")

    @model_validator(mode="after")
    def _fits_memory(self) -> Demo:
        if self.users * self.items > 100_000_000:
            raise ValueError("users times items must be at most 100,000,000: all pairs are held in memory")
        return self


class Prep(Section):
    """Raw files to interactions, items, users, splits."""

    max_bad_rows: Share = Field(
        0.05, description="share of a file's rows, unusable, above which the stage fails"
    )
    max_quarantine_rows: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="rows of each file and reason kept in quarantine; all are counted"
    )
    max_memory: str | None = Field(
        None,
        description="most memory, such as 2GB, from 600MB; what does not fit is spilled; null: half of the "
        "machine's",
    )

    @field_validator("max_memory")
    @classmethod
    def _enough(cls, memory: str | None) -> str | None:
        if memory is not None and (not SIZE.fullmatch(memory) or parse_size(memory) < LEAST):
            raise ValueError(f"must be a size such as 2GB, from 600MB to 9999TB, or null, not {memory}")
        return memory


class Summarize(Section):
    """Keywords of each item."""

    extractor: Literal["tfidf", "endpoint"] = Field("tfidf", description="statistical, or a language model")
    max_keywords: Few = Field(10, description="most keywords an item (paper: 10)")
    max_words: Count = Field(100, description="words of each text field that are read (release: about 100)")
    endpoint: Endpoint = Endpoint(
        model="Qwen/Qwen3-8B", max_tokens=64, max_tokens_step=64, max_tokens_limit=256
    )


class Synthesize(Section):
    """Rationales of a reasoning teacher for a sample of training rows."""

    teacher: Literal["template", "endpoint"] = Field("template", description="built-in, or a reasoning model")
    rows: Rows = Field(1200, description="training rows put to the teacher (paper: a few thousand)")
    attempts: Few = Field(3, description="answers asked of the teacher for one row, hinted ones included")
    eval_rows: AnyRows = Field(200, description="test rows whose rationale is kept for METEOR and BLEURT")
    endpoint: Endpoint = Endpoint()


ACCUMULATED = 8
"""Passes of a step where a variant can't learn the verdicts of histories (our choice)."""


class Prompt(Section):
    """What the language model reads of a user and a target item."""

    history_length: Count = Field(20, description="latest interactions shown (paper: 10)")
    layout: Literal["prompt", "timeline"] = Field(
        "prompt",
        description="prompt: history and target in every row (paper); timeline: a user's items laid out once",
    )
    verdicts: Literal["before", "after"] = Field(
        "after",
        description="where a history says whether an item was liked; after: behind it, as in examples of a "
        "task, which pretrained models read best",
    )
    history_items: Literal["all", "liked"] = Field(
        "all", description="which interactions are shown; liked: liked ones only, as TALLRec does"
    )
    history_labels: bool = Field(True, description="say of each history item whether it was liked")
    keywords: Some = Field(5, description="keywords shown of each item, none that its title says; 0: none")
    reception: bool = Field(
        False,
        description="show before them how others received the item in training rows, such as `broad appeal`; "
        "with prompt.layout prompt",
    )
    max_tokens: Count = Field(
        1024, description="of a prompt; the oldest history is left out where it is longer"
    )

    @model_validator(mode="after")
    def _reception_needs_prompts(self) -> Prompt:
        if self.reception and self.layout == "timeline":
            raise ValueError(
                "reception needs prompt.layout prompt: a time line shows an item to several questions, "
                "and in training each leaves out a row of its own"
            )
        return self

    @property
    def whole_histories(self) -> bool:
        """Return whether a history shows all interactions with their verdicts."""
        return self.history_items == "all" and self.history_labels

    @property
    def against_history(self) -> str | None:
        """Return the value with which training can't learn the verdicts of a history; None if it can."""
        needed = {"layout": "prompt", "verdicts": "after", "history_items": "all", "history_labels": True}
        others = (key for key, value in needed.items() if getattr(self, key) != value)
        return next((f"prompt.{key} {str(getattr(self, key)).lower()}" for key in others), None)


class EncoderChoice(Section):
    """What `thinkrec search` chooses for one encoder."""

    learning_rate: Rate = 5e-3
    embedding_size: Width = 64
    weight_decay: Decay = 1e-3


if TYPE_CHECKING:

    class Encoders(Section):
        """One EncoderChoice for each encoder."""

else:
    Encoders = create_model(
        "Encoders",
        __base__=Section,
        __doc__="What `thinkrec search` chooses (paper: 1e-2 to 1e-4; 64, 128, 256; 1e-2 to 1e-7).",
        **{name: (EncoderChoice, EncoderChoice(**values)) for name, values in ENCODERS.items()},
    )


class Cf(Section):
    """Collaborative encoders."""

    models: Unlike[Encoder] = Field(list(ENCODERS), min_length=1)
    seeds: Seeds = Field(
        3, description="trainings of each encoder, with seed, seed + 1, ...; later stages use the first"
    )
    encoders: Encoders = Encoders()
    batch_size: Rows = Field(2048, description="rows of one optimizer step")
    epochs: Count = Field(200, description="most epochs; early stopping ends most runs before")
    patience: Count = Field(10, description="epochs without a better valid AUC (release: 20 to 100)")
    history_length: Annotated[int, Field(ge=1, le=10_000)] = Field(
        25, description="interactions that SASRec reads (paper: 25)"
    )
    graph_layers: Annotated[int, Field(ge=1, le=100)] = Field(
        2, description="LightGCN's propagation layers (release: 2)"
    )
    negatives: Annotated[int, Field(ge=1, le=10_000)] = Field(
        16, description="items that gSASRec draws for each like"
    )
    calibration: Share = Field(0.75, description="gSASRec's t (its paper: 0.75)")

    def choice(self, name: Encoder, tuned: Tuned | None = None) -> EncoderChoice:
        """What `tuned` says of an encoder; what it does not say as in `encoders`."""
        own: EncoderChoice = getattr(self.encoders, name)
        found = tuned.cf.get(name) if tuned is not None else None
        return own if found is None else own.model_copy(update=found.model_dump(exclude_unset=True))


class Gbdt(Section):
    """Gradient-boosted trees over statistics of the past."""

    learning_rate: Rate = 0.05
    max_leaf_nodes: Annotated[int, Field(ge=2, le=10_000)] = Field(15, description="most leaves of a tree")
    l2_regularization: Annotated[float, Field(ge=0, le=1e9)] = Field(
        10.0, description="shrinks the leaves' values"
    )
    max_iter: Annotated[int, Field(ge=1, le=100_000)] = Field(
        400, description="most trees; the count with the best valid AUC scores"
    )


class Baselines(Section):
    """Systems without vectors or language that every other has to pass."""

    seeds: Seeds = Field(3, description="trainings, with seed, seed + 1, ...")
    gbdt: Gbdt = Gbdt()

    def choice(self, tuned: Tuned | None = None) -> Gbdt:
        """What `tuned` says of gbdt; what it does not say as above."""
        found = tuned.gbdt if tuned is not None else None
        return (
            self.gbdt if found is None else self.gbdt.model_copy(update=found.model_dump(exclude_unset=True))
        )


class Training(Section):
    """Training of the language model's parts; `global`, `experts` and `projector` may override any of it."""

    learning_rate: Rate = Field(3e-4, description="paper: 1e-4, for 8 billion weights")
    weight_decay: Decay = Field(1e-3, description="release: 1e-3")
    warmup_steps: AnyCount = Field(10, description="linear warm-up, then cosine (release: 200)")
    batch_size: Count = Field(
        48, description="rows of one forward pass on one device; with `history`, verdicts"
    )
    gradient_accumulation: Count = Field(1, description="forward passes of one optimizer step")
    epochs: Passes = Field(0.4, description="passes over the recommendation rows")
    evaluations: Few = Field(1, description="checkpoints, each scored on valid")
    patience: Few | None = Field(
        None, description="checkpoints without a better one after which training ends; null: never early"
    )
    valid_rows: Rows = Field(60, description="most valid rows used to choose the checkpoint")
    history: bool = Field(
        True,
        description="learn the verdict of every item of a history, too, from prompts that hardly overlap; "
        "with prompt.layout prompt, verdicts after, history_items all and history_labels",
    )
    packing: bool = Field(False, description="several prompts side by side in a row instead of padding")
    gradient_checkpointing: bool = Field(False, description="gradient checkpointing: less memory, more time")


class JointLoss(Section):
    """Weights of the two losses for the two kinds of sample, and how they are mixed."""

    reasoning_share: Share = Field(0.5, description="probability of a reasoning sample (paper: 0.2)")
    reasoning_bce: Weight = Field(0.1, description="release: 0.1")
    reasoning_ce: Weight = Field(0.9, description="release: 0.9")
    recommendation_bce: Weight = Field(0.9, description="release: 0.9")
    recommendation_ce: Weight = Field(0.1, description="release: 0.1")
    score: Literal["yes_logit", "yes_minus_no"] = Field(
        "yes_minus_no", description="what BCE and ranking read (paper: yes_logit)"
    )

    @field_validator("reasoning_share")
    @classmethod
    def _leaves_some(cls, share: float) -> float:
        if 0.99 < share < 1:
            raise ValueError(f"must be from 0 to 0.99, or 1, not {share}")
        return share


class Global(Training):
    """The LoRA trained on all data."""

    lora: Lora = Lora(rank=16, alpha=32, dropout=0.0, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    start: Text | None = Field(
        "smollm2",
        description="LoRA of the same shape to start from: smollm2, or a folder; null: an untrained one",
    )
    last_layers: Few | None = Field(
        None, description="layers that train, counted from the end, which is faster; null: all (paper)"
    )


class Cluster(Section):
    """Groups of users."""

    encoder: Encoder = Field("lightgcn", description="whose user vectors are grouped, gated and projected")
    method: Literal["ward", "kmeans"] = Field("ward", description="release: Ward")
    groups: Few = Field(2, description="paper: 2 or 3 did best")


class Experts(Training):
    """A LoRA for each group, started from the global one."""

    learning_rate: Rate = Field(2e-4, description="release: 1e-5, for 8 billion weights")
    epochs: Passes = Field(0.25, description="passes over the group's recommendation rows")
    last_layers: Few = Field(8, description="layers that train, counted from the end (paper: 8)")


class Projector(Training):
    """Collaborative vectors into the backbone's embedding space."""

    epochs: Passes = Field(0.2, description="passes over the recommendation rows")
    expansion: Annotated[int, Field(ge=1, le=100)] = Field(
        10, description="hidden width over vector width (release: 10)"
    )


class Gate(Section):
    """Choice and fusion of experts for one user."""

    temperature: Temperature = Field(0.1, description="of the softmax over cosines (release: 0.1)")
    concentrated: tuple[Threshold, Threshold] = Field(
        (0.5, 0.6),
        strict=False,
        description="(a, b): one expert alone when the top weight > a + b / K (release: 0.5, 0.6)",
    )
    fusion: Literal["exact", "linear"] = Field(
        "exact",
        description="exact: weighted sum of the experts' updates (paper); linear: the release's, by PEFT",
    )
    averaged: Share = Field(0.95, description="global LoRA when entropy >= this times ln K (release: 0.95)")


class Evaluate(Section):
    """Scores, metrics, reasons."""

    systems: Unlike[Scoring] = Field(
        ["encoders", "gbdt", "variants"],
        min_length=1,
        description="scored besides floors and ceiling; `encoders`: cf.models, `variants`: those above",
    )
    protocols: Unlike[Protocol] = Field(
        ["frozen"],
        min_length=1,
        description="histories of scored rows, the headline's first: frozen, rolling (paper), train",
    )
    batch_size: Count = Field(64, description="rows of one forward pass")
    bootstrap_draws: Count = Field(1000, description="resamples of users behind each 95 % interval")
    reasons: AnyRows = Field(40, description="test rows for which reasons are generated (release: 200)")
    max_reason_tokens: Count = Field(96, description="most tokens of a reason (release: 512)")
    temperature: Temperature = Field(0.4, description="of the generation (release: 0.4)")
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10)] = Field(
        1.0, description="1 is none (release: 1.2)"
    )
    no_repeat_ngram_size: Some = Field(
        0, description="longest run of tokens said once only; 0: any (release: 2)"
    )
    bleurt: str | None = Field(None, description="hub name or folder of a BLEURT checkpoint; null: no BLEURT")
    sentence_model: str | None = Field(
        None, description="folder of a model of sentence vectors; null: that of `thinkrec fetch minilm`"
    )

    @property
    def headline(self) -> Protocol:
        """The protocol of the headline figures, and of the reasons."""
        return self.protocols[0]


class Tuned(Section):
    """What `thinkrec search` chose for one data set; goes before the values of `cf` and `baselines`."""

    cf: dict[Encoder, EncoderChoice] = Field({})
    gbdt: Gbdt | None = None


class Params(Section):
    """The whole of params.yaml."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=False,
        serialize_by_alias=True,
    )

    seed: Seed = 7
    seeds: Seeds = Field(
        1, description="trainings of each variant of the language model, with seed, seed + 1, ..."
    )
    choose_by: Protocol = Field(
        "frozen",
        description="histories of the valid rows whose figures choose epochs, checkpoints and tuned values",
    )
    processes: Few = Field(1, description="of each training on the backbone, one a GPU")
    report_to: Literal["none", "tensorboard", "wandb", "mlflow", "trackio"] = Field(
        "none", description="tracker that these trainings send their curves to; no stage runs again for it"
    )
    datasets: dict[Name, Source] = Field(
        {"demo": DemoSource(reader="demo")}, min_length=1, description="data sets that `dvc repro` runs over"
    )
    variants: Unlike[VariantName] = Field(
        [DEFAULT], description="of the language model, which `dvc repro` trains; docs/variants.md lists them"
    )
    agents: Unlike[Name] = Field(
        [], description="data sets over which `dvc repro` runs the agent's stages, too"
    )
    tuned: dict[Name, Tuned] = Field(
        {},
        validate_default=True,
        description="by data set, what `thinkrec search` chose; before the sections' own values",
    )
    demo: Demo = Demo()
    endpoint: Endpoint = Endpoint()
    prep: Prep = Prep()
    summarize: Summarize = Summarize()
    synthesize: Synthesize = Synthesize()
    prompt: Prompt = Prompt()
    training: Training = Training()
    loss: JointLoss = JointLoss()
    gate: Gate = Gate()
    backbone: Backbone = Backbone()
    cf: Cf = Cf()
    baselines: Baselines = Baselines()
    global_: Global = Field(Global(), alias="global")
    cluster: Cluster = Cluster()
    experts: Experts = Experts()
    projector: Projector = Projector()
    evaluate: Evaluate = Evaluate()
    agent: Agent = Agent()
    agent_backbone: Backbone = Field(Backbone(), alias="agent-backbone")
    trajectories: Trajectories = Trajectories()
    agent_sft: AgentSft = Field(AgentSft(), alias="agent-sft")
    agent_grpo: AgentGrpo = Field(AgentGrpo(), alias="agent-grpo")
    evaluate_agent: EvaluateAgent = Field(EvaluateAgent(), alias="evaluate-agent")

    @model_validator(mode="before")
    @classmethod
    def _shared(cls, given: Any) -> Any:
        """Give each stage what the shared sections say and it does not say itself."""
        return with_shared(given) if isinstance(given, Mapping) else given

    @field_validator("tuned")
    @classmethod
    def _for_every_data_set(cls, tuned: dict[str, Tuned], info: ValidationInfo) -> dict[str, Tuned]:
        """An entry for each data set, which dvc.yaml names; an empty one changes nothing."""
        return {name: Tuned() for name in info.data.get("datasets", {})} | tuned

    def of_variant(self, name: str) -> Params:
        """The parameters that a variant is trained and asked with.

        Args:
            name: of the variant, in `thinkrec.variants`.
        """
        variant = VARIANTS[name]
        changes: dict[str, Any] = {"prompt": self.prompt.model_copy(update=dict(variant.prompt))}
        if not variant.rationales:
            changes["loss"] = self.loss.model_copy(update={"reasoning_share": 0.0})
        if self.prompt.whole_histories and not changes["prompt"].whole_histories:
            for stage in ("global_", "experts", "projector"):
                changes[stage] = self._by_rows(getattr(self, stage))
        return self.model_copy(update=changes)

    def _by_rows(self, training: Training) -> Training:
        """Return the same without verdicts of histories: as many tokens a pass, ACCUMULATED passes a step."""
        if not training.history:
            return training
        size = max(training.batch_size // (self.prompt.history_length + 1), 1)
        passes = ACCUMULATED * training.gradient_accumulation
        changes = {"history": False, "batch_size": size, "gradient_accumulation": passes}
        return training.model_copy(update=changes)

    def named(self, systems: Iterable[str]) -> list[str]:
        """Names of systems, each once; `encoders` and `variants` are replaced by what they stand for."""
        groups: dict[str, list[str]] = {
            "encoders": list(self.cf.models),
            "variants": [system for name in self.variants for system in systems_of(name)],
        }
        return list(dict.fromkeys(each for name in systems for each in groups.get(name, [name])))

    @model_validator(mode="after")
    def _agents_have_data(self) -> Params:
        if unknown := [name for name in self.agents if name not in self.datasets]:
            known = ", ".join(self.datasets)
            raise ValueError(f"agents: holds {', '.join(unknown)}, which `datasets` does not: it has {known}")
        return self
