"""The optimizer with schedules, scaled losses and clipped gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer, lr_scheduler, swa_utils
from torch.utils.data import DataLoader, TensorDataset

from adamax_torch import Adamax
from torch_steps import snapshot

Schedule = Callable[[Optimizer], Any]

SCHEDULES: dict[str, Schedule] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.5**epoch),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.5),
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 3], gamma=0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, total_iters=2),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, total_iters=4),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=6),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=4),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=2),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, step_size_up=2),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=8),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, total_iters=2), lr_scheduler.ExponentialLR(o, 0.5)]
    ),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.ConstantLR(o, total_iters=2), lr_scheduler.ExponentialLR(o, 0.5)],
        milestones=[2],
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.05, anneal_epochs=3),
}
BETAS_TOO = {"CyclicLR", "OneCycleLR"}


def parameters(dtype: torch.dtype = torch.float64) -> list[Parameter]:
    return [Parameter(torch.tensor(x, dtype=dtype)) for x in ([1.0, -2.0], [0.5])]


def gradients(optimizer: Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)


def test_every_schedule_of_torch_is_tested() -> None:
    of_torch = {*lr_scheduler.__all__, "SWALR"}
    # The last two are the base class, by its names of today and of before.
    assert of_torch - SCHEDULES.keys() <= {"LRScheduler", "_LRScheduler"}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("foreach", [False, True])
def test_the_next_step_uses_the_values_of_the_schedule(
    name: str, tensor_lr: bool, foreach: bool
) -> None:
    """Schedules set the same values as for torch.optim.Adamax, and a step uses them."""
    lr: Any = 0.25
    made: list[Any] = [
        cls(parameters(), torch.tensor(lr) if tensor_lr else lr, foreach=foreach)
        for cls in (Adamax, torch.optim.Adamax)
    ]
    by_hand = Adamax(parameters(), foreach=foreach)
    schedules = [SCHEDULES[name](optimizer) for optimizer in made]
    rates, betas = set(), set()
    for seed in range(6):
        ours, theirs = (optimizer.param_groups[0] for optimizer in made)
        assert (float(ours["lr"]), *ours["betas"]) == (float(theirs["lr"]), *theirs["betas"])
        rates.add(float(ours["lr"]))
        betas.add(tuple(ours["betas"]))
        by_hand.param_groups[0].update(lr=float(ours["lr"]), betas=tuple(ours["betas"]))
        for optimizer in (*made, by_hand):
            gradients(optimizer, seed)
            optimizer.step()
        for schedule in schedules:
            # Anything but the plateau takes an epoch there.
            schedule.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    assert snapshot(made[0]) == snapshot(by_hand)
    assert len(rates) > 1
    assert (len(betas) > 1) == (name in BETAS_TOO)


@pytest.mark.parametrize("foreach", [False, True])
def test_a_scaled_loss_gives_the_bits_of_the_loss(foreach: bool) -> None:
    """The scale is a power of two, hence exact; an overflow skips the step."""
    plain, scaled = (Adamax(parameters(torch.float32), foreach=foreach) for _ in range(2))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000)
    for seed in range(3):
        gradients(plain, seed)
        gradients(scaled, seed)
        for param in scaled.param_groups[0]["params"]:
            param.grad *= scaler.scale(torch.ones(()))
        plain.step()
        scaler.step(scaled)
        scaler.update()
    assert snapshot(plain) == snapshot(scaled)
    before = snapshot(scaled)
    scaled.param_groups[0]["params"][1].grad.fill_(torch.inf)
    scaler.step(scaled)
    scaler.update()
    assert snapshot(scaled) == before
    assert scaler.get_scale() == 2.0**9


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_a_step_uses_the_clipped_gradients(clip: Callable[..., Any]) -> None:
    clipped, by_hand = Adamax(parameters()), Adamax(parameters())
    gradients(clipped, 0)
    clip(clipped.param_groups[0]["params"], 0.25)
    pairs = zip(*(o.param_groups[0]["params"] for o in (by_hand, clipped)), strict=True)
    for param, like in pairs:
        param.grad = like.grad.clone()
    for optimizer in (clipped, by_hand):
        optimizer.step()
    assert snapshot(clipped) == snapshot(by_hand)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none: bool) -> None:
    """A gradient of None changes nothing; with zeros the moments decay."""
    optimizer = Adamax(parameters())
    gradients(optimizer, 0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=set_to_none)
    grads = [param.grad for param in optimizer.param_groups[0]["params"]]
    assert all(grad is None if set_to_none else not grad.any() for grad in grads)
    before = snapshot(optimizer)
    optimizer.step()
    assert (snapshot(optimizer) == before) == set_to_none


def test_a_model_learns_with_autocast_and_a_loader() -> None:
    """bfloat16 where autocast says so, batches, a schedule, clipping: a tenth is left."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(64, 4)
        data = TensorDataset(x, x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 1)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        optimizer = Adamax(model.parameters(), lr=0.05, weight_decay=1e-4)
        schedule = lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=160)
        losses = []
        for _ in range(40):
            for inputs, targets in DataLoader(data, batch_size=16, shuffle=True):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16):
                    predicted = model(inputs).squeeze(-1)
                loss = (predicted.float() - targets).square().mean()
                loss.backward()
                clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
    assert sum(losses[-4:]) < 0.1 * sum(losses[:4])
