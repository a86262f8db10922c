"""Our contestants in translating: python ours_translate.py JOB [book]"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]
from rounds import Turns  # noqa: E402

from d2l_seq2seq._runtime import choose_threads  # noqa: E402
from d2l_seq2seq.config import SearchConfig  # noqa: E402
from d2l_seq2seq.runs.layout import read_run_config  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
config = read_run_config(Path(job['run']))
if sys.argv[2:] != ['book']:  # the book leaves MXNet's own choice, we have been given a number
    choose_threads(64, config.model.num_hiddens)

from d2l_seq2seq import Translator, predict_s2s_ch9  # noqa: E402

SEARCHES = {
    'one by one': SearchConfig(batch_size=1),
    'batches of 64': SearchConfig(),
    'beam 5, batches of 64': SearchConfig(beam_size=5),
}
translator, turns = Translator.load(job['run']), Turns()


def book(way):
    """The chapter's function."""
    settings = (
        translator.src_vocab,
        translator.tgt_vocab,
        config.data.num_steps,
        next(iter(translator.model.collect_params().values())).list_ctx()[0],
    )
    return [
        predict_s2s_ch9(translator.model, sentence, *settings)
        for sentence in job['sources'][: job['num_book']]
    ]


def ours(way):
    """The translator: sentence after sentence, or all at once."""
    sentences, search = job['sources'][: job['ways'][way]], SEARCHES[way]
    if way == 'one by one':
        return [translator(sentence, search) for sentence in sentences]
    return translator(sentences, search)


translate, ways = (book, ['one by one']) if sys.argv[2:] == ['book'] else (ours, job['ways'])
while True:
    for way in ways:
        turns.wait()
        texts = translate(way)
        turns.end(sum(len(text.split()) for text in texts) / len(texts))
