# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to break a checkpoint file. Each takes (source path, target path, random.Random)."""

import io
import pickle
import struct
import zipfile

import torch

from av_td3_ros.learning.torch_archive import write_archive

CANARY = '/tmp/av_td3_ros_fuzz_canary'


def _bytes(change):
    def mutate(source, target, draw):
        data = bytearray(source.read_bytes())
        before = bytes(data)
        while bytes(data) == before:
            data = change(bytearray(before), draw)
        target.write_bytes(data)
    return mutate


def _flip(data, draw):
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def _flip_in_headers(data, draw):
    """Flip where the structure is: the pickle and the table of entries."""
    start = data.find(b'data.pkl') if draw.random() < 0.5 else len(data) - 4096
    place = min(len(data) - 1, max(0, start + draw.randrange(4096)))
    data[place] ^= 1 << draw.randrange(8)
    return data


def _truncate(data, draw):
    end = draw.choice([draw.randrange(len(data)), len(data) - 1 - draw.randrange(200)])
    return data[:end]


def _zero(data, draw):
    size = draw.choice([1, 512, 4096, 65536])
    start = draw.randrange(max(1, len(data) - size))
    data[start:start + size] = bytes(len(data[start:start + size]))
    return data


def _swap_blocks(data, draw):
    size = draw.choice([64, 512, 4096])
    one, two = (draw.randrange(len(data) // size) * size for _ in range(2))
    data[one:one + size], data[two:two + size] = data[two:two + size], data[one:one + size]
    return data


def _append(data, draw):
    return data + draw.randbytes(draw.randrange(1, 5000))


def _drop_block(data, draw):
    start = draw.randrange(len(data))
    del data[start:start + draw.randrange(1, 4096)]
    return data


def _content(sealed, change):
    """Change the dictionary and save it again: by plain torch.save, or with a right checksum."""
    def mutate(source, target, draw):
        content = torch.load(source, weights_only=True)
        change(content, draw)
        if sealed:
            write_archive(target, content)
        else:
            torch.save(content, target)
    return mutate


def _state(content, draw):
    keys = [key for key, value in content.items()
            if key.endswith('_state_dict') and value and 'optimizer' not in key]
    key = draw.choice(keys)
    return key, content[key]


def _missing(content, draw):
    if draw.random() < 0.5:
        content.pop(draw.choice(sorted(content)))
    else:
        _, state = _state(content, draw)
        state.pop(draw.choice(list(state)))


def _surplus(content, draw):
    target = content if draw.random() < 0.5 else _state(content, draw)[1]
    target[f'surplus{draw.randrange(9)}'] = torch.zeros(3)


def _shape(content, draw):
    _, state = _state(content, draw)
    name = draw.choice(list(state))
    state[name] = torch.zeros(*state[name].shape, 2) if draw.random() < 0.5 \
        else state[name].reshape(1, -1)[:, :-1].clone()


def _dtype(content, draw):
    _, state = _state(content, draw)
    name = draw.choice(list(state))
    state[name] = state[name].to(draw.choice([torch.float16, torch.float64, torch.int32]))


def _not_finite(content, draw):
    _, state = _state(content, draw)
    name = draw.choice([name for name, value in state.items() if value.is_floating_point()])
    state[name] = state[name].clone()
    state[name].view(-1)[draw.randrange(state[name].numel())] = draw.choice(
        [float('nan'), float('inf'), -float('inf')])


def _moments(content, draw):
    key = draw.choice([key for key, value in content.items()
                       if key.endswith('_optimizer_state_dict') and value])
    states = content[key]['state']
    entry = states[draw.choice(list(states))]
    kind = draw.randrange(5)
    if kind == 0:
        entry['exp_avg'] = entry['exp_avg'].clone()
        entry['exp_avg'].view(-1)[0] = float('nan')
    elif kind == 1:
        entry['exp_avg_sq'] = -entry['exp_avg_sq'] - 1
    elif kind == 2:
        entry.pop('exp_avg')
    elif kind == 3:
        states.pop(next(iter(states)))
    else:
        content[key]['param_groups'][0]['lr'] = draw.choice([float('nan'), -1.0, 'fast', None])


def _wrong_value(content, draw):
    key = draw.choice(['total_it', 'state_dim', 'action_dim', 'max_action', 'discount', 'tau',
                       'policy_freq', 'noise_clip', 'use_dict_buffer', 'random_states', 'config',
                       'format_version', 'actor_state_dict', 'critic_optimizer_state_dict'])
    content[key] = draw.choice([None, -1, 'x', float('nan'), [1], 10 ** 30, {'a': 1}])


def _random_states(content, draw):
    states = content['random_states']
    kind = draw.randrange(4)
    if kind == 0:
        states['torch'] = states['torch'][:-1].clone()
    elif kind == 1:
        states['agent'] = torch.full_like(states['agent'], 255)
    elif kind == 2:
        states['numpy'].pop('keys')
    else:
        states['python']['numbers'] = torch.zeros(3, dtype=torch.int64)


def _without_encoder(content, draw):
    content[draw.choice(['actor_cnn_state_dict', 'critic_cnn_state_dict'])] = None


def _swap_networks(content, draw):
    """Swap two parts of one kind; encoders of one architecture have the same shapes."""
    one, two = draw.choice([('actor_cnn', 'critic_cnn'), ('actor', 'critic')])
    kind = draw.choice(['', '_target', '_optimizer'])
    one, two = f'{one}{kind}_state_dict', f'{two}{kind}_state_dict'
    content[one], content[two] = content[two], content[one]


def _archive(change):
    """Write the archive again with its entries changed."""
    def mutate(source, target, draw):
        with zipfile.ZipFile(source) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        method = change(entries, draw) or zipfile.ZIP_STORED
        with zipfile.ZipFile(target, 'w', method) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
    return mutate


def _swap_entries(entries, draw):
    names = [name for name in entries if '/data/' in name]
    while True:
        one, two = draw.sample(names, 2)
        if entries[one] != entries[two]:
            break
    entries[one], entries[two] = entries[two], entries[one]


def _deflate(entries, draw):
    return zipfile.ZIP_DEFLATED


def _bomb(entries, draw):
    """Deflate an entry that would swell a thousandfold."""
    entries['archive/data/0'] = bytes(1 << 24)
    return zipfile.ZIP_DEFLATED


def _surplus_entry(entries, draw):
    entries[draw.choice(['archive/data/99999', 'archive/../../etc/x', 'archive/code.py',
                         'other/data/1'])] = b'x' * draw.randrange(64)


def _missing_entry(entries, draw):
    entries.pop(draw.choice([name for name in entries if '/data' in name]))


def _huge_tensor(entries, draw):
    """Declare a storage with more numbers than its entry has bytes for."""
    program = entries['archive/data.pkl']
    at = program.find(b'cpu')
    for _ in range(draw.randrange(20)):
        at = max(at, program.find(b'cpu', at + 1))
    place = program.find(b'Q', at)
    # Before BINPERSID: ... count t q <n> Q; put a huge BININT in place of the count.
    start = max(program.rfind(bytes([code]), at, place - 3) for code in b'KMJ')
    entries['archive/data.pkl'] = program[:start] + b'J' + struct.pack('<i', 2 ** 31 - 1) \
        + program[program.index(b't', start + 2):]


class _Runs:
    """Pickles as a call."""

    def __init__(self, call, argument):
        self.call, self.argument = call, argument

    def __reduce__(self):
        return self.call, (self.argument,)


def _executable(entries, draw):
    import os
    import subprocess
    call, argument = draw.choice([
        (os.system, f'touch {CANARY}'), (eval, f"open('{CANARY}', 'w')"),
        (subprocess.getoutput, f'touch {CANARY}'), (bytearray, 1 << 36)])
    stream = io.BytesIO()
    pickle.dump({'total_it': _Runs(call, argument)}, stream, protocol=draw.choice([2, 4]))
    entries['archive/data.pkl'] = stream.getvalue()


def _nested(entries, draw):
    """Make lists of lists of lists: a few bytes that walk for ever."""
    deep = []
    for _ in range(draw.choice([40, 200])):
        deep = [deep] * 10
    entries['archive/data.pkl'] = pickle.dumps(deep, protocol=2)


def _memo(entries, draw):
    entries['archive/data.pkl'] = b'\x80\x02}r\xff\xff\xff\x7f.'


# Refused, whatever is drawn.
MUTATIONS = {
    'bit flip': _bytes(_flip), 'bit flip in the structure': _bytes(_flip_in_headers),
    'truncation': _bytes(_truncate), 'zeroed block': _bytes(_zero),
    'swapped blocks': _bytes(_swap_blocks), 'appended bytes': _bytes(_append),
    'dropped block': _bytes(_drop_block),
    'missing key': _content(False, _missing), 'surplus key': _content(False, _surplus),
    'wrong shape': _content(False, _shape), 'swapped networks': _content(False, _swap_networks),
    'NaN weights': _content(False, _not_finite),
    'sealed, missing key': _content(True, _missing),
    'sealed, surplus key': _content(True, _surplus),
    'sealed, wrong shape': _content(True, _shape), 'sealed, wrong type': _content(True, _dtype),
    'sealed, NaN weights': _content(True, _not_finite),
    'sealed, bad moments': _content(True, _moments),
    'sealed, wrong value': _content(True, _wrong_value),
    'sealed, bad random states': _content(True, _random_states),
    'sealed, no encoder': _content(True, _without_encoder),
    'swapped entries': _archive(_swap_entries), 'deflated members': _archive(_deflate),
    'deflated bomb': _archive(_bomb), 'surplus entry': _archive(_surplus_entry),
    'missing entry': _archive(_missing_entry), 'huge declared tensor': _archive(_huge_tensor),
    'executable pickle': _archive(_executable), 'nested lists': _archive(_nested),
    'huge memo': _archive(_memo),
}
# Byte mutations are cheap and many; the others are drawn as often as each other.
CHEAP = ('bit flip', 'bit flip in the structure', 'truncation', 'zeroed block', 'swapped blocks',
         'appended bytes', 'dropped block')
