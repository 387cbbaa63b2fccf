"""A fixed number of threads, for bitwise reproducibility."""

import torch


def hold_threads() -> None:
    """Fix torch's number of threads.

    By default MKL chooses the number per product, until `torch.set_num_threads` is called; since the order of
    sums depends on it, results before and after differ in the last bits. Call it before making or loading a
    model.
    """
    torch.set_num_threads(torch.get_num_threads())
