"""Our contestants of translation_speed.py: python ours_translate.py JOB [book]

With `book` the sentences are translated by the chapter's function.
"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]
from rounds import Turns  # noqa: E402

from d2l_seq2seq._runtime import choose_threads  # noqa: E402
from d2l_seq2seq.config import SearchConfig  # noqa: E402
from d2l_seq2seq.runs.layout import read_run_config  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
is_book = sys.argv[2:] == ['book']
config = read_run_config(Path(job['run']))
if not is_book:  # the book uses MXNet's default number of threads
    # The benchmark has set OMP_NUM_THREADS, which is kept; this sets the other variables.
    choose_threads(64, config.model.num_hiddens)

from d2l_seq2seq import Translator, predict_s2s_ch9  # noqa: E402

SEARCHES = {
    'one by one': SearchConfig(batch_size=1),
    'batches of 64': SearchConfig(),
    'beam 5, batches of 64': SearchConfig(beam_size=5),
}
translator, turns = Translator.load(job['run']), Turns()


def translate_like_book(mode):
    """Translate with the chapter's function."""
    arguments = (
        translator.src_vocab,
        translator.tgt_vocab,
        config.data.num_steps,
        next(iter(translator.model.collect_params().values())).list_ctx()[0],
    )
    return [
        predict_s2s_ch9(translator.model, sentence, *arguments)
        for sentence in job['sources'][: job['num_book']]
    ]


def translate(mode):
    """Translate with a `Translator`, sentence by sentence or all at once."""
    sentences, search = job['sources'][: job['modes'][mode]], SEARCHES[mode]
    if mode == 'one by one':
        return [translator(sentence, search) for sentence in sentences]
    return translator(sentences, search)


function, modes = (translate_like_book, ['one by one']) if is_book else (translate, job['modes'])
while True:
    for mode in modes:
        turns.wait()
        texts = function(mode)
        turns.end(sum(len(text.split()) for text in texts) / len(texts))
