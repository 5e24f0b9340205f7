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

import contextlib
import logging
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

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

    Where recording fails, or gives other numbers, a warning says so and all functions are called
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
        inputs = {key: torch.empty_like(each) for key, each in given.tensors.items()}
        before = [tensor.clone() for tensor in changed]
        device = given['action'].device

        def run() -> Tensors:
            for parameter in parameters:
                parameter.grad = None
            return function(Given(inputs, given.dtype))

        def results_of(source: Tensors) -> _Results:
            _copy(inputs, source)
            return _Results.of(run(), parameters)

        try:
            with torch.cuda.device(device) if device.type == 'cuda' else contextlib.nullcontext():
                # Of another batch too: a recording may hold on to what it should read.
                batches = given.tensors, _mixed(given.tensors)
                expected = _warmed_up(lambda: [results_of(each) for each in batches])
                if not all(each.are_finite() for each in expected):
                    return None     # who called finds that out, and says it
                outputs, replay = _captured(run)
                gradients = [parameter.grad for parameter in parameters]
                for each, wanted in zip(batches, expected):
                    _copy(inputs, each)
                    _spoil([*outputs.values(), *gradients])
                    replay()
                    _Results.of(outputs, parameters).compare(wanted)
        except RuntimeError as error:
            self.works = False
            self._recordings.clear()
            logger.warning('Updates go on without CUDA graphs: those of the %s could not be '
                           'recorded (%s)', name, str(error).split('\n', maxsplit=1)[0])
            return None
        finally:
            with torch.no_grad():
                for tensor, value in zip(changed, before):
                    tensor.copy_(value)
        return _Recording(known, inputs, outputs, gradients, replay)


class _Results(NamedTuple):
    """What was computed, in memory of its own: numbers, and gradients."""

    numbers: list[torch.Tensor]
    gradients: list[torch.Tensor]

    @classmethod
    def of(cls, outputs: Tensors, parameters: Sequence[nn.Parameter]) -> _Results:
        """Copy what a function has returned, and left in ``parameters``."""
        return cls(_copies(outputs.values()),
                   _copies(parameter.grad for parameter in parameters
                           if parameter.grad is not None))

    def are_finite(self) -> bool:
        """Return whether all of them are."""
        return all(bool(each.isfinite().all()) for group in self for each in group)

    def compare(self, expected: _Results) -> None:
        """Raise RecordingError where they are further apart than rounding brings them."""
        for found, wanted in zip(self, expected):
            # What is small beside others of its kind is mostly rounding.
            least = _TOLERANCE * 1e-3 * max((float(each.norm()) for each in wanted), default=0.0)
            if len(found) != len(wanted) or not all(
                    one.shape == other.shape
                    and float((one - other).norm()) <= _TOLERANCE * float(other.norm()) + least
                    for one, other in zip(found, wanted)):
                raise RecordingError('its numbers are others')


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
    graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        # A stream of this device, which torch's own need not be; other threads may use the GPU.
        with torch.cuda.graph(graph, stream=torch.cuda.Stream(),
                              capture_error_mode='thread_local'):
            outputs = function()
    except RuntimeError as error:
        # To end a recording that has failed fails too, and says nothing of why.
        raise RecordingError(str(error.__context__ or error)) from error
    finally:
        # There torch would also leave its stream the current one.
        torch.cuda.set_stream(current)
    return outputs, graph.replay


def _mixed(tensors: Tensors) -> Tensors:
    """Return another batch of the same shapes: each tensor's rows, some of them further on."""
    return {name: each.roll(places, 0) if each.dim() else each
            for places, (name, each) in enumerate(tensors.items())}


def _spoil(tensors: Sequence[torch.Tensor | None]) -> None:
    """Make the tensors not a number, so that what does not write them is found out."""
    with torch.no_grad():
        for each in tensors:
            if each is not None:
                each.fill_(float('nan'))


def _copies(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [each.detach().float().clone() for each in tensors]


def _copy(into: Tensors, source: Tensors) -> None:
    for name, tensor in into.items():
        tensor.copy_(source[name])
