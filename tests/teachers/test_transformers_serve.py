"""The teacher against a real language model behind a real server: transformers' own, with random weights."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from thinkrec.config.sections import Endpoint, Prompt, Summarize, Synthesize
from thinkrec.layout import Layout
from thinkrec.stages.summarize import summarize
from thinkrec.stages.synthesize import synthesize

_NEEDS = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(_NEEDS), reason=f"`transformers serve` needs {' and '.join(_NEEDS)}"),
]


def make_model(folder: Path) -> None:
    """A Llama with random weights, a byte-level tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(["Yes. The user liked it. No."], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=4096,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """Address and model name of a running server, and its process."""
    folder = tmp_path / "model"
    make_model(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, "transformers serve ended before it answered"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1", str(folder), process
    finally:
        process.kill()
        process.wait()


def test_a_real_server_answers_and_what_it_said_outlives_it(
    served: tuple[str, str, subprocess.Popen[bytes]], layout: Layout
) -> None:
    url, model, process = served
    summarize(layout, Summarize())
    endpoint = Endpoint(
        base_url=url, model=model, concurrency=2, retries=0, timeout=60,
        max_tokens=4, max_tokens_step=4, max_tokens_limit=8,
    )  # fmt: skip
    params = Synthesize(teacher="endpoint", rows=4, eval_rows=1, attempts=2, endpoint=endpoint)
    facts = synthesize(layout, params, Prompt(), "frozen", 1)
    rows = pq.read_table(layout.rationales)
    # Random weights say nothing: what is tested is that every answer came, was judged and was kept.
    rejected = facts["train"]["rejected"]
    assert sum(rejected.values()) == 4 and rejected.keys() <= {"no verdict", "cut off"}
    assert rows["attempts"].to_pylist() == [2] * 5 and not any(rows["accepted"].to_pylist())
    process.kill()
    process.wait()
    assert synthesize(layout, params, Prompt(), "frozen", 1) == facts
    assert pq.read_table(layout.rationales).equals(rows)
