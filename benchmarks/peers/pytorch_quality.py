"""Training in PyTorch for a fixed time: python pytorch_quality.py JOB

The attention model as it is usually written in PyTorch, with packed sequences, nn.LSTM with
dropout, the loss over all label positions with padding ignored, clipping, and Adam.  The weights
are written under the names that they have in a run of the package.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

job = json.loads(Path(sys.argv[1]).read_text())
arrays = [torch.from_numpy(array).long() for array in np.load(job['arrays']).values()]
config = job['model']
torch.manual_seed(0)
SATURATED = 100.0  # as in models.recurrent: the last column of the weights of a masked layer


class AttentionModel(nn.Module):
    """An LSTM encoder, an LSTM decoder, general attention (Luong et al. 2015)."""

    def __init__(self):
        super().__init__()
        embed_size, num_hiddens, num_layers = (
            config['embed_size'],
            config['num_hiddens'],
            config['num_layers'],
        )
        sizes = embed_size, num_hiddens, num_layers
        self.src_embedding = nn.Embedding(job['src_vocab_size'], embed_size)
        self.encoder = nn.LSTM(*sizes, dropout=config['dropout'])
        self.tgt_embedding = nn.Embedding(job['tgt_vocab_size'], embed_size)
        self.decoder = nn.LSTM(*sizes, dropout=config['dropout'])
        self.keys = nn.Linear(num_hiddens, num_hiddens, bias=False)
        self.combine = nn.Linear(2 * num_hiddens, num_hiddens, bias=False)
        self.dropout = nn.Dropout(config['dropout'])  # of the attention weights
        self.dense = nn.Linear(num_hiddens, job['tgt_vocab_size'])
        for weight in self.parameters():  # Gluon's Xavier
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)
            else:
                nn.init.zeros_(weight)

    def forward(self, src, lengths, tgt):
        """Return the logits, of shape (batch_size, num_steps, vocab_size)."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.src_embedding(src.T), lengths, enforce_sorted=False
        )
        outputs, state = self.encoder(packed)
        values, _ = nn.utils.rnn.pad_packed_sequence(outputs, True, total_length=src.shape[1])
        queries = self.decoder(self.tgt_embedding(tgt.T), state)[0].transpose(0, 1)
        mask = torch.arange(src.shape[1])[None, None] >= lengths[:, None, None]
        scores = (queries @ self.keys(values).transpose(1, 2)).masked_fill(mask, -1e9)
        context = self.dropout(scores.softmax(-1)) @ values
        return self.dense(torch.tanh(self.combine(torch.cat([context, queries], -1))))


def batches():
    """Return the sentence numbers of each batch.

    The sentences of a batch have similar lengths, and batches have about the same number of tokens.
    """
    width = job['bucket_width']
    limits = torch.tensor([arrays[0].shape[1], arrays[2].shape[1]])
    lengths = torch.stack([arrays[1], arrays[3]], dim=1)
    widths = torch.minimum(-(-lengths // width) * width, limits)
    result = []
    for bucket in torch.unique(widths, dim=0):
        members = (widths == bucket).all(1).nonzero().squeeze(1)
        members = members[torch.randperm(len(members))]
        result += members.split(max(1, job['max_tokens'] // int(bucket.max())))
    return [result[number] for number in torch.randperm(len(result))]


def named_weights(model):
    """Return the weights by their names in the package.

    A masked layer of the package has an additional column, which makes it keep its memory cell.
    """
    weights = {
        'encoder.embedding.weight': model.src_embedding.weight,
        'decoder.embedding.weight': model.tgt_embedding.weight,
        'decoder.attention.W.weight': model.keys.weight,
        'decoder.W_c.weight': model.combine.weight,
        'decoder.dense.weight': model.dense.weight,
        'decoder.dense.bias': model.dense.bias,
    }
    # One row per hidden unit of each gate, in the order input, forget, cell, output.
    last_column = torch.tensor([-SATURATED, SATURATED, 0.0, 0.0]).repeat_interleave(
        config['num_hiddens']
    )[:, None]
    for side, layers in (('encoder', model.encoder), ('decoder', model.decoder)):
        for number in range(config['num_layers']):
            prefix = (
                f'encoder.rnn.forward{number}.rnn._unfused.0'
                if side == 'encoder'
                else f'decoder.rnn.layer{number}._unfused.0'
            )
            layer_weights = {
                ours: getattr(layers, f'{theirs}_l{number}')
                for ours, theirs in (
                    ('i2h_weight', 'weight_ih'),
                    ('h2h_weight', 'weight_hh'),
                    ('i2h_bias', 'bias_ih'),
                    ('h2h_bias', 'bias_hh'),
                )
            }
            if side == 'encoder':
                layer_weights['i2h_weight'] = torch.cat(
                    [layer_weights['i2h_weight'], last_column], 1
                )
            weights.update({f'{prefix}.{name}': value for name, value in layer_weights.items()})
    return {name: value.detach().numpy() for name, value in weights.items()}


model, width = AttentionModel(), job['bucket_width']
optimizer = torch.optim.Adam(model.parameters(), lr=job['lr'])
loss = nn.CrossEntropyLoss(reduction='sum', ignore_index=-1)
start = last = time.monotonic()
epoch = 0
while True:
    epoch += 1
    nll_sum = num_tokens = 0
    for chosen in batches():
        src, src_len, tgt, tgt_len = (array[chosen] for array in arrays)
        src = src[:, : -(-int(src_len.max()) // width) * width]
        tgt = tgt[:, : int(tgt_len.max())]
        labels = tgt[:, 1:].masked_fill(
            torch.arange(tgt.shape[1] - 1) >= (tgt_len - 1)[:, None], -1
        )
        optimizer.zero_grad()
        nll = loss(model(src, src_len, tgt[:, :-1]).flatten(0, 1), labels.flatten())
        count = int((tgt_len - 1).sum())
        (nll / count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        nll_sum, num_tokens = nll_sum + float(nll), num_tokens + count
    now = time.monotonic()
    print(f'epoch {epoch}: {nll_sum / num_tokens:.3f}, {now - last:.0f} s', file=sys.stderr)
    if now + (now - last) > start + 60 * job['minutes']:
        break
    last = now
np.savez(job['weights'], **named_weights(model))
print(json.dumps({'epochs': epoch, 'nll_per_token': nll_sum / num_tokens}))
