# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The policy alone: what a vehicle needs of an agent to act.

:func:`export_policy` packs actor and encoder into bytes, :class:`Policy` loads them. The bytes are
flat: 8 bytes of magic, the header's length (uint32), the header (JSON: dimensions, architecture,
version, and each tensor's name, type and shape), zeros to a multiple of 64, the tensors (little
endian, each padded to 64), and the CRC-32 of all before it (uint32). Nothing in them runs.
"""

from __future__ import annotations

import json
from pathlib import Path
import struct
from typing import Any, Mapping, NamedTuple
import zlib

import numpy as np
import torch

from av_td3_ros.learning.acting import Acting, Observation
from av_td3_ros.learning.checkpoint import CheckpointError, describe, is_finite
from av_td3_ros.learning.encoders import ENCODERS, get_cnn_extractor, IMAGE_SHAPE
from av_td3_ros.learning.networks import Actor
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.learning.torch_archive import ArchiveRefused, read_archive

_MAGIC = b'AVTD3PO1'
_ALIGN = 64
_DTYPES = {'float32': torch.float32, 'int64': torch.int64}
_MAX_HEADER = 1 << 20
_MAX_DIMENSIONS = 8


class PolicyRefused(ValueError):
    """Bytes or a file hold no policy that can be used; the message says why."""


class PolicyInfo(NamedTuple):
    """
    What a policy is.

    ``version`` grows with each that a learner hands out; ``total_it`` is the updates behind it.
    ``architecture`` is the encoder's, None for flat states.
    """

    version: int
    total_it: int
    architecture: str | None
    state_dim: int
    action_dim: int
    max_action: float
    input_channels: int
    image_shape: tuple[int, int]


def export_policy(agent: TD3Agent, version: int = 0) -> bytes:
    """Return the agent's policy as bytes; call it in the thread that learns."""
    encoder = agent.actor_cnn
    state = {f'actor.{name}': tensor for name, tensor in agent.actor.state_dict().items()}
    if encoder is not None:
        state.update({f'actor_cnn.{name}': tensor
                      for name, tensor in encoder.state_dict().items()})
    arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in state.items()}
    header = json.dumps({
        'version': int(version), 'total_it': agent.total_it,
        'architecture': None if encoder is None else encoder.architecture,
        'state_dim': agent.state_dim, 'action_dim': agent.action_dim,
        'max_action': agent.max_action,
        'input_channels': 0 if encoder is None else encoder.input_channels,
        'image_shape': [0, 0] if encoder is None else list(encoder.image_shape),
        'tensors': [[name, str(array.dtype), list(array.shape)]
                    for name, array in arrays.items()]}).encode()
    pieces: list[Any] = [_MAGIC + struct.pack('<I', len(header)) + header]
    pieces.append(bytes(-len(pieces[0]) % _ALIGN))
    for array in arrays.values():
        pieces += [memoryview(array.reshape(-1)).cast('B'), bytes(-array.nbytes % _ALIGN)]
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    return b''.join([*pieces, struct.pack('<I', checksum)])


class Policy:
    """
    Acts with the newest policy that it was given.

    :meth:`load` and :meth:`load_checkpoint` check a policy as a whole before it takes the place of
    the one in use, in one assignment: calls of :meth:`act` in another thread see the old one or
    the new one. A refused one changes nothing.
    """

    def __init__(self) -> None:
        self._current: tuple[Acting, PolicyInfo] | None = None

    @property
    def info(self) -> PolicyInfo | None:
        """Return what is in use, None before anything was loaded."""
        return None if self._current is None else self._current[1]

    def act(self, observation: Observation) -> np.ndarray:
        """
        Return the action (action_dim,) float32 within ±max_action, without noise.

        The observation is as for :meth:`.TD3Agent.act`. Raises RuntimeError before a policy was
        loaded, ValueError for an observation of another shape.
        """
        if self._current is None:
            raise RuntimeError('no policy was loaded')
        return self._current[0](observation)

    def actions(self, images: torch.Tensor, vector: np.ndarray) -> torch.Tensor:
        """
        Act on several images with one vector.

        The images are (B, channels, H, W) float32 from 0 to 255, the vector and the errors those
        of :meth:`act`; the result is (B, action_dim).
        """
        if self._current is None:
            raise RuntimeError('no policy was loaded')
        return self._current[0].batch(images, vector)

    def load(self, packed: bytes | bytearray | memoryview | np.ndarray) -> PolicyInfo:
        """Use the policy in the bytes of :func:`export_policy`; raise :class:`PolicyRefused`."""
        info, state = _unpack(packed)
        self._current = _build(info, state), info
        return info

    def load_checkpoint(self, path: str | Path, version: int = 0) -> PolicyInfo:
        """Use the policy in a checkpoint; raise :class:`.CheckpointError` where there is none."""
        try:
            content = read_archive(Path(path)).content
            info, state = _from_checkpoint(content, version)
            self._current = _build(info, state), info
        except OSError as error:
            raise CheckpointError(f'{path} cannot be read: {describe(error)}') from error
        except (ArchiveRefused, PolicyRefused) as error:
            raise CheckpointError(f'{path} is refused: {error}') from None
        return info


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _unpack(packed: Any) -> tuple[PolicyInfo, dict[str, torch.Tensor]]:
    # A copy of its own: the sender's buffer may change, and the tensors stay views of this.
    data = bytearray(memoryview(packed).cast('B'))
    if len(data) < len(_MAGIC) + 8 or data[:len(_MAGIC)] != _MAGIC:
        raise PolicyRefused('the bytes are no policy')
    if struct.pack('<I', zlib.crc32(memoryview(data)[:-4])) != data[-4:]:
        raise PolicyRefused('the policy is damaged: its CRC-32 differs')
    length, = struct.unpack_from('<I', data, len(_MAGIC))
    if length > min(_MAX_HEADER, len(data) - len(_MAGIC) - 8):
        raise PolicyRefused("the policy's header is cut off")
    try:
        header = json.loads(bytes(data[len(_MAGIC) + 4:len(_MAGIC) + 4 + length]))
        declared = [(str(name), _DTYPES[dtype], tuple(int(size) for size in shape))
                    for name, dtype, shape in header.pop('tensors')]
        info = PolicyInfo(**header)
        info = info._replace(image_shape=tuple(info.image_shape))
        if any(len(shape) > _MAX_DIMENSIONS for _, _, shape in declared):
            raise ValueError('a tensor has too many dimensions')
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError,
            RecursionError) as error:
        # In ASCII: what a header quotes may be no text that a log or a message can carry.
        said = ascii(str(error)[:80])[1:-1]
        raise PolicyRefused(f"the policy's header is malformed: {said}") from None
    start, end = _aligned(len(_MAGIC) + 4 + length), len(data) - 4
    state: dict[str, torch.Tensor] = {}
    for name, dtype, shape in declared:
        count = int(np.prod([max(size, 0) for size in shape], dtype=object)) if shape else 1
        size = count * dtype.itemsize
        if start + size > end or count < 1:
            raise PolicyRefused(f'{name[:80]!a} of shape {str(list(shape))[:80]} is not in the '
                                'policy')
        state[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=start).view(shape)
        start += _aligned(size)
    if start != end:
        raise PolicyRefused(f'the policy has {end - start} surplus bytes')
    return info, state


def _from_checkpoint(content: Any, version: int) -> tuple[PolicyInfo, dict[str, torch.Tensor]]:
    if not isinstance(content, dict):
        raise PolicyRefused('it holds no dictionary')
    for key in ('actor_state_dict', 'actor_cnn_state_dict', 'state_dim', 'action_dim'):
        if key not in content:
            raise PolicyRefused(f'{key} is missing')
    state = {}
    for part in ('actor', 'actor_cnn'):
        entries = content[f'{part}_state_dict']
        if isinstance(entries, dict):
            state.update({f'{part}.{name}': tensor for name, tensor in entries.items()})
        elif entries is not None or part == 'actor':
            raise PolicyRefused(f'{part}_state_dict is not the state of a network')
    names = {name.split('.')[1] for name in state if name.startswith('actor_cnn.')}
    architecture = None
    if names:
        architecture = 'resnet18' if 'backbone' in names else \
            'nature_layernorm' if 'ln1' in names else 'nature'
    first = state.get('actor_cnn.input_projection.weight', state.get('actor_cnn.conv1.weight'))
    channels = first.shape[1] if isinstance(first, torch.Tensor) and first.dim() == 4 else 0
    info = PolicyInfo(version, content.get('total_it', 0), architecture, content['state_dim'],
                      content['action_dim'], content.get('max_action', 1.0), channels,
                      IMAGE_SHAPE)
    return info, state


def _build(info: PolicyInfo, state: Mapping[str, torch.Tensor]) -> Acting:
    """Make networks around the tensors of ``state``, or raise :class:`PolicyRefused`."""
    _check_info(info)
    parts: dict[str, dict[str, torch.Tensor]] = {'actor': {}, 'actor_cnn': {}}
    for name, tensor in state.items():
        part, _, entry = name.partition('.')
        if part not in parts or not isinstance(tensor, torch.Tensor):
            raise PolicyRefused(f'{name[:80]!a} is no tensor of a policy')
        parts[part][entry] = tensor
    biases = [parts['actor'].get(f'fc{number}.bias') for number in range(1, len(state) + 1)]
    sizes = [len(bias) for bias in biases if bias is not None and bias.dim() == 1]
    with torch.device('meta'):
        actor = Actor(info.state_dim, info.action_dim, info.max_action, sizes[:-1])
        encoder = None
        if info.architecture is not None:
            last = {'resnet18': 'feature_head.0.bias'}.get(info.architecture, 'fc.bias')
            features = parts['actor_cnn'].get(last)
            if features is None or features.dim() != 1 or len(features) > info.state_dim:
                raise PolicyRefused(f'actor_cnn.{last} is missing or does not fit state_dim '
                                    f'{info.state_dim}')
            encoder = get_cnn_extractor(info.input_channels, len(features), info.architecture,
                                        info.image_shape)
    for part, network in (('actor', actor), ('actor_cnn', encoder)):
        own = {} if network is None else network.state_dict()
        odd = sorted(set(own) ^ set(parts[part]))
        if odd:
            raise PolicyRefused(f'{part}.{ascii(odd[0][:80])[1:-1]} is missing or surplus')
        for name, like in own.items():
            tensor = parts[part][name]
            if tensor.shape != like.shape or tensor.dtype != like.dtype:
                raise PolicyRefused(f'{part}.{name} is {tensor.dtype} {list(tensor.shape)} where '
                                    f'{like.dtype} {list(like.shape)} is needed')
            if not is_finite(tensor):
                raise PolicyRefused(f'{part}.{name} is not finite')
        if network is not None:
            network.load_state_dict(parts[part], assign=True)
            network.eval().requires_grad_(False)
    return Acting(actor, encoder, fixed=True)


def _check_info(info: PolicyInfo) -> None:
    counts = {'version': (0, 1 << 62), 'total_it': (0, 1 << 62), 'state_dim': (1, 1 << 20),
              'action_dim': (1, 1 << 16), 'input_channels': (0, 4096)}
    for name, (low, high) in counts.items():
        value = getattr(info, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise PolicyRefused(f'{name} is {ascii(value)[:40]}')
    if not isinstance(info.max_action, (int, float)) or not 0.0 < info.max_action < 1e6:
        raise PolicyRefused(f'max_action is {ascii(info.max_action)[:40]}')
    if info.architecture is None:
        return
    if not isinstance(info.architecture, str) or info.architecture not in ENCODERS:
        raise PolicyRefused(f'there is no encoder {str(info.architecture)[:40]!a}')
    if len(info.image_shape) != 2 or not all(
            isinstance(side, int) and 36 <= side <= 4096 for side in info.image_shape):
        raise PolicyRefused(f'image_shape is {ascii(info.image_shape)[:40]}')
