"""An example raises before it runs if the plot cannot be written."""

import pytest
from typer.testing import CliRunner

from example_scripts import example


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("digits", "make_task"),
        ("ensemble", "split"),
        ("hypergradient", "make_task"),
        ("which_adamax", "train"),
    ],
)
@pytest.mark.parametrize(
    ("plot", "said"),
    [
        ("plot.txt", "plot.txt ends in none of .png, .pdf, .svg"),
        (f"{__file__}/plot.png", f"({__file__}: File exists)"),
    ],
    ids=["suffix", "folder"],
)
def test_an_unwritable_plot_raises_first(
    name: str, first: str, plot: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example(name)
    monkeypatch.delattr(module, first)
    result = CliRunner().invoke(module.app, ["--plot", plot])
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
