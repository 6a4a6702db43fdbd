"""The derivation that is shown is the one that judges: same values, and errors never larger."""

from typing import Any

import numpy as np
import pytest

from adamax_conformance.bounds.derivation import derive
from adamax_conformance.bounds.oracle import allowed
from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case, Data
from adamax_conformance.judging.run import initial
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

RUNS = [case for case in CASES if case.trial is not None and "float32" in case.dtypes]


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.id)
def test_last_operation_is_the_bound_of_the_parameter(case: Case) -> None:
    assert case.trial is not None
    run = case.trial(Data("float32", 0, case.id)).run
    before = initial(run)
    compared = 0
    for name, grad in run.grads[0].items():
        index, param = (0,) * grad.ndim, run.params[name]
        if name in run.undecayed or not grad.size:
            continue
        if not (np.isfinite(grad[index]) and np.isfinite(param[index])):
            continue
        slot = before[name]
        at = Moments(slot.step, slot.exp_avg[index], slot.exp_inf[index])
        last = derive(param[index], grad[index], at, run.at(0))[-1]
        bound = allowed(param, grad, slot, run.at(0))["param"].carried
        assert last.value == bound.value[index]
        assert last.error <= bound.error[index]
        compared += 1
    assert compared or case.id in ("S-2/all-missing", "N-5/nan-first", "A-2/absent-without-decay")


def lines(hp: Hyperparameters) -> dict[str, Any]:
    z = np.float32(0)
    operations = derive(np.float32(2), np.float32(0.5), Moments(0, z, z), hp)
    return {each.text: each for each in operations}


def test_operations_are_those_of_the_rule_in_its_names() -> None:
    hp = Hyperparameters(lr=0.125, betas=(0.75, 0.5), eps=0.25, weight_decay=0.5)
    told = lines(hp)
    assert list(told)[:2] == ["weight_decay p", "g + weight_decay p"]
    assert float(told["g + weight_decay p"].value) == 1.5
    assert float(told["max(beta2 u, |g + weight_decay p| + eps)"].value) == 1.75
    assert "m' / u'" in told
    assert told["(lr / c) (m' / u')"].value == told["m' / u'"].value / 2
    decoupled = lines(Hyperparameters(weight_decay=0.5, decoupled_weight_decay=True))
    assert "(lr weight_decay) p" in decoupled


def test_roundings_are_relative_to_the_value() -> None:
    product = lines(Hyperparameters(betas=(0.75, 0.5)))["(1 - beta1) g"]
    assert product.roundings == 4
    assert lines(Hyperparameters())["beta1 m"].roundings is None
