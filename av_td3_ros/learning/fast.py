# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Shorter ways to what torch computes on a processor, for updates and for single actions.

- :func:`linear` multiplies float32 matrices with oneDNN where MKL, which torch uses for them,
  leaves up to half of the processor idle: MKL has AVX-512 for Intel's processors alone.
- :func:`prepared` makes a network's convolutions for single images; their weights lie as oneDNN
  wants them, where torch brings them into that order anew at each call.
- :func:`scaled` scales images and lays them out as convolutions want them, in one pass.
- :func:`step_adam` and :func:`norm` leave out what torch looks at anew in each step.
- :func:`numbers` waits once for all that a GPU is asked for.
- :func:`keep_memory` has what an update frees kept for the next one.

The sums are the same, added up in another order. With :attr:`enabled` False, or within
:func:`plain`, everything is done torch's usual way, in the whole process: each
:class:`~.learner.Learner` sets :attr:`enabled` as its settings say, as it does torch's threads, so
those that are to go different ways need processes of their own.
"""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
import sys
from typing import Any, Iterable, Iterator, Mapping, Sequence

import torch
from torch import nn
import torch.nn.functional as F

enabled = True

# Below these, what is saved does not pay for the way through Python.
_LEAST_ROWS, _LEAST_SIDE = 16, 64
# AMD's processors whose AVX-512 takes two turns of a unit of 256 bits (Zen 4): MKL's products are
# as quick there, and quicker below so many weights.
_HALVED_FAMILY, _LEAST_WEIGHTS_HALVED = 25, 100_000

_compare_memory = ctypes.CDLL(None).memcmp
_compare_memory.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t

# mallopt's parameters in glibc's malloc.h, and bytes: the most that the one takes, and more than
# an update of 256 float32 images frees.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK, _KEPT = 32 * 2**20, 512 * 2**20


def keep_memory(most: int = _KEPT) -> None:
    """
    Have the process keep memory that it frees, up to ``most`` bytes, rather than return it.

    Tensors of a large batch are freed after each update and wanted again in the next: returned to
    the system in between, each of their pages is a fault and is filled with zeros: up to a tenth
    of an update of 256 float32 images, by what was freed before. Holds for the whole process;
    nothing happens where there is no glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, most)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Do everything torch's usual way meanwhile, in every thread."""
    global enabled
    before, enabled = enabled, False
    try:
        yield
    finally:
        enabled = before


def _least_weights(processor: str) -> int | None:
    """
    Return from how many weights on oneDNN's product is the faster one, None where it never is.

    ``processor`` is what /proc/cpuinfo says of one. It alone decides, so that a run goes on
    exactly as before: other products have other last bits.
    """
    said = {name.strip(): value.split() for name, _, value in (
        line.partition(':') for line in processor.splitlines())}
    if said.get('vendor_id') != ['AuthenticAMD'] or 'avx512f' not in said.get('flags', ()):
        return None
    return _LEAST_WEIGHTS_HALVED if said.get('cpu family') == [str(_HALVED_FAMILY)] else 0


def _preferred() -> tuple[Any, int]:
    """Return oneDNN's product with a transposed matrix, or None, and its least weights."""
    try:
        least = _least_weights(Path('/proc/cpuinfo').read_text(encoding='utf-8').split('\n\n')[0])
    except OSError:
        least = None
    if least is None or not torch.backends.mkldnn.is_available():
        return None, 0
    try:
        # Not documented: it is what torch's compiler emits for a linear layer.
        return torch.ops.mkldnn._linear_pointwise.default, least
    except AttributeError:
        return None, 0


_product, _least = _preferred()
_verified = False


class _Linear(torch.autograd.Function):
    """``x @ weight.T + bias``, and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
                ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias, 'none', [], '')

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (gradient,), (x, weight), needed = gradients, ctx.saved_tensors, ctx.needs_input_grad
        return (_product(gradient, weight.t(), None, 'none', [], '') if needed[0] else None,
                _product(gradient.t(), x.t(), None, 'none', [], '') if needed[1] else None,
                gradient.sum(0) if needed[2] else None)


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Multiply as ``F.linear`` does; for x of (B, inputs) it can be differentiated once."""
    if not enabled or _product is None or x.dtype != torch.float32 or x.dim() != 2 \
            or len(x) < _LEAST_ROWS or min(weight.shape) < _LEAST_SIDE \
            or weight.numel() < _least or x.device.type != 'cpu' \
            or torch.is_autocast_enabled('cpu') or not _does_as_layers_do(x, weight, bias):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)


@torch.no_grad()
def _does_as_layers_do(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> bool:
    """Compare the product with torch's own, once: of another torch it may mean something else."""
    global _product, _verified
    if not _verified:
        try:
            good = torch.allclose(_product(x, weight, bias, 'none', [], ''),
                                  F.linear(x, weight, bias), 1e-4, 1e-4, equal_nan=True) \
                and torch.allclose(_product(x, weight, None, 'none', [], ''),
                                   F.linear(x, weight), 1e-4, 1e-4, equal_nan=True)
        except (RuntimeError, TypeError):
            good = False
        _product, _verified = _product if good else None, True
    return _product is not None


def _is_as_made(group: dict[str, Any]) -> bool:
    return group['fused'] and not any(group.get(name) for name in (
        'amsgrad', 'maximize', 'differentiable', 'decoupled_weight_decay'))


@torch.no_grad()
def step_adam(optimizer: torch.optim.Adam) -> None:
    """
    Do what the ``step()`` of a fused Adam does, for parameters that all have a gradient.

    The same numbers, bit for bit, and the same state, without hooks and profiler, or looking
    whether each parameter has a gradient and what state: half of a step's time in small networks.
    Any other optimizer that somebody put in its place does its own ``step()``.
    """
    # The first step makes the state.
    if not (enabled and optimizer.state and type(optimizer) is torch.optim.Adam
            and all(map(_is_as_made, optimizer.param_groups))
            and getattr(optimizer, 'found_inf', None) is None):
        optimizer.step()
        return
    for group in optimizer.param_groups:
        parameters = group['params']
        states = [optimizer.state[parameter] for parameter in parameters]
        average, square, steps = ([state[name] for state in states]
                                  for name in ('exp_avg', 'exp_avg_sq', 'step'))
        if not parameters:
            continue
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            parameters, [parameter.grad for parameter in parameters], average, square, [], steps,
            lr=group['lr'], beta1=group['betas'][0], beta2=group['betas'][1],
            weight_decay=group['weight_decay'], eps=group['eps'], amsgrad=False, maximize=False)
        count_change(parameters)


def norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """
    Return the Euclidean norm of all numbers of some tensors of one type, on one device.

    Bit by bit that of ``nn.utils.get_total_norm``, which sorts them by these first.
    """
    if not enabled or not tensors:
        return nn.utils.get_total_norm(tensors)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def numbers(values: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """
    Return what tensors of one number each hold; without history, and all on one device.

    From a GPU all at once: to ask for a number is to wait until the GPU has done what was asked
    of it before, while nothing new is.
    """
    if enabled and any(value.is_cuda for value in values.values()):
        return dict(zip(values, torch.stack([each.double() for each in values.values()]).tolist()))
    return {name: value.item() for name, value in values.items()}


def count_change(tensors: Iterable[torch.Tensor]) -> None:
    """Have torch count a change of each, which it does for all operations but a fused Adam's."""
    for tensor in tensors:
        torch.autograd.graph.increment_version(tensor)


def scaled(encoder: Any, images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ``encoder.scale(images, dtype)`` for images (B, C, H, W), laid out channels last."""
    if not enabled or images.dtype != torch.uint8 or images.device.type != 'cpu' \
            or images.shape[1] != 4 or images.stride()[2:] != (images.shape[3], 1) \
            or dtype not in (torch.float32, torch.bfloat16) or sys.byteorder != 'little':
        return encoder.scale(images.contiguous(memory_format=torch.channels_last), dtype)
    from av_td3_ros.learning import interleave
    low, high = encoder.input_range
    return interleave.scaled(images, low, high, dtype)


class _Seen:
    """A tensor as it was: whether it is still that one, in the same place, bit by bit."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor, self._place = tensor, tensor.data_ptr()
        self._copy = tensor.detach().clone()
        self._copied = self._copy.data_ptr(), self._copy.nbytes

    def is_same(self, tensor: torch.Tensor) -> bool:
        # The copy has no gaps: with its strides the tensor has none either.
        return tensor is self._tensor and tensor.data_ptr() == self._place \
            and tensor.stride() == self._copy.stride() and tensor.shape == self._copy.shape \
            and tensor.dtype == self._copy.dtype \
            and not _compare_memory(self._place, *self._copied)


class Prepared:
    """
    Convolutions, each with a ReLU, for images like ``image`` (1, C, H, W).

    :meth:`refresh` takes the layers' weights of now, float32. Raises RuntimeError where this torch
    cannot, or where what it does is not what the layers do.
    """

    @torch.inference_mode()
    def __init__(self, layers: Sequence[nn.Conv2d], image: torch.Tensor) -> None:
        if image.device.type != 'cpu' or layers[0].weight.device.type != 'cpu':
            raise RuntimeError('it is for processors alone')
        self._layers, self._shapes, expected = layers, [], image
        self._steps: list[tuple[Any, ...]] = []
        self._seen: list[_Seen] = []
        for layer in layers:
            self._shapes.append(list(expected.shape))
            expected = F.relu(layer(expected))
        try:
            # Not documented: what torch's compiler emits for convolutions of fixed weights.
            self._convolve = torch.ops.mkldnn._convolution_pointwise.default
            self._reorder = torch.ops.mkldnn._reorder_convolution_weight.default
            self.refresh()
            found = self(image)
        except (AttributeError, NotImplementedError) as error:
            raise RuntimeError(str(error)) from None
        if found.shape != expected.shape or not torch.allclose(found, expected, 1e-4, 1e-4):
            raise RuntimeError('it does not do what the layers do')

    def refresh(self) -> None:
        """Bring the weights into oneDNN's order, where they are not those of the last time."""
        # Compared byte by byte, since not all that changes a tensor leaves a mark on it, torch's
        # fused Adam for one: a twentieth of the time that bringing them into order takes.
        now = [parameter for layer in self._layers for parameter in (layer.weight, layer.bias)]
        if self._steps and all(map(_Seen.is_same, self._seen, now)):
            return
        self._seen = [_Seen(parameter) for parameter in now]
        self._steps = []
        for layer, shape in zip(self._layers, self._shapes):
            how = layer.padding, layer.stride, layer.dilation, layer.groups
            self._steps.append((self._reorder(layer.weight.detach(), *how, shape), layer.bias,
                                *how, 'relu', [], ''))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        for step in self._steps:
            image = self._convolve(image, *step)
        return image


def prepared(layers: Sequence[nn.Conv2d], image: torch.Tensor) -> Prepared | None:
    """Return :class:`Prepared` convolutions, None where there can be none."""
    if not enabled or not torch.backends.mkldnn.is_available():
        return None
    try:
        return Prepared(layers, image)
    except RuntimeError:
        return None
