"""The contestants of training_speed.py in PyTorch: python pytorch.py JOB plain|strong

`plain` is the loop of the book's PyTorch edition.  `strong` uses the techniques that make `fit`
fast: the dense layer is computed for labels only, decoder inputs are cut to the longest of the
batch, clipping does not wait, Adam is fused, denormal numbers are flushed to zero, freed memory is
kept, and losses are read once per epoch.  If the job asks for buckets, both take their batches from
the same buckets as `fit`.
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
turns = Turns()
arrays = [torch.from_numpy(array).long() for array in np.load(job['arrays']).values()]
torch.manual_seed(0)
# PyTorch's default number of threads does not follow OMP_NUM_THREADS in every build.
if 'OMP_NUM_THREADS' in os.environ:
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))


class Seq2Seq(nn.Module):
    """The chapter's model."""

    def __init__(self):
        super().__init__()
        embed_size, num_hiddens, num_layers = (
            job['embed_size'],
            job['num_hiddens'],
            job['num_layers'],
        )
        self.src_embedding = nn.Embedding(job['src_vocab_size'], embed_size)
        self.encoder = nn.LSTM(embed_size, num_hiddens, num_layers)
        self.tgt_embedding = nn.Embedding(job['tgt_vocab_size'], embed_size)
        self.decoder = nn.LSTM(embed_size, num_hiddens, num_layers)
        self.dense = nn.Linear(num_hiddens, job['tgt_vocab_size'])
        for weight in self.parameters():  # Gluon's Xavier
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)
            else:
                nn.init.zeros_(weight)

    def features(self, src, tgt):
        """Return the decoder's outputs, of shape (num_steps, batch_size, num_hiddens)."""
        _, state = self.encoder(self.src_embedding(src.T))
        outputs, _ = self.decoder(self.tgt_embedding(tgt.T), state)
        return outputs


class BatchNumbers:
    """A sampler of batches: lists of sentence numbers, in a new order at each iteration."""

    def __init__(self):
        width = job.get('bucket_width')
        self._buckets = [torch.arange(len(arrays[0]))]
        if width:
            limits = torch.tensor([arrays[0].shape[1], arrays[2].shape[1]])
            lengths = torch.stack([arrays[1], arrays[3]], dim=1)
            widths = torch.minimum(-(-lengths // width) * width, limits)
            self._buckets = [
                (widths == bucket).all(dim=1).nonzero().squeeze(1)
                for bucket in torch.unique(widths, dim=0)
            ]

    def __iter__(self):
        batches = [
            batch
            for bucket in self._buckets
            for batch in bucket[torch.randperm(len(bucket))].split(job['batch_size'])
        ]
        return (batches[number].tolist() for number in torch.randperm(len(batches)))


def cut(sentences, valid_len):
    """Cut sentences to the width of their bucket; without buckets, return them unchanged."""
    width = job.get('bucket_width')
    return sentences[:, : -(-int(valid_len.max()) // width) * width] if width else sentences


def plain_epochs(model):
    """Train epoch by epoch, and yield the loss of each as the book prints it.

    The operations are exactly those of d2l 1.0.3 for PyTorch (`train_seq2seq`,
    `MaskedSoftmaxCELoss`, `grad_clipping`, `Accumulator`).  That code does not divide the clipped
    gradient by the number of labels of the batch.  For Adam this makes no difference if all batches
    have the same number of labels.  If the numbers differ, as with buckets, the losses differ from
    those of the other contestants.
    """
    dataset = torch.utils.data.TensorDataset(*arrays)
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=BatchNumbers())
    optimizer = torch.optim.Adam(model.parameters(), lr=job['lr'])
    cross_entropy = nn.CrossEntropyLoss(reduction='none')
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    while True:
        sums = [0.0, 0.0]
        for batch in loader:
            optimizer.zero_grad()
            src, src_valid_len, tgt, tgt_valid_len = (part.to('cpu') for part in batch)
            src, tgt = cut(src, src_valid_len), cut(tgt, tgt_valid_len)
            labels, valid_len = tgt[:, 1:], tgt_valid_len - 1
            bos = torch.tensor([int(tgt[0, 0])] * len(tgt)).reshape(-1, 1)
            logits = model.dense(model.features(src, torch.cat([bos, labels[:, :-1]], 1)))
            mask = torch.ones_like(labels)
            steps = torch.arange(labels.shape[1], dtype=torch.float32)
            mask[~(steps[None, :] < valid_len[:, None])] = 0
            loss = (cross_entropy(logits.permute(1, 2, 0), labels) * mask).mean(dim=1)
            loss.sum().backward()
            norm = torch.sqrt(sum(torch.sum(weight.grad**2) for weight in weights))
            if norm > 1:
                for weight in weights:
                    weight.grad[:] *= 1 / norm
            num_tokens = valid_len.sum()
            optimizer.step()
            with torch.no_grad():
                sums = [
                    total + float(value) for total, value in zip(sums, (loss.sum(), num_tokens))
                ]
        yield sums[0] / sums[1]


def strong_epochs(model):
    """Train with the same mathematics, without waiting and without padding in the last layer.

    Yields the loss of each epoch as the book prints it.  The clipped gradient is divided by the
    number of labels, as in `fit`.
    """
    torch.set_flush_denormal(True)
    reuse_memory()
    optimizer = torch.optim.Adam(model.parameters(), lr=job['lr'], fused=True)
    src, src_valid_len, tgt, tgt_valid_len = arrays
    numbers = BatchNumbers()
    weights = list(model.parameters())
    while True:
        losses, num_tokens = [], 0
        for chosen in map(torch.tensor, numbers):
            valid_len = tgt_valid_len[chosen] - 1
            longest = int(valid_len.max())
            batch_src = cut(src[chosen], src_valid_len[chosen])
            batch_tgt = cut(tgt[chosen], tgt_valid_len[chosen])
            mask = (torch.arange(longest) < valid_len[:, None]).T.flatten()
            rows = mask.nonzero().squeeze(1)
            labels = batch_tgt[:, 1 : longest + 1].T.flatten()[rows]
            features = model.features(batch_src, batch_tgt[:, :longest]).flatten(0, 1)
            logits = model.dense(features.index_select(0, rows))
            loss_sum = nn.functional.cross_entropy(logits, labels, reduction='sum')
            loss = loss_sum / (batch_tgt.shape[1] - 1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            gradients = [weight.grad for weight in weights]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            torch._foreach_mul_(gradients, (1 / norm).clamp(max=1) / len(rows))
            optimizer.step()
            losses.append(loss.detach())
            num_tokens += len(rows)
        yield float(torch.stack(losses).sum()) / num_tokens


turns.wait()
for epoch_loss in {'plain': plain_epochs, 'strong': strong_epochs}[sys.argv[2]](Seq2Seq()):
    turns.end(epoch_loss)
    turns.wait()
