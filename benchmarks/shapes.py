"""The shapes that are timed, each with its source."""

Shapes = list[tuple[int, ...]]


def gpt2_small() -> Shapes:
    """The 148 parameters of GPT-2 small, 124 million numbers (Radford et al., 2019).

    As the released checkpoint lays them out: two embeddings, twelve blocks, and a last norm.

    >>> from math import prod
    >>> len(gpt2_small()), sum(map(prod, gpt2_small()))
    (148, 124439808)
    """
    width, context, words = 768, 1024, 50257
    block = [
        (width,), (width,),  # norm
        (width, 3 * width), (3 * width,), (width, width), (width,),  # attention
        (width,), (width,),  # norm
        (width, 4 * width), (4 * width,), (4 * width, width), (width,),  # two layers
    ]  # fmt: skip
    return [(words, width), (context, width), *(12 * block), (width,), (width,)]


SHAPES: dict[str, Shapes] = {
    "one of 20 million": [(20_000_000,)],
    "GPT-2 small": gpt2_small(),
    "500 of 256": [(256,)] * 500,
    "150 of 256": [(256,)] * 150,
}
