"""Make a LoRA that compares items and says why: a pretrained model learns it on virtual users.

    python benchmarks/warm_start.py BACKBONE OUT [--minutes 36] [--start FOLDER --level 6] [--reasons]

BACKBONE is a Llama's folder, such as models/backbones/smollm2; OUT becomes a PEFT folder for `global.start`.
Easy users come first. Prompts are those of `prompt.verdicts: after`; every verdict that a prompt shows is
learned. With --reasons, so is what the template teacher says of the last item. --start goes on from an
earlier run, from --level on. The learning rate falls over the last third, so that a run depends on
the machine's speed. What comes with the package took three runs, each from the one before: `--minutes 36`;
`--level 6 --shown 21 --users 4 --reasons --minutes 34`; and, on one thread, the same with `--level 7
--rate 3e-4 --minutes 27`. With --project, some frozen valid rows of a finished project are scored at the
end, which changes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from virtual_users import LEVELS, Level, draw_user

from thinkrec.config.models import Lora
from thinkrec.config.sections import JointLoss, Prompt
from thinkrec.data.tables import Interactions, Items, sample_rows
from thinkrec.files import write_json
from thinkrec.layout import Layout
from thinkrec.llm.adapter import new_adapter, origin_of, save_adapter
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.batches import Example, collate
from thinkrec.llm.examples import (
    Rationales,
    asked_of,
    reasoning_examples,
    recommendation_examples,
    with_history,
)
from thinkrec.llm.loss import joint_loss
from thinkrec.llm.scorer import score
from thinkrec.llm.student import hidden_states
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.prompts.render import PromptWriter
from thinkrec.teachers.protocol import Case, Rated
from thinkrec.teachers.reflect import reason_with
from thinkrec.teachers.template import TemplateTeacher
from thinkrec.teachers.views import item_views

SEED = 7
LENGTH = 800  # most tokens of a row
LORA = Lora(rank=16, alpha=32, dropout=0.0, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
RATE, WARM_UP, DECAY = 4e-4, 20, 0.35
AGAIN = 0.25  # share of the steps on a lower level
FIRST, LATE = 2, 6  # verdicts that are learned, and those that decide whether a level is passed
LEAST, LAST = 15, 10  # steps of a level at least, and over how many its loss is averaged
LOSS = JointLoss(recommendation_bce=1.0, recommendation_ce=0.0, reasoning_bce=1.0, reasoning_ce=1.0)
REASONS = 0.5  # weight of the rationales' cross-entropy
TEACHER = TemplateTeacher(SEED)


def loaded(folder: str) -> Backbone:
    """Return the backbone in bfloat16."""
    with tempfile.TemporaryDirectory() as noted:
        place = Path(noted) / "models" / "virtual" / "backbone"
        note = {
            "model": str(Path(folder).resolve()),
            "revision": None,
            "dtype": "bfloat16",
            "verdicts": "after",
        }
        write_json(place / "backbone.json", note)
        return load_backbone(place)


def explained(items: Items, prompt: Prompt, data: Interactions, rows: np.ndarray) -> Rationales:
    """Return what the template teacher says of rows, each the last one of its user."""
    views, texts = item_views(items, prompt), []
    for row in rows.tolist():
        past = np.flatnonzero(data.user_id == data.user_id[row])[:-1]
        history = tuple(Rated(views[data.item_id[k]], bool(data.label[k])) for k in past)
        key = " ".join(items.title[k] for k in data.item_id[past][:3])
        case = Case(history, views[data.item_id[row]], key)
        texts.append(reason_with(TEACHER, case, bool(data.label[row]), 3, SEED).text)
    return Rationales(rows, texts)


def drawn(
    rng: np.random.Generator, level: Level, backbone: Backbone, users: int, shown: int, reasons: bool
) -> list[Example]:
    """Return prompts of some users, all verdicts as targets, without prompts that are too long."""
    titles, keywords, verdicts = [""], [[""][:0]], []
    for _ in range(users):
        title, words, verdict = draw_user(rng, level, shown)
        titles, keywords = titles + title, keywords + words
        verdicts.append(verdict)
    size = users * shown
    user, place = np.repeat(np.arange(1, users + 1), shown), np.tile(np.arange(shown), users)
    train, known = np.zeros(size, np.int8), np.ones(size, bool)
    data = Interactions(
        user, np.arange(1, size + 1), np.concatenate(verdicts), np.arange(size), place, train, known
    )
    prompt, items = Prompt(verdicts="after", history_length=shown), Items(titles, keywords)
    writer, rows = PromptWriter(items, prompt, backbone.tokenizer), np.arange(shown - 1, size, shown)
    if reasons:
        plain = reasoning_examples(writer, data, explained(items, prompt, data, rows), LOSS)
    else:
        plain = recommendation_examples(writer, data, rows, LOSS)
    return [each for each in with_history(writer, data, plain, LOSS) if len(each.ids) <= LENGTH]


class Learner:
    """The LoRA in training.

    Args:
        backbone: the model.
        start: folder of a LoRA to go on from, or None.
    """

    def __init__(self, backbone: Backbone, start: Path | None) -> None:
        """Add the LoRA."""
        self.backbone = backbone
        self.model: PeftModel = new_adapter(backbone, LORA, SEED, start=start)
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=RATE, weight_decay=0.0, betas=(0.9, 0.98))

    def losses(self, examples: list[Example]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the cross-entropy of each verdict, which of its prompt's it is, and that of rationales."""
        backbone, batch = self.backbone, collate(examples, self.backbone.pad)
        hidden = hidden_states(self.model, batch, backbone)
        found = joint_loss(hidden, backbone.head, batch, backbone.answers, "yes_minus_no")
        place = torch.cat([torch.arange(len(each.past) + 1) for each in examples])
        return found.bce, place, found.ce[batch.ce > 0]

    def step(self, loss: Tensor, rate: float) -> None:
        """Take an optimizer step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()


def train(learner: Learner, options: argparse.Namespace) -> None:
    """Train for so long, level after level, with a highest learning rate."""
    minutes, level, rate = options.minutes, options.level, options.rate
    drawing = (learner.backbone, options.users, options.shown, options.reasons)
    rng, since, steps, verdicts, past = np.random.default_rng(1 + level), 0, 0, 0, [0.0][:0]
    spent = 0.0
    while spent < 60 * minutes:
        start, share = time.monotonic(), spent / (60 * minutes)
        now = level if rng.random() < 1 - AGAIN else int(rng.integers(level + 1))
        losses, place, said = learner.losses(drawn(rng, LEVELS[now], *drawing))
        now_rate = rate * min(1, (steps + 1) / WARM_UP) * min(1, (1 - share) / DECAY + 0.02)
        own = losses[place >= FIRST].mean()
        learner.step(own + REASONS * said.mean() if len(said) else own, now_rate)
        if now == level:
            past.append(float(losses.detach()[place >= LATE].mean()))
        steps, since, verdicts = steps + 1, since + 1, verdicts + len(losses)
        spent += time.monotonic() - start
        mean = float(np.mean(past[-LAST:]))
        if steps % 20 == 0:
            print(
                f"{spent / 60:5.1f} min, step {steps}, level {level}, loss {mean:.3f}, verdicts {verdicts}"
                + (f", rationales {float(said.detach().mean()):.3f}" if len(said) else ""),
                flush=True,
            )
        if level < len(LEVELS) - 1 and since >= LEAST and mean < LEVELS[level].loss:
            level, since = level + 1, 0


def frozen_figures(learner: Learner, project: Path, dataset: str, rows: int) -> str:
    """Return AUC and UAUC on some of a project's valid rows, under frozen histories."""
    layout = Layout(dataset, project)
    items, data = Items.load(layout.items, layout.keywords), Interactions.load(layout.interactions)
    writer = PromptWriter(items, Prompt(), learner.backbone.tokenizer, protocol="frozen")
    asked = asked_of(writer, data, sample_rows(data.rows("valid"), rows, SEED))
    learner.model.eval()
    found = score(
        lambda batch: hidden_states(learner.model, batch, learner.backbone), learner.backbone, asked, 32,
        "yes_minus_no",
    )  # fmt: skip
    values = ranking_metrics(asked.user, asked.label, found).values
    return f"{dataset}, {rows} valid rows, frozen: AUC {values['auc']:.3f}, UAUC {values['uauc']:.3f}"


def main() -> None:
    """Train, save, and score where a project is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("backbone")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=36)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--level", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--shown", type=int, default=15, help="items of a user")
    parser.add_argument("--users", type=int, default=6, help="rows of a step")
    parser.add_argument("--reasons", action="store_true", help="learn rationales of the last item as well")
    parser.add_argument("--project", type=Path)
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--rows", type=int, default=600)
    options = parser.parse_args()
    learner = Learner(loaded(options.backbone), options.start)
    train(learner, options)
    save_adapter(learner.model, options.out, origin_of(learner.backbone))
    if options.project:
        print(frozen_figures(learner, options.project, options.dataset, options.rows))


if __name__ == "__main__":
    main()
