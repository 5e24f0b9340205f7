# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Gradients on a GPU by CUDA graphs: recorded once, then started whole.

An update of a small network is hundreds of operations, and a GPU is done with each before Python
has asked for the next. A graph is asked for once. It does what was done when it was recorded, with
the tensors that were there then, so whatever else the function looked at must be the same:
:class:`Recorder` records anew where it is not, and compares each recording with the function
itself before it is used.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import torch
from torch import nn

from av_td3_ros.learning.inputs import Given

logger = logging.getLogger(__name__)

__all__ = ['Recorder']

Tensors = Mapping[str, torch.Tensor]
Function = Callable[[Given], Tensors]

# The runs before a recording, in which libraries choose their ways and take memory.
_WARM_UP = 3
# By how much a recording may differ: a GPU adds up in any order, and bfloat16 has 8 bits.
_TOLERANCE = 2e-2


class RecordingError(RuntimeError):
    """A recording does not do what the function does."""


class _Recording(NamedTuple):
    """A graph, and the memory that it reads and writes."""

    known: Any
    inputs: Tensors
    outputs: Tensors
    gradients: Sequence[torch.Tensor | None]
    replay: Callable[[], None]


class Recorder:
    """
    Calls functions that compute gradients, by recordings of them where it can.

    Where recording fails, or gives other numbers, a warning says so and the functions are called
    themselves from then on.
    """

    def __init__(self) -> None:
        self.works = True
        self._recordings: dict[str, _Recording] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Recordings are of this process and these tensors: a copy begins anew.
        return Recorder, ()

    def __call__(self, name: str, function: Function, given: Given,
                 parameters: Sequence[nn.Parameter], changed: Sequence[torch.Tensor], known: Any
                 ) -> Tensors:
        """
        Return what ``function(given)``, called ``name``, returns, and leave its gradients.

        The function returns tensors without their history and leaves gradients in
        ``parameters``. Beside them it may change the tensors ``changed`` in place, nothing else;
        it draws nothing at random and asks no tensor for a number. ``known`` compares equal as
        long as whatever else it looks at is the same. What is returned, and the gradients, are
        written over by the next call with this name.
        """
        known = known, [(key, each.shape, each.dtype) for key, each in given.tensors.items()]
        recording = self._recordings.get(name)
        if recording is None or recording.known != known:
            # Let go of before another one is made, which needs as much memory.
            recording = None
            self._recordings.pop(name, None)
            if self.works:
                recording = self._record(name, function, given, parameters, changed, known)
            if recording is None:
                return function(given)
            self._recordings[name] = recording
        _copy(recording.inputs, given.tensors)
        recording.replay()
        for parameter, gradient in zip(parameters, recording.gradients):
            parameter.grad = gradient
        return recording.outputs

    def _record(self, name: str, function: Function, given: Given,
                parameters: Sequence[nn.Parameter], changed: Sequence[torch.Tensor], known: Any
                ) -> _Recording | None:
        """Return a recording, None where there can be none; nothing has changed either way."""
        inputs = {name: torch.empty(each.shape, dtype=each.dtype, device=each.device)
                  for name, each in given.tensors.items()}
        _copy(inputs, given.tensors)
        before = [tensor.clone() for tensor in changed]

        def run() -> Tensors:
            for parameter in parameters:
                parameter.grad = None
            return function(Given(inputs, given.dtype))

        try:
            expected = _warmed_up(lambda: _results(run(), parameters))
            if not all(bool(each.isfinite().all()) for each in expected):
                return None     # who called finds that out, and says it
            outputs, replay = _captured(run)
            gradients = [parameter.grad for parameter in parameters]
            replay()
            _compare(_results(outputs, parameters), expected)
        except RuntimeError as error:
            self.works = False
            logger.warning('Updates go on without CUDA graphs: those of the %s could not be '
                           'recorded (%s)', name, str(error).split('\n', maxsplit=1)[0])
            return None
        finally:
            with torch.no_grad():
                for tensor, value in zip(changed, before):
                    tensor.copy_(value)
        return _Recording(known, inputs, outputs, gradients, replay)


def _warmed_up(function: Callable[[], Any]) -> Any:
    """Return what a function returns, after some calls, on a stream that can be recorded."""
    stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            result = function()
    current.wait_stream(stream)
    return result


def _captured(function: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
    """Record what a function does on the GPU; return its outputs, and what does it again."""
    graph = torch.cuda.CUDAGraph()
    # Other threads may use the GPU meanwhile.
    with torch.cuda.graph(graph, capture_error_mode='thread_local'):
        outputs = function()
    return outputs, graph.replay


def _copy(into: Tensors, source: Tensors) -> None:
    for name, tensor in into.items():
        tensor.copy_(source[name])


def _results(outputs: Tensors, parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    """Return what was computed, numbers and gradients, in memory of its own."""
    return [each.detach().float().clone() for each in (
        *outputs.values(), *(parameter.grad for parameter in parameters)) if each is not None]


def _compare(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    """Raise RecordingError where results are further apart than rounding brings them."""
    least = _TOLERANCE * 1e-3 * max(float(each.norm()) for each in expected)
    if len(found) != len(expected) or not all(
            one.shape == other.shape
            and float((one - other).norm()) <= _TOLERANCE * float(other.norm()) + least
            for one, other in zip(found, expected)):
        raise RecordingError('its numbers are others')
