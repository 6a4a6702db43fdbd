"""Sharded training with FSDP2, and checkpoints that another number of processes can resume.

    torchrun --nproc-per-node 2 examples/fsdp.py --save out/digits
    torchrun --nproc-per-node 4 examples/fsdp.py --resume out/digits

Every process holds a part of each parameter, and of its state: an update is a matter of each
element alone, so the optimizer needs nothing but its own part. It runs on processors, over gloo.

Install: pip install -c constraints.txt '.[torch,docs]'
"""

import argparse
import os
from pathlib import Path
from typing import Any

from extras import needs

with needs("torch,docs"):
    import torch
    import torch.distributed as dist
    from sklearn.datasets import load_digits
    from torch import Tensor, nn
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load
    from torch.distributed.checkpoint.state_dict_saver import save
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.nn.functional import cross_entropy

    from adamax_torch import Adamax

TRAIN_SIZE, BATCH_SIZE = 1344, 64


def batch(x: Tensor, y: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """The equal share of a batch for this process."""
    rank, size = dist.get_rank(), BATCH_SIZE // dist.get_world_size()
    start = index * BATCH_SIZE % TRAIN_SIZE + rank * size
    return x[start : start + size], y[start : start + size]


def main() -> None:
    """Join the process group, train, and leave it together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=210, help="steps to take (default: 210)")
    parser.add_argument("--save", type=Path, help="folder to write a checkpoint to, at the end")
    parser.add_argument("--resume", type=Path, help="folder of a checkpoint to go on from")
    options = parser.parse_args()
    if not dist.is_torchelastic_launched():
        parser.error("start it with: torchrun --nproc-per-node 2 examples/fsdp.py")

    dist.init_process_group("gloo")
    if BATCH_SIZE % dist.get_world_size():
        parser.error(
            f"a batch of {BATCH_SIZE} cannot be split into {dist.get_world_size()} equal parts"
        )
    train(options.steps, options.save, options.resume)
    # A process that leaves while another still sends messages to it may crash the other.
    dist.barrier()
    dist.destroy_process_group()


def train(steps: int, to: Path | None, origin: Path | None) -> None:
    """Train; load and save a checkpoint if the options name one."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels))
    x, y = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    for part in (model[0], model[2], model):
        fully_shard(part, mesh=mesh)
    optimizer = Adamax(model.parameters(), lr=1e-2)

    taken = torch.tensor(0)
    weights, state = get_state_dict(model, optimizer)
    checkpoint: dict[str, Any] = {"model": weights, "optimizer": state, "taken": taken}
    if origin:
        load(checkpoint, checkpoint_id=origin)
        set_state_dict(
            model,
            optimizer,
            model_state_dict=checkpoint["model"],
            optim_state_dict=checkpoint["optimizer"],
        )
    for _ in range(steps):
        inputs, targets = batch(x[:TRAIN_SIZE], y[:TRAIN_SIZE], int(taken))
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        taken += 1
    with torch.no_grad():
        scores = model(x[TRAIN_SIZE:])
    if dist.get_rank() == 0:
        test_loss = cross_entropy(scores, y[TRAIN_SIZE:]).item()
        accuracy = (scores.argmax(1) == y[TRAIN_SIZE:]).double().mean().item()
        print(f"{dist.get_world_size()} processes, after step {int(taken)}: ", end="")
        print(f"test loss {test_loss:.6f}, accuracy {accuracy:.1%}", flush=True)
    if to:
        weights, state = get_state_dict(model, optimizer)
        save({"model": weights, "optimizer": state, "taken": taken}, checkpoint_id=to)


if __name__ == "__main__":
    main()
    # In PyTorch 2.13 a gloo thread may abort a process at its normal exit.
    os._exit(0)
