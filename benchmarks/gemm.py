"""What a processor's matrix products can do, for shares of it."""

import statistics
import time

import torch

from forethought.products import Product

SIZE = 2048
REPEATS = 5


@torch.no_grad()
def gemm_peak() -> float:
    """Operations a second of large float32 products, as oneDNN does them on this thread."""
    values, weight = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    product = Product(SIZE, weight)
    taken = []
    for _ in range(REPEATS):
        started = time.thread_time()
        product(values)
        taken.append(time.thread_time() - started)
    return 2 * SIZE**3 / statistics.median(taken)
