"""Compare our BLEURT with the untouched package: bleurt-pytorch 0.0.1 under transformers 4.57.6.

Makes a small checkpoint with random weights, scores the same pairs by `thinkrec.metrics.reasons.bleurt` here
and by the package in an environment of its own, and compares token ids and logits.

    python benchmarks/bleurt_equal.py          # compares; ends with 1 where they differ by more than 1e-5
    python benchmarks/bleurt_equal.py --write  # also writes tests/metrics/reasons/bleurt_golden.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parents[1] / "tests/metrics/reasons/bleurt_golden.json"
TOLERANCE = 1e-5
UNTOUCHED = (
    "transformers==4.57.6", "tokenizers==0.22.2", "huggingface-hub==0.36.0", "bleurt-pytorch==0.0.1",
    "protobuf==6.33.2",
)  # fmt: skip
_WORDS = """
the user liked disliked enjoyed this film story because it is slow funny dark bright old new
war love comedy drama
space ocean detective winter garden and but so not they will probably it fits their taste yes no
"""
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
PAIRS = [
    ("Yes. The user liked this film.", "Yes. The user liked this film."),
    (
        "Yes. The user enjoyed a slow comedy.",
        "No. They disliked the war, it does not fit their taste.",
    ),
    ("a", "b"),
    ("", "Yes. They will enjoy it."),
    ("  two  spaces ", "one\ttab"),
    ("Amélie, naïve Übermensch", "東京物語 — こんにちは 🎬"),
    ("It is not slow but funny; they will probably like it!", "slow"),
    ("the user liked " * 30, "they disliked " * 40),
    ("dark " * 29, "dark " * 29 + "dark"),
    ('"Winter garden" (love, ocean) fits.', "[SEPARATE] [x] <s> </s> ##like"),
]
_THERE = """
import json, sys
import torch, transformers
from bleurt_pytorch import BleurtForSequenceClassification, BleurtTokenizer
folder, pairs = sys.argv[1], json.load(open(sys.argv[2], encoding="utf-8"))
model = BleurtForSequenceClassification.from_pretrained(folder).eval()
tokenizer = BleurtTokenizer.from_pretrained(folder)
first, second = map(list, zip(*pairs))
batch = tokenizer(first, second, padding="longest", truncation=True, max_length=64, return_tensors="pt")
with torch.no_grad():
    logits = model(**batch).logits.flatten().tolist()
lengths = batch["attention_mask"].sum(1).tolist()
ids = [row[:count] for row, count in zip(batch["input_ids"].tolist(), lengths)]
types = [row[:count] for row, count in zip(batch["token_type_ids"].tolist(), lengths)]
print(json.dumps({"transformers": transformers.__version__, "logits": logits, "ids": ids, "types": types}))
"""


def make_checkpoint(folder: Path, safetensors: bool = False) -> Path:
    """Write a checkpoint of BLEURT-20's kind: three layers, 32 wide, random weights, 400 pieces or fewer.

    All of it follows from fixed seeds and fixed text, so that golden values hold on any machine.
    """
    import sentencepiece
    import torch
    from safetensors.torch import save_file

    from thinkrec.metrics.reasons.shims import bleurt_classes

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    ends = np.array([". Yes", "! No", '?"', " (é).", ","])
    lines = [
        f'"{" ".join(rng.choice(_WORDS.split(), 12)).capitalize()}{rng.choice(ends)}' for _ in range(400)
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "spm"), vocab_size=200,
        hard_vocab_limit=False,
        unk_piece="[UNK]", unk_id=4, bos_id=-1, eos_id=-1, pad_id=-1, num_threads=1, minloglevel=2,
        user_defined_symbols=SPECIAL,
    )  # fmt: skip
    (folder / "spm.vocab").unlink()
    configuration, model_class = bleurt_classes()
    options: dict[str, Any] = {
        "vocab_size": 200, "embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64,
        "model_type": "bleurt",
        "do_lower_case": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(options))
    model = model_class(configuration(**options))
    state = {}
    for key, value in sorted(model.state_dict().items()):
        if value.is_floating_point():
            drawn = rng.normal(0, 0.3, tuple(value.shape)).astype(np.float32)
            value = torch.from_numpy(drawn + ("LayerNorm.weight" in key))
        state[key] = value.clone()
    if safetensors:
        save_file(state, folder / "model.safetensors")
    else:
        torch.save(state, folder / "pytorch_model.bin")
    return folder


def untouched(folder: Path, place: Path) -> dict[str, Any]:
    """Score PAIRS by the package in an environment that has it, old transformers, and today's others."""
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    others = [sysconfig.get_path("purelib"), str(Path(np.__file__).parents[1])]
    (Path(own) / "zz_others.pth").write_text("\n".join(dict.fromkeys(others)) + "\n")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", *UNTOUCHED]
    subprocess.run(install, check=True)
    pairs = folder / "pairs.json"
    pairs.write_text(json.dumps(PAIRS), encoding="utf-8")
    script = folder / "there.py"
    script.write_text(_THERE)
    said = subprocess.run([python, script, folder, pairs], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Compare, tell the largest difference, and keep the golden values where asked."""
    import transformers

    from thinkrec.metrics.reasons.bleurt import Bleurt

    with tempfile.TemporaryDirectory() as temporary:
        folder = make_checkpoint(Path(temporary) / "checkpoint")
        bleurt = Bleurt(folder)
        first, second = map(list, zip(*PAIRS, strict=True))
        pairs, ours = bleurt.encode(first, second), np.array(bleurt.score(first, second))
        theirs = untouched(folder, Path(temporary) / "environment")
    lengths = pairs.mask.sum(1).tolist()
    for name, own in (("ids", pairs.ids.tolist()), ("types", pairs.types.tolist())):
        cut = [row[:count] for row, count in zip(own, lengths, strict=True)]
        if wrong := [k for k, row in enumerate(cut) if row != theirs[name][k]]:
            print(f"{name} differ in pairs {wrong}")
            return 1
    apart = float(np.abs(ours - np.array(theirs["logits"])).max())
    logits = theirs["logits"]
    print(
        f"transformers {transformers.__version__} against {theirs['transformers']}: {len(PAIRS)} pairs of "
        f"{min(lengths)} to {max(lengths)} tokens in one batch, equal ids, logits {min(logits):.3f} to "
        f"{max(logits):.3f}, largest gap {apart:.1e}"
    )
    if "--write" in sys.argv[1:]:
        kept = {"pairs": PAIRS, **{key: theirs[key] for key in ("transformers", "ids", "logits")}}
        GOLDEN.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return int(apart > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
