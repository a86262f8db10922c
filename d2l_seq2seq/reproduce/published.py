"""Results of all published runs of the sections that train a model.

The book's outputs were published with every change from December 2019 to September 2020, d2l 0.7
to 0.14.4, in the notebooks of the public repositories d2l-ai/d2l-en-colab and
d2l-ai/d2l-en-sagemaker.  In this time the models, the data and the settings did not change.  The
losses of the curves were read from the plots, which are vector graphics.
"""

from __future__ import annotations

from dataclasses import dataclass

SLACK = 0.1  # the range of the curves is widened by 10 % at both ends


@dataclass(frozen=True)
class Published:
    """The output of the published runs of a section."""

    num_epochs: int
    num_runs: int
    printed: str  # in the release of d2l 0.14.0
    # By number of epochs: the smallest and the largest loss that a run plotted.
    losses: dict[int, tuple[float, float]]
    median_loss: float
    final_loss: tuple[float, float]  # accepted limits, rounded to three digits as printed
    # By sentence: the most frequent translations, and the number of runs that printed them.
    translations: dict[str, dict[str, int]]
    # False if some runs printed translations that no other run printed, so a difference is normal.
    judges_translations: bool


# fmt: off
PUBLISHED = {  # by number of the section
    '9.7': Published(
        num_epochs=300, num_runs=45, printed='loss 0.026, 8687.4 tokens/sec on gpu(0)',
        losses={
            10: (0.2102, 0.2190), 20: (0.1699, 0.1859), 30: (0.1469, 0.1649),
            40: (0.1300, 0.1498), 50: (0.1140, 0.1375), 60: (0.1006, 0.1234),
            70: (0.0887, 0.1113), 80: (0.0785, 0.0996), 90: (0.0690, 0.0899),
            100: (0.0614, 0.0826), 110: (0.0549, 0.0753), 120: (0.0494, 0.0690),
            130: (0.0450, 0.0643), 140: (0.0413, 0.0581), 150: (0.0378, 0.0534),
            160: (0.0360, 0.0504), 170: (0.0342, 0.0469), 180: (0.0323, 0.0435),
            190: (0.0314, 0.0411), 200: (0.0297, 0.0387), 210: (0.0286, 0.0393),
            220: (0.0285, 0.0360), 230: (0.0277, 0.0345), 240: (0.0269, 0.0328),
            250: (0.0265, 0.0322), 260: (0.0263, 0.0321), 270: (0.0257, 0.0308),
            280: (0.0253, 0.0300), 290: (0.0250, 0.0291), 300: (0.0249, 0.0288),
        },
        median_loss=0.026, final_loss=(0.024, 0.030),
        translations={
            'Go .': {'va !': 45},
            'Wow !': {'<unk> !': 45},
            "I'm OK .": {'je vais bien .': 27, 'ça va .': 18},
            'I won !': {"je l'ai emporté !": 27, "j'ai gagné !": 18},
        },
        judges_translations=True,
    ),
    '10.2': Published(
        num_epochs=200, num_runs=42, printed='loss 0.032, 3919.6 tokens/sec on gpu(0)',
        losses={
            10: (0.2039, 0.2193), 20: (0.1659, 0.1841), 30: (0.1428, 0.1636),
            40: (0.1260, 0.1447), 50: (0.1097, 0.1284), 60: (0.0963, 0.1155),
            70: (0.0840, 0.1018), 80: (0.0725, 0.0914), 90: (0.0636, 0.0817),
            100: (0.0569, 0.0743), 110: (0.0509, 0.0685), 120: (0.0455, 0.0620),
            130: (0.0413, 0.0563), 140: (0.0391, 0.0517), 150: (0.0370, 0.0480),
            160: (0.0346, 0.0442), 170: (0.0331, 0.0425), 180: (0.0313, 0.0391),
            190: (0.0298, 0.0374), 200: (0.0296, 0.0356),
        },
        median_loss=0.032, final_loss=(0.026, 0.039),
        translations={
            'Go .': {'va !': 41, '<unk> !': 1},
            'Wow !': {'<unk> !': 42},
            "I'm OK .": {'je vais bien .': 31, 'ça va .': 7},
            'I won !': {"je l'ai emporté !": 23, "j'ai gagné !": 17},
        },
        judges_translations=False,
    ),
    '10.3': Published(
        num_epochs=100, num_runs=71, printed='loss 0.033, 3284.3 tokens/sec on gpu(0)',
        losses={
            10: (0.0879, 0.1000), 20: (0.0492, 0.0547), 30: (0.0410, 0.0456),
            40: (0.0380, 0.0418), 50: (0.0353, 0.0398), 60: (0.0341, 0.0381),
            70: (0.0334, 0.0370), 80: (0.0318, 0.0365), 90: (0.0315, 0.0350),
            100: (0.0315, 0.0343),
        },
        median_loss=0.033, final_loss=(0.028, 0.037),
        translations={
            'Go .': {'va !': 40, 'va <unk> !': 8, 'entrez !': 6},
            'Wow !': {'<unk> !': 64},
            "I'm OK .": {'je vais bien .': 22, 'ça va .': 22},
            'I won !': {"j'ai gagné !": 32, "je l'ai emporté !": 28},
        },
        judges_translations=False,
    ),
}
# fmt: on
