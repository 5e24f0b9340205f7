# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The learner: an agent and its replay memory, learning at a set ratio to the experience."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import Any, Collection, Mapping, Protocol

import numpy as np
import torch

from av_td3_ros.learning import fast
from av_td3_ros.learning.checkpoint import Loaded
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, LATEST
from av_td3_ros.learning.policy_file import is_policy_file, start_from_policy
from av_td3_ros.learning.replay import Batch, ReplayMemory
from av_td3_ros.learning.settings import AlgorithmSettings, NetworkSettings
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.settings import section, setting, SettingsError

IMAGE_FEATURES = 512
VECTOR_SIZE = 23
ACTION_SIZE = 2
# The share of the replay memory by which a checkpoint may lie behind and be exact: one part in 5.
_SPARE = 5
_EPISODES = 20


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How learning goes along with experience."""

    updates_per_step: float = setting(
        0.5, 'gradient updates for each transition, once learning has started', ge=0.0, le=100.0)
    threads: int = setting(
        0, "torch's threads; 0 leaves torch's own choice. Runs are repeatable bit by bit for one "
        'number of threads', ge=0, le=256)
    device: str = setting(
        'cpu', "where the networks learn and, in train, act: the processor, or torch's first GPU "
        '(CUDA_VISIBLE_DEVICES chooses). On a GPU runs are not repeatable bit by bit',
        choices=('cpu', 'cuda'))
    replay_on_device: bool = setting(
        True, "keep the replay memory's frames on the GPU as well, where device is cuda, so that "
        'batches are put together there: 7.1 kB of its memory for each row of algorithm.'
        'buffer_size, and a fifth more')
    cuda_graphs: bool = setting(
        False, 'where device is cuda, ask the GPU for all operations of a gradient at once, as a '
        'CUDA graph, compared with what it replaces whenever it is recorded. Tested without a '
        'GPU only, so far')
    plain: bool = setting(
        False, "do everything torch's usual way, on whole batches: slower, for comparisons. It "
        'holds for the process: of several learners in one, as the last one made says')


@dataclasses.dataclass(frozen=True)
class LearnerSettings:
    """What a :class:`Learner` is made from."""

    algorithm: AlgorithmSettings = section(AlgorithmSettings)
    networks: NetworkSettings = section(NetworkSettings)
    training: TrainingSettings = section(TrainingSettings)


def check_device(settings: LearnerSettings) -> None:
    """Raise SettingsError where the device to learn on is not there."""
    if settings.training.device == 'cuda' and not torch.cuda.is_available():
        raise SettingsError(
            f'training.device is cuda, but torch {torch.__version__} finds no GPU here: set '
            'it to cpu, or install the driver of the GPU and a torch with CUDA')


def _replay_memory(settings: LearnerSettings, directory: Path | None) -> ReplayMemory:
    algorithm, training = settings.algorithm, settings.training
    on_device = training.device != 'cpu' and training.replay_on_device and not training.plain
    try:
        return ReplayMemory(
            algorithm.buffer_size, vector_dim=VECTOR_SIZE, action_dim=ACTION_SIZE,
            n_step=algorithm.n_step, discount=algorithm.discount, directory=directory,
            seed=algorithm.seed, spare=32 + algorithm.buffer_size // _SPARE,
            frames_on=training.device if on_device else None)
    except torch.OutOfMemoryError as error:
        raise SettingsError(
            "the replay memory's frames do not fit into the GPU's memory: set training."
            'replay_on_device to false, or algorithm.buffer_size lower than '
            f'{algorithm.buffer_size} ({str(error).splitlines()[0]})') from None


class Observer(Protocol):
    """Who is told what a learner does, right after it did it; it must not change the learner."""

    def begun(self, stream: int) -> None:
        """Take note that an episode of a stream began."""

    def added(self, stream: int, reward: float, terminated: bool, truncated: bool) -> None:
        """Take note of a transition; it is in the row before the replay memory's head."""

    def abandoned(self, stream: int) -> None:
        """Take note that a stream's episode ended without being finished."""

    def updated(self, report: Mapping[str, float], batch: Batch) -> None:
        """Take note of an update on ``batch``."""

    def saving(self) -> None:
        """Take note that a checkpoint is about to be made."""

    def restored(self) -> None:
        """Take note that the learner went back to a checkpoint."""


class Learner:
    """
    Learns from several vehicles' experience.

    Experience comes in through :meth:`begin`, :meth:`add` and :meth:`abandon`; :attr:`due` tells
    how many updates the set ratio allows now. Nothing here depends on the time: the same
    experience in the same order, with :meth:`update` called as often as is due, gives the same
    weights.

    ``config`` is the full configuration that goes into checkpoints; ``replay_directory`` keeps the
    replay memory on disk, None keeps it in memory. :attr:`observer` may be set. Raises
    SettingsError where there is no such device, or its memory is too small.
    """

    observer: Observer | None = None

    def __init__(self, settings: LearnerSettings, config: Mapping[str, Any], *,
                 other_sections: Collection[str] = (),
                 replay_directory: Path | None = None) -> None:
        self.settings = settings
        algorithm = settings.algorithm
        if settings.training.threads:
            torch.set_num_threads(settings.training.threads)
        fast.enabled = not settings.training.plain
        if fast.enabled:
            fast.keep_memory()
        check_device(settings)
        torch.manual_seed(algorithm.seed)
        self.agent = TD3Agent(
            state_dim=IMAGE_FEATURES + VECTOR_SIZE, action_dim=ACTION_SIZE, max_action=1.0,
            config=config, other_sections=other_sections, seed=algorithm.seed,
            device=settings.training.device, cuda_graphs=settings.training.cuda_graphs)
        self.replay = _replay_memory(settings, replay_directory)
        self.transitions = 0
        self.demonstrations = 0
        self._demonstrated = 0
        self._mistakes: set[int] = set()
        self._owed = 0.0
        self._earned: dict[int, float] = {}
        self._returns: collections.deque[float] = collections.deque(maxlen=_EPISODES)

    def begin(self, stream: int, frame: np.ndarray, vector: np.ndarray) -> None:
        """Take an episode's first observation: frame (84, 84) uint8, vector (23,) float32."""
        self.replay.begin_episode(stream, frame, vector)
        self._earned[stream] = 0.0
        if self.observer is not None:
            self.observer.begun(stream)

    def add(self, stream: int, action: np.ndarray, reward: float, terminated: bool,
            truncated: bool, frame: np.ndarray, vector: np.ndarray) -> None:
        """Take an action (2,), what it earned, and the observation that followed."""
        self.replay.add(stream, action, reward, terminated, truncated, frame, vector)
        self.transitions += 1
        if self.learning:
            self._owed += self.settings.training.updates_per_step
        if stream in self._earned:
            self._earned[stream] += reward
            if terminated or truncated:
                self._returns.append(self._earned.pop(stream))
        if self.observer is not None:
            self.observer.added(stream, reward, terminated, truncated)

    def demonstrate(self, stream: int, action: np.ndarray, reward: float, terminated: bool,
                    truncated: bool, frame: np.ndarray, vector: np.ndarray, *,
                    exemplary: bool = True) -> None:
        """
        Take a transition of a driver that is worth imitating, as :meth:`add` takes the policy's.

        One that is not ``exemplary``, a mistake, is learned from and not imitated.
        No update becomes due. All demonstrations come before the first transition of
        :meth:`add`; they stay in the replay memory until it is full.
        """
        if self.transitions > self.demonstrations:
            raise RuntimeError('demonstrations come before other experience')
        row = self.replay.head
        self.replay.add(stream, action, reward, terminated, truncated, frame, vector)
        self.transitions += 1
        self.demonstrations += 1
        self._demonstrated = self.replay.head
        if not exemplary:
            self._mistakes.add(row)

    def owe(self, updates: int) -> None:
        """Make so many updates due, beside those that experience brings."""
        self._owed += updates

    def abandon(self, stream: int) -> None:
        """Close a stream's episode where experience was lost."""
        self.replay.abandon(stream)
        self._earned.pop(stream, None)
        if self.observer is not None:
            self.observer.abandoned(stream)

    def abandon_all(self) -> None:
        """Close every open episode: those of a checkpoint do not go on where it was loaded."""
        for stream in self.replay.open_episodes:
            self.abandon(stream)

    @property
    def recent_return(self) -> float | None:
        """Mean return of the last 20 whole episodes since the start, None before so many."""
        whole = len(self._returns) == _EPISODES
        return sum(self._returns) / _EPISODES if whole else None

    @property
    def learning(self) -> bool:
        """Whether enough experience is there to learn from, or demonstrations were learned."""
        shown = self.demonstrations > 0 and self.agent.total_it > 0
        return len(self.replay) > 0 and (
            shown or self.transitions > self.settings.algorithm.learning_starts)

    @property
    def acting(self) -> bool:
        """Whether vehicles should act by the policy rather than at random."""
        return self.learning or self.agent.total_it > 0

    @property
    def due(self) -> int:
        """Return the updates that the ratio allows now, or that demonstrations alone bring."""
        shown = self.transitions == self.demonstrations > 0
        return int(self._owed) if self.learning or shown else 0

    @property
    def owed(self) -> float:
        """Return the updates that wait to be made, due or not."""
        return self._owed

    def update(self) -> dict[str, float]:
        """Make one update that was due; return its losses and norms."""
        self._owed -= 1.0
        batch = self.replay.sample(self.settings.algorithm.batch_size)
        report = self.agent.update(batch, demonstrated=self._worth_imitating(batch.rows))
        if self.observer is not None:
            self.observer.updated(report, batch)
        return report

    def _worth_imitating(self, rows: np.ndarray | None) -> torch.Tensor | None:
        """Return which of the replay memory's rows are demonstrations and no mistakes, (B,)."""
        if not self._demonstrated or rows is None:
            return None
        return torch.tensor([row < self._demonstrated and row not in self._mistakes
                             for row in rows.tolist()])

    def forgive(self, most: float) -> int:
        """
        Forget whole updates owed beyond ``most``; return how many.

        A learner that cannot keep up with the experience must not fall behind without end.
        """
        excess = max(int(self._owed - most), 0)
        self._owed -= excess
        return excess

    def state_dict(self) -> dict[str, Any]:
        """Return what belongs into a checkpoint beside agent and replay, as plain types."""
        return {'transitions': self.transitions, 'owed': self._owed,
                'actor_starts': self.agent.actor_starts, 'demonstrations': self.demonstrations,
                'demonstrated': self._demonstrated, 'mistakes': sorted(self._mistakes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self._earned.clear()
        self._returns.clear()
        self.transitions = int(state['transitions'])
        self._owed = float(state['owed'])
        self.agent.actor_starts = int(state['actor_starts'])
        # Files of earlier versions have no demonstrations.
        self.demonstrations = int(state.get('demonstrations', 0))
        self._demonstrated = int(state.get('demonstrated', 0))
        self._mistakes = set(map(int, state.get('mistakes', ())))

    def parts(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a checkpoint of this learner holds beside the agent, by its names there."""
        if self.observer is not None:
            self.observer.saving()
        return {'replay': self.replay, 'exploration': self.state_dict(), 'extra': dict(extra)}

    def load(self, folder: CheckpointFolder, name: str = LATEST) -> Loaded:
        """
        Load a checkpoint of this learner; raises CheckpointError and then changes nothing.

        What :meth:`parts` was given as extra is in the result's ``extra``.
        """
        loaded = folder.load(self.agent, name, replay=self.replay, exploration=self,
                             extra=lambda extra: None)
        if self.observer is not None:
            self.observer.restored()
        return loaded

    def start_from(self, path: Path) -> None:
        """
        Take the agent, not the experience, from a checkpoint or policy file of another run.

        The actor then learns again after another ``actor_starts`` updates of the critic, which
        has to learn about this run's experience first. Raises CheckpointError.
        """
        if is_policy_file(path):
            start_from_policy(self.agent, path)
        else:
            self.agent.load_checkpoint(path, keep_hyper_parameters=True)
        self.agent.actor_starts = self.agent.total_it + self.settings.algorithm.actor_starts

    def close(self) -> None:
        """Close the replay memory."""
        self.replay.close()
