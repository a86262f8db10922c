"""Load thousands of mutated run folders under a memory limit: python fuzz_loader.py COUNT SEED

There are two kinds of mutation.

*Damaged*: a file is changed and the manifest is not.  Every such folder must be refused.

*Hostile*: the manifest is rewritten to match the change.  Such a folder may be loaded if its
content is valid, and otherwise must be refused.  It must never run code, crash the process, or make
it allocate memory without bounds.
"""

import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as onp

from d2l_seq2seq import (
    DataConfig,
    Feed,
    InputError,
    ModelConfig,
    Run,
    RunConfig,
    build_model,
    fit,
    initialize,
    read_corpus,
)
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.data.encoding import encode_pairs
from d2l_seq2seq.data.tokenizers import SubwordPair, Subwords
from d2l_seq2seq.engine.schedules import HalvingOnPlateau
from d2l_seq2seq.engine.step import UpdateRules
from d2l_seq2seq.runs.checkpoint import load_checkpoint, load_progress, save_checkpoint
from d2l_seq2seq.runs.loading import best_checkpoint, completion_reason
from d2l_seq2seq.runs.safe_files import MANIFEST, write_manifest
from d2l_seq2seq.training.checkpointing import MOMENTS, restore_state, save_state

MEMORY_BYTES = 1 << 30  # that the process may allocate on top of what it has
CTX = npx.cpu()
ARRAYS = 'weights.npz', 'optimizer.npz'
SUBWORDS = 'src_subwords.model', 'tgt_subwords.model'
JSON = 'config.json', 'src_vocab.json', 'tgt_vocab.json', 'progress.json'


class Trap:
    """An object that creates a folder if it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (str(TRAP),)


def write_valid_checkpoint(folder, corpus, vocabs, config):
    """Train for one epoch and write a checkpoint from which training can be resumed."""
    seed_generators(0)
    model = build_model(config.model, *map(len, vocabs))
    initialize(model, CTX)
    feed = Feed(corpus, 8, 0)
    callbacks = {'schedule': HalvingOnPlateau(0.01, 1)}
    progresses = []
    fit(
        model,
        feed,
        num_epochs=1,
        lr=callbacks['schedule'],
        on_epoch_end=lambda metrics, state: progresses.append(
            save_state(model, state, callbacks, corpus.fingerprint())
        ),
    )
    subwords = Subwords.train([src for src, _ in read_corpus('bundled').pairs[:100]], 60)
    run = Run(config, *vocabs, model, SubwordPair(subwords, subwords))
    save_checkpoint(folder, run, progresses[0])


def load(folder, feed, fingerprint):
    """Call every function that reads a checkpoint."""
    run = load_checkpoint(folder, CTX)
    progress = load_progress(folder, run.model, MOMENTS)
    restore_state(
        progress,
        run.model,
        feed,
        UpdateRules(),
        {'schedule': HalvingOnPlateau(0.01, 1)},
        fingerprint,
    )
    return run


# Mutations of the bytes of any file.


def flip_bit(rng, data):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def truncate(rng, data):
    return data[: rng.randrange(len(data))]


def insert(rng, data):
    place = rng.randrange(len(data))
    more = bytes(rng.randrange(256) for _ in range(rng.randint(1, 50)))
    return data[:place] + more + data[place:]


def zero_block(rng, data):
    place, length = rng.randrange(len(data)), rng.randint(1, 600)
    changed = data[:place] + b'\0' * length + data[place + length :]
    return changed if changed != data else data[:-1]


DAMAGES = [flip_bit, truncate, insert, zero_block]


def change_json(rng, data):
    """Replace or delete one value in a JSON file."""
    values = json.loads(data)
    nodes = [(None, None)]  # a container and a key of it; None stands for the whole
    stack = [values]
    while stack:
        node = stack.pop()
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            nodes.append((node, key))
            if isinstance(node[key], (dict, list)) and node[key]:
                stack.append(node[key])
    node, key = rng.choice(nodes)
    value = rng.choice(
        [
            None,
            -1,
            0,
            1,
            2**31,
            10**18,
            10**39,
            1.5,
            1e308,
            'x',
            '../../etc',
            '',
            '\0',
            True,
            [],
            {},
            [[]],
            {'a': 1},
            'a' * 10_000,
            [1] * 1000,
            '<unk>',
        ]
    )
    if node is None:
        values = value
    elif rng.random() < 0.15:
        del node[key]
    else:
        node[key] = value
    return json.dumps(values).encode()


def json_bomb(rng, data):
    depth = rng.choice([1000, 100_000])
    return rng.choice(
        [
            b'[' * depth,
            b'{"a":' * depth,
            b'[' * depth + b']' * depth,
            b'9' * depth,
            b'[' + b'1,' * depth + b'1]',
            b'"' + b'\\u0000' * depth + b'"',
            b'[' + b'1' * 39 + b']',
            b'1e999999',
            b'NaN',
            b' ' * 2_000_000,
        ]
    )


def arrays_with(rng, data, change, save=onp.savez):
    """Change one array of an archive."""
    with onp.load(io.BytesIO(data)) as archive:
        arrays = dict(archive)
    name = rng.choice(sorted(arrays))
    arrays[name] = change(arrays[name])
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def pickle_inside(rng, data):
    return arrays_with(
        rng, data, lambda array: onp.array([Trap()] * rng.randint(1, 3), dtype=object)
    )


def other_array(rng, data):
    return arrays_with(
        rng,
        data,
        rng.choice(
            [
                lambda array: array.astype('float64'),
                lambda array: array[..., None],
                lambda array: array.ravel()[:-1],
                lambda array: onp.full_like(array, onp.nan),
                lambda array: onp.full_like(array, 3e38),
                lambda array: onp.zeros(0, 'float32'),
                lambda array: onp.asfortranarray(array),
                lambda array: onp.array(['x' * 100] * 10),
            ]
        ),
    )


def zip_bomb(rng, data):
    """Compress the members, one of which unpacks to 20 MiB of zeros more than it should."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(
        buffer, 'w', zipfile.ZIP_DEFLATED
    ) as new:
        names = old.namelist()
        bomb = rng.choice(names)
        for name in names:
            with new.open(name, 'w', force_zip64=True) as member:
                member.write(old.read(name))
                if name == bomb:
                    for _ in range(20):
                        member.write(b'\0' * (1 << 20))
    return buffer.getvalue()


def huge_header(rng, data):
    """Claim another shape or type in an array's header."""
    old, new = rng.choice(
        [
            (b"'shape': (", b"'shape': (" + b'9' * rng.randint(1, 30)),
            (b'<f4', b'<f8'),
            (b'<f4', b'|O8'),
            (b"{'descr'", b'{' * rng.choice([3, 90])),
            (b'False', b'True '),
            (b'(', b'__import__("os").mkdir("/x")#'),
        ]
    )
    place = data.index(b'NUMPY')
    header = data[place : place + 128].replace(old, new, 1)[:128].ljust(128)
    return data[:place] + header + data[place + 128 :]


def huge_directory(rng, data):
    """Change a size or an offset in the zip's directory."""
    end = data.rindex(b'PK\x05\x06')
    start = data.index(b'PK\x01\x02')
    changed = bytearray(data)
    place = rng.choice([*range(end + 4, end + 22, 2), *range(start + 4, start + 46, 2)])
    struct.pack_into('<H', changed, place, rng.choice([0, 1, 0x7FFF, 0xFFFF]))
    return bytes(changed)


def many_entries(rng, data):
    """Add up to thousands of members, some with names that lead out of the folder."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, 'a') as archive:
        for number in range(rng.choice([1, 3000])):
            archive.writestr(rng.choice(['../../evil', '/evil', 'a', '']) + str(number), b'')
    return buffer.getvalue()


def unrelated_bytes(rng, data):
    return rng.choice(
        [
            b'',
            b'\0',
            bytes(rng.randrange(256) for _ in range(2000)),
            b'PK\x05\x06' + bytes(18),
            b'\x80\x04\x95',
        ]
    )


HOSTILE_JSON = [change_json] * 6 + [json_bomb, unrelated_bytes]
HOSTILE_ARRAYS = [
    flip_bit,
    flip_bit,
    truncate,
    insert,
    pickle_inside,
    other_array,
    zip_bomb,
    huge_header,
    huge_header,
    huge_directory,
    huge_directory,
    many_entries,
    unrelated_bytes,
]


def change_manifest(rng, folder):
    """Change names or values in the manifest, or replace a file by something else."""
    values = json.loads((folder / MANIFEST).read_text())
    kind = rng.randrange(5)
    name = rng.choice([*ARRAYS, *JSON])
    if kind == 0:
        other = rng.choice(['../x', '/etc/passwd', '..', '.', '', 'a/b', '~', '\0', 'x' * 5000])
        values['files'][other] = values['files'].pop(name)
    elif kind == 1:
        del values['files'][name]
    elif kind == 2:
        (folder / MANIFEST).write_bytes(change_json(rng, json.dumps(values).encode()))
        return
    elif kind == 3:
        (folder / MANIFEST).write_bytes(json_bomb(rng, b''))
        return
    else:
        path = folder / name
        path.unlink()
        rng.choice(
            [
                lambda: path.mkdir(),
                lambda: os.mkfifo(path),
                lambda: path.symlink_to('/dev/zero'),
                lambda: path.symlink_to(folder),
                lambda: path.symlink_to('/etc/passwd'),
            ]
        )()
        return
    (folder / MANIFEST).write_text(json.dumps(values))


def mutate(rng, folder, is_hostile):
    """Change a valid folder in place, and return a description of the change."""
    if not is_hostile:
        name = rng.choice([*ARRAYS, *JSON, *SUBWORDS])
        if name not in SUBWORDS and rng.random() < 0.1:
            other = rng.choice([file for file in (*ARRAYS, *JSON) if file != name])
            name_bytes, other_bytes = (folder / name).read_bytes(), (folder / other).read_bytes()
            (folder / name).write_bytes(other_bytes)
            (folder / other).write_bytes(name_bytes)
            return f'swap {name} and {other}'
        change = rng.choice(DAMAGES)
        (folder / name).write_bytes(change(rng, (folder / name).read_bytes()))
        return f'{change.__name__} of {name}'
    if rng.random() < 0.15:
        change_manifest(rng, folder)
        return 'manifest'
    name = rng.choice([*ARRAYS, *JSON, *rng.sample(SUBWORDS, 1)])
    change = rng.choice(
        HOSTILE_ARRAYS
        if name in ARRAYS
        else HOSTILE_JSON
        if name in JSON
        else [*DAMAGES, unrelated_bytes]
    )
    (folder / name).write_bytes(change(rng, (folder / name).read_bytes()))
    (folder / MANIFEST).unlink()
    write_manifest(folder, {})
    return f'{change.__name__} of {name}'


def peak_megabytes():
    """Return the peak memory of this process; getrusage would include the one that started it."""
    try:
        status = Path('/proc/self/status').read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return int(re.search(r'VmHWM:\s*(\d+) kB', status).group(1)) // 1024


def main():
    num_folders, seed = map(int, sys.argv[1:])
    config = RunConfig(DataConfig(text_rules='subwords'), ModelConfig(3, 4, 2))
    src_vocab, tgt_vocab, corpus = encode_pairs(read_corpus('bundled').pairs[:20], 8)
    valid, folder = WORK / 'valid', WORK / 'run' / 'checkpoints' / 'epoch-1'
    write_valid_checkpoint(valid, corpus, (src_vocab, tgt_vocab), config)
    feed = Feed(corpus, 8, 0)
    folder.parent.mkdir(parents=True)
    load(valid, feed, corpus.fingerprint())
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    refused = {'damaged': 0, 'hostile': 0}
    loaded = {'damaged': 0, 'hostile': 0}
    for number in range(num_folders):
        rng = random.Random(f'{seed} {number}')
        kind = 'hostile' if number % 2 else 'damaged'
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(valid, folder)
        mutation = mutate(rng, folder, kind == 'hostile')
        try:
            best_checkpoint(WORK / 'run')
            completion_reason(WORK / 'run', 5)
            run = load(folder, feed, corpus.fingerprint())
        except InputError as error:
            if '\n' in str(error) or len(str(error)) > 2000:
                sys.exit(
                    f'{number}: {mutation}: message too long or not one line: {str(error)[:300]!r}'
                )
            refused[kind] += 1
        except BaseException as error:
            sys.exit(f'{number}: {mutation}: {error!r}')
        else:
            loaded[kind] += 1
            if not all(
                onp.isfinite(parameter.data().asnumpy()).all()
                for parameter in run.model.collect_params().values()
            ):
                sys.exit(f'{number}: {mutation}: loaded weights that are not finite')
        if TRAP.exists():
            sys.exit(f'{number}: {mutation}: ran code from the folder')
        if kind == 'damaged' and loaded[kind]:
            sys.exit(f'{number}: {mutation}: loaded a damaged folder')
    names = sorted(path.name for path in WORK.iterdir())
    if names != ['run', 'valid']:
        sys.exit(f'expected no new files outside the run folder, got {names}')
    print(json.dumps({'refused': refused, 'loaded': loaded, 'peak_megabytes': peak_megabytes()}))


if __name__ == '__main__':
    with contextlib.ExitStack() as stack:
        WORK = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        TRAP = WORK / 'trap'
        main()
