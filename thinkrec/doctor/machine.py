"""The machine: GPUs, processor cores, bfloat16, memory, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from thinkrec.doctor.finding import Case, Finding, note, ok, problem, size, split
from thinkrec.layout import FETCHABLE, backbone_place
from thinkrec.machine import core_limit, free_memory, has_bfloat16

if TYPE_CHECKING:
    from thinkrec.config.models import Backbone

GROUP = "machine"
PROJECT, FETCHED = 1_000_000_000, 600_000_000
"""Bytes that stages write for a small data set, DVC's copies included, and that fetching a small language
model takes on its way (both measured on the embedded data set, rounded up)."""
SPILL = 3
"""Bytes that `prep` and DVC write for each byte of raw files (our choice)."""
_DRIVER = Path("/proc/driver/nvidia/version")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
CPU_BUILD = (
    "install PyTorch's CUDA build, by the command that PyTorch's installation page gives for this machine"
)


def gpus(case: Case) -> Iterator[Finding]:
    """Look for GPUs, and for a build of torch that can use them."""
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(found):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield ok(f"GPU {number}: {name}, {size(free)} of {size(total)} free")
    if not found:
        driver = _DRIVER.exists() or shutil.which("nvidia-smi") is not None
        yield _without_gpu(torch.__version__, torch.version.cuda or torch.version.hip, driver)
    if case.params and case.params.processes > max(found, 1):
        what = f"processes is {case.params.processes} in params.yaml, and {found or 'no'} GPU is here"
        yield (problem if found else note)(what, f"set processes to {max(found, 1)}")


def _without_gpu(version: str, built_for: str | None, driver: bool) -> Finding:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if driver and hidden in ("", "-1"):
        return note(f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides all GPUs", "unset it to use them")
    if driver and built_for is None:
        return problem(f"a GPU's driver is here, but torch {version} can't use GPUs", CPU_BUILD)
    if driver:
        return problem(
            f"torch {version} is built for CUDA {built_for} and finds no GPU, though a driver is here",
            "see whether `nvidia-smi` lists a GPU, and update the driver if its CUDA version is older",
        )
    if built_for:
        return note(
            f"no GPU; torch {version} is the large build for CUDA {built_for}, which runs on the processor",
            "PyTorch's CPU build is several gigabytes smaller",
        )
    return ok(f"no GPU; torch {version} runs on the processor")


def cores(case: Case) -> Iterator[Finding]:
    """Compare the processor's cores with the threads that torch starts."""
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed, threads = min(usable, core_limit() or usable), torch.get_num_threads()
    what = f"torch computes with {threads} {'thread' if threads == 1 else 'threads'} on {allowed} "
    what += "processor core" if allowed == 1 else "processor cores"
    given = next((name for name in _THREADS if os.environ.get(name)), None)
    if threads > allowed:
        yield note(f"{what}, which is slow", f"set the environment variable OMP_NUM_THREADS to {allowed}")
    elif given and threads < allowed:
        yield note(f"{what}, as {given} says", f"unset {given} to use all cores")
    else:
        yield ok(what)


def dtype(case: Case) -> Iterator[Finding]:
    """Say which dtype the language model gets here."""
    here = "bfloat16" if has_bfloat16() else "float32"
    wanted = case.params.backbone.dtype if case.params else "auto"
    if wanted == "bfloat16" and here != wanted:
        yield note(
            "backbone.dtype is bfloat16, for which this machine has no instructions: it is slow",
            "set backbone.dtype in params.yaml to auto",
        )
    else:
        has = "has" if here == "bfloat16" else "lacks"
        means = f"auto means {here}" if wanted == "auto" else f"backbone.dtype is {wanted}"
        yield ok(f"this machine {has} instructions for bfloat16: {means}")


def four_bit(case: Case) -> Iterator[Finding]:
    """Check what a language model in 4 bits needs."""
    used = [("backbone", case.given.backbone)]
    used += [("agent-backbone", case.given.agent_backbone)] * bool(case.given.agents)
    for section, backbone in used:
        if backbone.load_in_4bit and not (_has_gpu() and find_spec("bitsandbytes")):
            yield problem(
                f"{section}.load_in_4bit needs a GPU and the package bitsandbytes",
                f"run `pip install bitsandbytes` on a machine with a GPU, or set {section}.load_in_4bit to "
                "false in params.yaml",
            )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def memory(case: Case) -> Iterator[Finding]:
    """Compare the free memory with what `prep` may take."""
    from thinkrec.config.base import parse_size

    free, total = free_memory()
    what = f"{size(free)} of {size(total)} of memory are free"
    most = case.params.prep.max_memory if case.params else None
    if most and parse_size(most) > total:
        yield problem(
            f"{what}, but prep.max_memory is {most}",
            "lower prep.max_memory in params.yaml, or set it to null for half of the memory",
        )
    else:
        yield ok(what)


def model_memory(case: Case) -> Iterator[Finding]:
    """Compare the free memory with the language model's weights, where the model is wanted and here."""
    from thinkrec.artifacts.outside import model_folder
    from thinkrec.doctor.data import has_language_model

    backbone: Backbone = case.given.backbone
    if backbone.load_in_4bit or not has_language_model(case):
        return
    folder = model_folder(backbone.model, backbone.revision, case.root)
    if folder is None:
        return
    import torch

    from thinkrec.errors import ModelError
    from thinkrec.llm.backbone import check_memory, count_weights, settled_dtype

    try:
        weights = count_weights(str(folder))
        own = settled_dtype(backbone.dtype, weights)
        check_memory(backbone.model, weights, own)
    except ModelError as error:
        yield problem(*split(str(error)))
        return
    needed = weights * (2 if own == "bfloat16" else 4)
    if torch.cuda.is_available() and needed > (free := torch.cuda.mem_get_info()[0]):
        yield problem(
            f"backbone {backbone.model!r} needs {size(needed)} for its weights alone in {own}, and "
            f"{size(free)} of the GPU's memory are free",
            "end what else runs on the GPU, set backbone.load_in_4bit to true, or choose a smaller model",
        )
        return
    yield ok(
        f"the language model's weights take {size(needed)} in {own}; `thinkrec global --dry-run` says what "
        "training takes"
    )


def disk(case: Case) -> Iterator[Finding]:
    """Compare the free space with what the stages write."""
    if not os.access(case.root, os.W_OK):
        yield problem(
            f"{case.root.absolute()} may not be written, and stages write there",
            "take a folder of your own, or get the right to write",
        )
    free = shutil.disk_usage(case.root).free
    wanted = _wanted(case)
    what = f"{size(free)} of disk are free; the stages write about {size(wanted)}"
    if free < wanted:
        yield problem(what, "free some space, or move the project to a larger disk")
    else:
        yield ok(what)


def _wanted(case: Case) -> int:
    """Estimate the bytes that all stages write."""
    if case.params is None:
        return PROJECT
    folders = [case.root / each.raw for each in case.params.datasets.values() if "://" not in each.raw]
    raw = sum(path.stat().st_size for folder in folders for path in folder.glob("*") if path.is_file())
    model = case.params.backbone.model
    place = backbone_place(model, case.root)
    fetched = FETCHED if model in FETCHABLE and place and not place.exists() else 0
    return PROJECT + SPILL * raw + fetched
