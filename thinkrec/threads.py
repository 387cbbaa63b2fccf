"""One number of threads for every sum, so that the same seed gives the same bits."""

import torch


def hold_threads() -> None:
    """Keep torch's number of threads from changing with the size of a product.

    Left to itself, MKL chooses a number for each product until somebody calls `torch.set_num_threads` in
    that process; sums then run in another order, and what is trained before and after that call differs in
    its last bits. Whatever makes or loads a model calls this first.
    """
    torch.set_num_threads(torch.get_num_threads())
