"""A training in processes of each kind, as `test_processes.py` starts it: METHOD, PARENT.

METHOD is what multiprocessing calls it, PARENT what the parent does before: it makes an optimizer
of a tiny parameter, or it steps 5 million elements too. Its large arrays are NumPy's: a process
that is forked after PyTorch's own threads have worked hangs with every optimizer.
"""

# ruff: noqa: T201 - a script that says what it found
import multiprocessing as mp
import sys
from typing import Any

import numpy as np
import torch
from torch import nn

from adamax_torch import Adamax

LARGE = 5_000_000


def large() -> tuple[nn.Parameter, Adamax]:
    """A parameter of ones with a gradient of ones, and an optimizer of exact steps."""
    param = nn.Parameter(torch.from_numpy(np.ones(LARGE, np.float32)))
    param.grad = torch.from_numpy(np.ones(LARGE, np.float32))
    return param, Adamax([param], lr=0.25, betas=(0.0, 0.5), eps=0.0)


def work(_: object) -> float:
    """Run a PyTorch operation that uses threads."""
    torch.set_num_threads(2)
    return float(torch.ones(LARGE).mul(2).sum())


def train(model: nn.Module, optimizer: Adamax, results: Any) -> None:
    """One step of a model on 5 rows, then two of a large parameter, with two threads."""
    torch.set_num_threads(2)
    model(torch.ones(5, 4)).sum().backward()
    optimizer.step()
    param, steps = large()
    for _ in range(2):
        steps.step()
    moved = [bool((each.grad != 0).all()) for each in model.parameters() if each.grad is not None]
    results.put((moved, np.unique(param.detach().numpy()).tolist()))


def main(method: str, parent: str) -> None:
    """Print the results of the processes."""
    context: Any = mp.get_context(method)
    Adamax([nn.Parameter(torch.ones(4))])
    if parent == "steps":
        param, optimizer = large()
        optimizer.step()
        assert np.unique(param.detach().numpy()).tolist() == [0.75]
    with context.Pool(1) as pool:
        print(pool.map(work, [0]))
    model = nn.Linear(4, 2)
    optimizer = Adamax(model.parameters())
    results = context.Queue()
    process = context.Process(target=train, args=(model, optimizer, results))
    process.start()
    print(results.get(timeout=100))
    process.join()
    print(process.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:])
