"""Sharded state, and the folders of torch.distributed.checkpoint, become one checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint import format_utils
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_saver import save

from adamax_checkpoint import torch_file
from adamax_checkpoint.torch import from_state_dict
from adamax_torch import Adamax
from checkpoints import assert_same


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_sharded_state_is_gathered_and_spread(world: int, tmp_path: Path) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    script = Path(__file__).with_name("shards.py")
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(world), tmp_path],
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    for process in processes:
        _, printed = process.communicate(timeout=300)
        assert process.returncode == 0, printed


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_folder_of_a_distributed_checkpoint(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = Adamax(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    state_dict = get_optimizer_state_dict(model, optimizer)
    save({"optimizer": state_dict, "model": model.state_dict()}, checkpoint_id=tmp_path / "dcp")
    format_utils.dcp_to_torch_save(tmp_path / "dcp", tmp_path / "run.pt")
    found = torch_file.read(tmp_path / "run.pt")
    assert_same(found, from_state_dict(state_dict, params=dict(model.named_parameters())))
