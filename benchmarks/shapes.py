"""The shapes of the benchmarks, each with its source."""

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


def resnet50() -> Shapes:
    """The 161 parameters of ResNet-50, 26 million numbers (He et al., 2015, table 1).

    As torchvision lays them out: a convolution of 7 by 7, sixteen bottlenecks of three
    convolutions, and a layer for 1000 classes; each convolution with a batch norm.

    >>> from math import prod
    >>> len(resnet50()), sum(map(prod, resnet50()))
    (161, 25557032)
    """

    def convolution(inputs: int, outputs: int, size: int) -> Shapes:
        return [(outputs, inputs, size, size), (outputs,), (outputs,)]

    shapes = convolution(3, 64, 7)
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += convolution(inputs, width, 1)
            shapes += convolution(width, width, 3)
            shapes += convolution(width, 4 * width, 1)
            if block == 0:
                shapes += convolution(inputs, 4 * width, 1)  # the shortcut
            inputs = 4 * width
    return [*shapes, (1000, inputs), (1000,)]


def vit_b16() -> Shapes:
    """The 152 parameters of ViT-B/16, 87 million numbers (Dosovitskiy et al., 2021, table 1).

    As torchvision lays them out, for images of 224 by 224: the class token, patches of 16 by 16,
    positions, twelve blocks, a last norm, and a layer for 1000 classes.

    >>> from math import prod
    >>> len(vit_b16()), sum(map(prod, vit_b16()))
    (152, 86567656)
    """
    width, patch, patches = 768, 16, (224 // 16) ** 2
    block = [
        (width,), (width,),  # norm
        (3 * width, width), (3 * width,), (width, width), (width,),  # attention
        (width,), (width,),  # norm
        (4 * width, width), (4 * width,), (width, 4 * width), (width,),  # two layers
    ]  # fmt: skip
    before = [(1, 1, width), (width, 3, patch, patch), (width,), (1, patches + 1, width)]
    return [*before, *(12 * block), (width,), (width,), (1000, width), (1000,)]


SHAPES: dict[str, Shapes] = {
    "one of 1 thousand": [(1_000,)],
    "one of 10 thousand": [(10_000,)],
    "one of 100 thousand": [(100_000,)],
    "one of 300 thousand": [(300_000,)],
    "one of 1 million": [(1_000_000,)],
    "one of 10 million": [(10_000_000,)],
    "one of 20 million": [(20_000_000,)],
    "one of 100 million": [(100_000_000,)],
    "ResNet-50": resnet50(),
    "GPT-2 small": gpt2_small(),
    "ViT-B/16": vit_b16(),
    "500 of 256": [(256,)] * 500,
    "500 of 16 by 16": [(16, 16)] * 500,
    "150 of 256": [(256,)] * 150,
    "200 of 256": [(256,)] * 200,
    "50 of 256": [(256,)] * 50,
    "10 of 256": [(256,)] * 10,
}
