"""Run ``python -m d2l_seq2seq.launch``."""

from .. import cli
from ..launch import main

cli.run(main)
