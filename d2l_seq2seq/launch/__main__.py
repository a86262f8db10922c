"""The program ``python -m d2l_seq2seq.launch``."""

from .. import cli
from . import main

cli.run(main)
