"""One process of `test_distributed.py`: ``python ranks.py WHAT RANK WORLD FOLDER``.

It joins the others through a file, over gloo, runs every check of `WHAT`, and writes what came of
each, a traceback or nothing, to a file of its own.
"""

import copy
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as write
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn import Linear, Parameter, Sequential, Tanh
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Adam

from adamax_torch import Adamax

# Three rows, five, one: with two and four processes there are uneven shards, and empty ones.
SHAPES = [(5, 3), (1, 4), (3, 2), (7,)]
OPTIONS: list[dict[str, Any]] = [
    {"foreach": False},
    {"foreach": True},
    {"foreach": False, "weight_decay": 0.1, "maximize": True, "capturable": True},
    {"foreach": True, "weight_decay": 0.1, "decoupled_weight_decay": True},
    {"fused": True, "weight_decay": 0.1},
]
ALONE: dict[str, Any] = {"fused": False}
HALF: dict[str, Any] = {"state_dtype": torch.float32}


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def require_same(optimizers: list[Any], what: str) -> None:
    """Raise unless both optimizers have the same parameters and state, to the last bit."""
    got, expected = optimizers
    pairs = zip(got.param_groups, expected.param_groups, strict=True)
    for index, (ours, theirs) in enumerate(pairs):
        for position, (p, q) in enumerate(zip(ours["params"], theirs["params"], strict=True)):
            slots = (got.state[p] | {"param": p}, expected.state[q] | {"param": q})
            for name in slots[1]:
                one, two = (whole(slot[name]) for slot in slots)
                if one.dtype != two.dtype or not torch.equal(one, two):
                    raise AssertionError(
                        f"{what}: {name} of parameter {position} of group {index} is {one}, "
                        f"alone {two}"
                    )


def numbers(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """The same in every process."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]


def dtensor(mesh: DeviceMesh, _: Path) -> None:
    """DTensor parameters of any placement step as plain tensors."""
    for placement in (Shard(0), Shard(1), Replicate()):
        for options in OPTIONS:
            for dtype, more in ((torch.float32, {}), (torch.bfloat16, HALF)):
                kept = [x for x in numbers(0, dtype) if x.dim() > 1 or placement != Shard(1)]

                def spread(x: Tensor, placement: Any = placement) -> DTensor:
                    return distribute_tensor(x.clone(), mesh, [placement])

                params = [Parameter(spread(x)) for x in kept]
                alone = [Parameter(x.clone()) for x in kept]
                optimizers = [
                    Adamax(params, **options, **more),
                    Adamax(alone, **options | ALONE, **more),
                ]
                for seed in range(1, 4):
                    grads = (
                        x for x in numbers(seed, dtype) if x.dim() > 1 or placement != Shard(1)
                    )
                    for p, q, grad in zip(params, alone, grads, strict=True):
                        p.grad, q.grad = spread(grad), grad
                    for optimizer in optimizers:
                        optimizer.step()
                require_same(optimizers, f"{placement}, {options}, {dtype}")


def model(dtype: torch.dtype = torch.float32) -> Sequential:
    torch.manual_seed(0)
    return Sequential(Linear(3, 5), Tanh(), Linear(5, 1)).to(dtype)


def sharded(mesh: DeviceMesh, dtype: torch.dtype = torch.float32) -> Sequential:
    module = model(dtype)
    for part in (module[0], module[2], module):
        fully_shard(part, mesh=mesh)
    return module


def fsdp(mesh: DeviceMesh, _: Path) -> None:
    """FSDP2: shards, also uneven and empty, have the bits of the whole; steps send no message."""
    for options in OPTIONS:
        for dtype, more in ((torch.float32, {}), (torch.bfloat16, HALF)):
            shards, alone = sharded(mesh, dtype), model(dtype)
            optimizers = [
                Adamax(shards.parameters(), **options, **more),
                Adamax(alone.parameters(), **options | ALONE, **more),
            ]
            for seed in range(3):
                torch.manual_seed(seed * mesh.size() + mesh.get_rank())
                shards(torch.randn(4, 3, dtype=dtype)).square().sum().backward()
                for p, q in zip(shards.parameters(), alone.parameters(), strict=True):
                    q.grad = whole(p.grad)  # type: ignore[arg-type]  # it has one
                messages = CommDebugMode()  # type: ignore[no-untyped-call]  # torch's own
                # The kernel, which knows nothing of processes, is not taken where one watches.
                with nullcontext() if options.get("fused") else messages:
                    for optimizer in optimizers:
                        optimizer.step()
                if messages.get_total_counts():
                    raise AssertionError(f"a step sent {messages.get_comm_counts()}")
                for optimizer in optimizers:
                    optimizer.zero_grad()
            require_same(optimizers, f"{options}, {dtype}")


def ddp(mesh: DeviceMesh, _: Path) -> None:
    """DDP goes where one process goes that has seen the batches of all.

    Inputs are small whole numbers and the model is linear, so that gradients add up exactly.
    """
    batches = torch.arange(float(6 * mesh.size())).reshape(mesh.size(), 2, 3) % 5
    for options in OPTIONS:
        torch.manual_seed(0)
        alone = Linear(3, 2)
        module = DistributedDataParallel(copy.deepcopy(alone))
        optimizers = [
            Adamax(module.parameters(), **options),
            Adamax(alone.parameters(), **options | ALONE),
        ]
        for _step in range(3):
            module(batches[mesh.get_rank()]).sum().backward()
            (sum(alone(batch).sum() for batch in batches) / mesh.size()).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        require_same(optimizers, f"{options}")


def zero(mesh: DeviceMesh, _: Path) -> None:
    """ZeroRedundancyOptimizer: each process steps its part; then the state is consolidated."""
    for options in OPTIONS:
        params, alone = ([Parameter(x) for x in numbers(0)] for _ in range(2))
        parts = ZeroRedundancyOptimizer(params, optimizer_class=Adamax, **options)
        optimizer = Adamax(alone, **options | ALONE)
        for seed in range(1, 4):
            for p, q, grad in zip(params, alone, numbers(seed), strict=True):
                p.grad, q.grad = grad, grad.clone()
            parts.step()
            optimizer.step()
        parts.consolidate_state_dict(to=0)
        if mesh.get_rank() == 0:
            again = Adamax([Parameter(param.detach().clone()) for param in params])
            again.load_state_dict(parts.state_dict())
            require_same([again, optimizer], f"{options}")


def wrong(mesh: DeviceMesh, _: Path) -> None:
    """Fails on purpose: the learning rate of the shards differs in its last bits."""
    shards, alone = sharded(mesh), model()
    optimizers = [Adamax(m.parameters(), lr) for m, lr in ((shards, 0.1), (alone, 0.1 + 2**-27))]
    for p, q in zip(shards.parameters(), alone.parameters(), strict=True):
        q.grad = torch.ones_like(q)
        p.grad = distribute_tensor(q.grad, mesh, [Shard(0)])
    for optimizer in optimizers:
        optimizer.step()
    require_same(optimizers, "wrong")


def refusal(mesh: DeviceMesh, _: Path) -> None:
    """Adam's state raises in every process, and nothing changes."""
    module = sharded(mesh)
    adam, ours = Adam(module.parameters()), Adamax(module.parameters())
    for optimizer in (adam, ours):
        module(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    before = {p: {k: whole(v).clone() for k, v in slot.items()} for p, slot in ours.state.items()}
    try:
        set_optimizer_state_dict(module, ours, get_optimizer_state_dict(module, adam))
    except ValueError as error:
        if "this looks like Adam" not in str(error):
            raise
    else:
        raise AssertionError("it was loaded")
    for p, slot in before.items():
        for name, value in slot.items():
            if not torch.equal(whole(ours.state[p][name]), value):
                raise AssertionError(f"{name} was changed")


CHECKPOINTED: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.1, **HALF}


def train(module: Sequential, optimizer: Adamax, seeds: range) -> None:
    """Train with gradients that do not depend on the number of processes."""
    for seed in seeds:
        torch.manual_seed(seed)
        for param in module.parameters():
            grad = torch.randn(param.shape).to(param.dtype)
            assert isinstance(param, DTensor)
            param.grad = distribute_tensor(grad, param.device_mesh, param.placements)
        optimizer.step()


def final(module: Sequential, optimizer: Adamax) -> list[Tensor]:
    return [
        whole(value).detach().clone()
        for param in module.parameters()
        for value in (param, *optimizer.state[param].values())
    ]


def save(mesh: DeviceMesh, folder: Path) -> None:
    """Train, save a checkpoint, continue, and save the final state for `resume` to compare."""
    for foreach in (False, True):
        module = sharded(mesh, torch.bfloat16)
        optimizer = Adamax(module.parameters(), foreach=foreach, **CHECKPOINTED)
        train(module, optimizer, range(3))
        weights, state = get_state_dict(module, optimizer)
        saved = {"model": weights, "optimizer": state}
        write(saved, checkpoint_id=folder / f"checkpoint-{foreach}")
        train(module, optimizer, range(3, 6))
        end = final(module, optimizer)
        if mesh.get_rank() == 0:
            torch.save(end, folder / f"end-{foreach}.pt")


def resume(mesh: DeviceMesh, folder: Path) -> None:
    """Load the checkpoint of another number of processes, and continue to the same bits."""
    for foreach in (False, True):
        module = sharded(mesh, torch.bfloat16)
        with torch.no_grad():
            for param in module.parameters():
                param.zero_()
        optimizer = Adamax(module.parameters(), foreach=foreach, **CHECKPOINTED | {"lr": 1.0})
        weights, state = get_state_dict(module, optimizer)
        loaded: dict[str, Any] = {"model": weights, "optimizer": state}
        load(loaded, checkpoint_id=folder / f"checkpoint-{foreach}")
        set_state_dict(
            module,
            optimizer,
            model_state_dict=loaded["model"],
            optim_state_dict=loaded["optimizer"],
        )
        train(module, optimizer, range(3, 6))
        ends = zip(final(module, optimizer), torch.load(folder / f"end-{foreach}.pt"), strict=True)
        for index, (got, expected) in enumerate(ends):
            if got.dtype != expected.dtype or not torch.equal(got, expected):
                raise AssertionError(f"foreach={foreach}, {index}: {got}, uninterrupted {expected}")


WHAT: dict[str, list[Callable[[DeviceMesh, Path], None]]] = {
    "everything": [dtensor, fsdp, ddp, zero, refusal, wrong, save],
    "resume": [resume],
}


def main(what: str, rank: int, world: int, folder: Path, source: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    mesh = init_device_mesh("cpu", (world,))
    results: dict[str, str] = {}
    for check in WHAT[what]:
        try:
            check(mesh, source)
            results[check.__name__] = ""
        except BaseException:  # noqa: BLE001 - every fault is a result; a CheckpointException is no Exception
            results[check.__name__] = traceback.format_exc()
        # A process that has failed may be a message behind: what follows is in step again.
        dist.barrier()
    (folder / f"{rank}.json").write_text(json.dumps(results))
    dist.barrier()
    # Everything is written. A thread that wants the interpreter while it ends would abort it.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
