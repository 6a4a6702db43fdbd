"""`torch.optim.Adamax`, which ships with PyTorch, as a subject."""

from torch.optim import Adamax

from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.torch import TorchBackend, chosen
from adamax_conformance.subjects.glue.versions import versions

# Known deviations of PyTorch 2.13, by clause, case or case in one dtype.
_DEVIATIONS = {
    "S-5/float32-gradients": "gradients of another dtype than their parameters raise in lerp",
    "S-5/not-rounded-first": "gradients of another dtype than their parameters raise in lerp",
    "S-5/float16-gradients": "gradients of another dtype than their parameters raise in lerp",
    "S-5/float64-gradients": "gradients of another dtype than their parameters raise in lerp",
    "S-5/other-gradients": "gradients of another dtype than their parameters raise in lerp",
    "S-5/small-eps": "gradients of another dtype than their parameters raise in lerp",
    "S-5/beyond-the-range": "gradients of another dtype than their parameters raise in lerp",
    "S-5/bfloat16-beyond-the-range": "gradients of another dtype raise in lerp",
    "S-7/beyond-2-to-the-24": "the step is counted in float32, which sticks at 2^24",
    "S-7/up-to-2-to-the-31": "the step is counted in float32, which sticks at 2^24",
    "S-8": "Adam's state loads without a word; the next step raises KeyError",
    "N-1/zero-first-gradient[float16]": "eps rounds to zero in float16: 0 / 0",
    "N-3/last-places[float64]": "1 - beta1**step cancels in float64",
    "N-3/every-beta1[float64]": "1 - beta1**step cancels in float64",
    "N-3/late[float64]": "1 - beta1**step cancels in float64",
    "N-3/correction-alone[float64]": "1 - beta1**step cancels in float64",
    "N-3/any-beta1[float64]": "1 - beta1**step cancels in float64",
    "N-7/small[float16]": "eps rounds to zero in float16: 0 / 0",
    "H-1/between-steps": "hyperparameters are checked in the constructor alone",
    "H-2/between-steps": "hyperparameters are checked in the constructor alone",
    "H-3/between-steps": "hyperparameters are checked in the constructor alone",
    "H-4/between-steps": "hyperparameters are checked in the constructor alone",
    "H-1/infinite": "lr = inf passes its check",
    "H-2/infinite": "eps = inf passes its check",
    "H-4/infinite": "weight_decay = inf passes its check",
}
_LOOP_DEVIATIONS = {
    "S-10/atomic[complex64]": "raises in the middle of the step, when others have been stepped",
}
_DIFFERENTIABLE_DEVIATIONS = {
    "A-9/derivatives": "the moments are updated in place: autograd stops at the second step",
    "N-7/derivatives": "the derivative of addcdiv squares the norm, which vanishes or overflows",
    "D-1": "the moments are updated in place: autograd stops at the second step",
    "D-2": "the moments are updated in place: autograd stops at the second step",
    "D-3": "hyperparameters that are tensors raise TypeError, or autograd stops at the second step",
    "D-4": "the moments are updated in place: autograd stops at the second step",
}


def backend(
    *, foreach: bool | None = None, differentiable: bool = False, capturable: bool = False
) -> TorchBackend:
    """Return the backend of the stock optimizer with these arguments of its constructor."""
    return TorchBackend(
        "torch.optim",
        Adamax,
        offers=["maximize", "weight_decay", "undecayed", "load", "sparse"],
        language="Python",
        packages=versions("torch"),
        default_eps=default_eps(Adamax),
        deviations=_DEVIATIONS
        | ({} if foreach else _LOOP_DEVIATIONS)
        | (_DIFFERENTIABLE_DEVIATIONS if differentiable else {}),
        variant=chosen(foreach=foreach, differentiable=differentiable, capturable=capturable),
    )
