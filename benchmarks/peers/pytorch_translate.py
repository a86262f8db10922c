"""Translation in PyTorch with the weights of our run: python pytorch_translate.py JOB plain|strong

Greedy search and beam search on tensors, in batches of similar length.  The searches are the same
as ours, so that both give the same translations.  `plain` always takes all steps, as the book's
PyTorch edition does for a sentence that does not end.  `strong` checks after each step whether all
sentences have ended.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]
from rounds import Turns  # noqa: E402

from d2l_seq2seq._runtime import reuse_memory  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
ends_early = sys.argv[2] == 'strong'
turns = Turns()
# PyTorch's default number of threads does not follow OMP_NUM_THREADS in every build.
if 'OMP_NUM_THREADS' in os.environ:
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
reuse_memory()
torch.set_flush_denormal(True)

run = Path(job['checkpoint'])
config = json.loads((run / 'config.json').read_text())
src_tokens, tgt_tokens = (
    json.loads((run / f'{side}_vocab.json').read_text()) for side in ('src', 'tgt')
)
src_ids = {token: number for number, token in enumerate(src_tokens)}
UNK, PAD, BOS, EOS = (src_ids[token] for token in ('<unk>', '<pad>', '<bos>', '<eos>'))
num_steps, num_layers = config['data']['num_steps'], config['model']['num_layers']
has_attention = config['model']['attention'] != 'none'
arrays = {name: torch.from_numpy(array) for name, array in np.load(run / 'weights.npz').items()}


def lstm(prefix, is_masked):
    """Return an LSTM with the weights of our layers, without a masked layer's padding column."""
    kept = slice(None, -1) if is_masked else slice(None)
    names = [
        f'{prefix}.{f"rnn.forward{n}.rnn._unfused.0" if is_masked else f"rnn._unfused.{n}"}.'
        for n in range(num_layers)
    ]
    sizes = arrays[f'{names[0]}i2h_weight'][:, kept].shape[1], config['model']['num_hiddens']
    layers = nn.LSTM(*sizes, num_layers)
    with torch.no_grad():
        for number, name in enumerate(names):
            getattr(layers, f'weight_ih_l{number}').copy_(arrays[f'{name}i2h_weight'][:, kept])
            getattr(layers, f'weight_hh_l{number}').copy_(arrays[f'{name}h2h_weight'])
            getattr(layers, f'bias_ih_l{number}').copy_(arrays[f'{name}i2h_bias'])
            getattr(layers, f'bias_hh_l{number}').copy_(arrays[f'{name}h2h_bias'])
    return layers


class Model:
    """The chapter's model, or the one with general attention (Luong et al. 2015)."""

    def __init__(self):
        self.encoder = lstm('encoder', has_attention)
        self.decoder = lstm('decoder', False)
        self.weights = {name: array for name, array in arrays.items() if 'rnn' not in name}

    def encode(self, src, lengths):
        """Return the state (hidden, cell), and keys, values and mask, or None without attention."""
        X = nn.functional.embedding(src.T, self.weights['encoder.embedding.weight'])
        if not has_attention:
            _, state = self.encoder(X)
            return state, None
        packed = nn.utils.rnn.pack_padded_sequence(X, lengths, enforce_sorted=False)
        outputs, state = self.encoder(packed)
        values, _ = nn.utils.rnn.pad_packed_sequence(outputs, True, total_length=src.shape[1])
        keys = nn.functional.linear(values, self.weights['decoder.attention.W.weight'])
        mask = torch.arange(src.shape[1])[None, None] >= lengths[:, None, None]
        return state, (keys, values, mask)

    def step(self, tokens, state, memory):
        """Return the logits, of shape (num_hypotheses, vocab_size), and the state."""
        X = nn.functional.embedding(tokens[None], self.weights['decoder.embedding.weight'])
        outputs, state = self.decoder(X, state)
        outputs = outputs[0]
        if memory is not None:
            keys, values, mask = memory
            num_rows = len(outputs) // len(keys)  # hypotheses per sentence; they share the keys
            queries = outputs.view(len(keys), num_rows, -1)
            scores = (queries @ keys.transpose(1, 2)).masked_fill(mask, -1e9)
            context = (scores.softmax(-1) @ values).view(len(outputs), -1)
            outputs = torch.tanh(
                nn.functional.linear(
                    torch.cat([context, outputs], 1), self.weights['decoder.W_c.weight']
                )
            )
        return nn.functional.linear(
            outputs, self.weights['decoder.dense.weight'], self.weights['decoder.dense.bias']
        ), state


def greedy(model, src, lengths):
    """Return the token ids of the translation of each sentence, by greedy search."""
    state, memory = model.encode(src, lengths)
    tokens = torch.full((len(src),), BOS)
    has_ended = torch.zeros(len(src), dtype=torch.bool)
    steps = []
    for _ in range(num_steps):
        logits, state = model.step(tokens, state, memory)
        tokens = logits.argmax(1)
        steps.append(tokens)
        has_ended |= tokens == EOS
        if ends_early and has_ended.all():
            break
    return [row[: row.index(EOS)] if EOS in row else row for row in torch.stack(steps, 1).tolist()]


def beam(model, src, lengths, size=5, alpha=0.75):
    """Return the token ids of the best hypothesis of each sentence, by beam search."""
    count = len(src)
    state, memory = model.encode(src, lengths)
    state = tuple(part.repeat_interleave(size, 1) for part in state)
    tokens = torch.full((count * size,), BOS)
    scores = torch.full((count, size), -1e9)
    scores[:, 0] = 0
    offsets = torch.arange(count)[:, None] * size
    history, num_ended = [], torch.zeros(count, dtype=torch.long)
    for _ in range(num_steps):
        logits, state = model.step(tokens, state, memory)
        totals = logits.log_softmax(1).view(count, size, -1) + scores[:, :, None]
        vocab_size = totals.shape[2]
        best, index = totals.view(count, -1).topk(2 * size)
        parents, chosen = index // vocab_size, index % vocab_size
        is_end = chosen == EOS
        ends = best[:, :size].masked_fill(~is_end[:, :size], -1e9)
        scores, kept = best.masked_fill(is_end, -1e9).topk(size)
        open_parents, open_tokens = parents.gather(1, kept), chosen.gather(1, kept)
        history.append((open_tokens, open_parents, scores, ends, parents[:, :size]))
        num_ended += (ends > -5e8).sum(1)
        if ends_early and (num_ended >= size).all():
            break
        rows = (offsets + open_parents).view(-1)
        state = tuple(part.index_select(1, rows) for part in state)
        tokens = open_tokens.view(-1)
    return backtrack([[part.tolist() for part in step] for step in history], count, size, alpha)


def backtrack(history, count, size, alpha):
    """Return the best finished hypothesis of each sentence, or the best open one if none ended."""
    results = []
    for sentence in range(count):
        ended = [
            (total / (step + 1) ** alpha, step, place)
            for step, (_, _, _, ends, parents) in enumerate(history)
            for total, place in zip(ends[sentence], parents[sentence])
            if total > -5e8
        ][:size]
        _, step, place = max(ended) if ended else (0, len(history), 0)
        ids = []
        for tokens, parents, *_ in reversed(history[:step]):
            ids.append(tokens[sentence][place])
            place = parents[sentence][place]
        results.append(ids[::-1])
    return results


def translate(model, sentences, search, batch_size):
    """Return the translations of sentences, which are translated in batches of similar length."""
    words = [sentence.split() for sentence in sentences]
    order = sorted(range(len(words)), key=lambda number: len(words[number]))
    texts = [''] * len(words)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rows = [[src_ids.get(word, UNK) for word in words[number]] for number in chosen]
        width = max(map(len, rows)) if has_attention else num_steps
        src = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        for number, ids in zip(chosen, search(model, src, lengths)):
            texts[number] = ' '.join([tgt_tokens[number] for number in ids])
    return texts


MODES = {
    'one by one': (greedy, 1),
    'batches of 64': (greedy, 64),
    'beam 5, batches of 64': (beam, 64),
}
with torch.inference_mode():
    model = Model()
    while True:
        for mode, count in job['modes'].items():
            search, batch_size = MODES[mode]
            turns.wait()
            texts = translate(model, job['sources'][:count], search, batch_size)
            turns.end(sum(len(text.split()) for text in texts) / len(texts))
