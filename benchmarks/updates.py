#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Counts TD3 updates per second, sampling included, beside Stable-Baselines3 and the reference.

Images: 4x84x84 with a vector of 23, an encoder of its own for actor and critic (``nature``, 512
features), heads of 256-256, for each batch size in float32 and bfloat16, beside
Stable-Baselines3's TD3 with the same networks. Flat: 17 numbers, 6 actions, batch 256, beside
Stable-Baselines3 and, with ``--reference DIR`` (a checkout of github.com/sfujim/TD3), that. All
sides take turns in one run, each in a process of its own, as its users run it; a round is an even
number of updates: every second one is the actor's too. With ``--device cuda`` ours have the
memory's frames on the GPU, and come without and, ``_graphs``, with CUDA graphs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
from pathlib import Path
import statistics
import sys

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

import measuring  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from av_td3_ros.learning import fast  # noqa: E402
from av_td3_ros.learning.replay import ReplayMemory  # noqa: E402
from av_td3_ros.learning.td3 import TD3Agent  # noqa: E402

VECTOR, FEATURES, ACTION = 23, 512, 2
FLAT_STATE, FLAT_ACTION = 17, 6
EPISODE = 200


def filled(rows, image_shape, vector_dim, action_dim, device='cpu'):
    """Return a replay memory of random transitions."""
    rng = np.random.default_rng(0)
    memory = ReplayMemory(rows, image_shape=image_shape, stack=4 if image_shape else 1,
                          vector_dim=vector_dim, action_dim=action_dim,
                          frames_on=None if device == 'cpu' else device)
    frames = rng.integers(0, 256, (64, 84, 84), dtype=np.uint8)
    for row in range(rows):
        frame = frames[row % 64] if image_shape else None
        vector = rng.standard_normal(vector_dim, dtype=np.float32)
        if row % EPISODE == 0:
            memory.begin_episode(0, frame, vector)
        else:
            memory.add(0, rng.uniform(-1, 1, action_dim), float(rng.standard_normal()),
                       row % EPISODE == EPISODE - 1, False, frame, vector)
    return memory


def ours(precision, batch, updates, memory, *, encoder, state_dim, action_dim, device='cpu',
         graphs=False):
    """Return a call that makes so many updates of this package's agent."""
    torch.manual_seed(0)
    fast.keep_memory()      # as a learner has it
    config = {'algorithm': {'precision': precision, 'batch_size': batch}}
    if encoder:
        config['networks'] = {'cnn': {'architecture': encoder}}
    agent = TD3Agent(state_dim, action_dim, 1.0, use_dict_buffer=bool(encoder), config=config,
                     seed=0, device=device, cuda_graphs=graphs)

    def run():
        for _ in range(updates):
            agent.update(memory.sample(batch))
    return run


def stable_baselines_model(rows, *, images, device='cpu'):
    """Return Stable-Baselines3's TD3 with a memory of random transitions, None without it."""
    try:
        import gymnasium
        from stable_baselines3 import TD3
        from stable_baselines3.common.logger import Logger
    except ImportError:
        return None
    space = gymnasium.spaces
    vector = VECTOR if images else FLAT_STATE
    box = space.Box(-np.inf, np.inf, (vector,), np.float32)
    seen = space.Dict({'image': space.Box(0, 255, (4, 84, 84), np.uint8), 'vector': box}) \
        if images else box

    class Still(gymnasium.Env):
        """Has the spaces alone."""

        observation_space = seen
        action_space = space.Box(-1.0, 1.0, (ACTION if images else FLAT_ACTION,), np.float32)

    arguments = {'net_arch': [256, 256]}
    if images:
        arguments.update(share_features_extractor=False,
                         features_extractor_kwargs={'cnn_output_dim': FEATURES})
    model = TD3('MultiInputPolicy' if images else 'MlpPolicy', Still(), buffer_size=rows,
                policy_delay=2, policy_kwargs=arguments, device=device, seed=0)
    model.set_logger(Logger(folder=None, output_formats=[]))
    buffer, rng = model.replay_buffer, np.random.default_rng(0)
    for kept in (buffer.observations, buffer.next_observations):
        for array in kept.values() if images else (kept,):
            array[:] = rng.integers(0, 256, array.shape, dtype=np.uint8) \
                if array.dtype == np.uint8 else rng.standard_normal(array.shape)
    buffer.actions[:] = rng.uniform(-1, 1, buffer.actions.shape)
    buffer.rewards[:] = rng.standard_normal(buffer.rewards.shape)
    buffer.dones[:] = rng.random(buffer.dones.shape) < 1 / EPISODE
    buffer.pos, buffer.full = 0, True
    return model


def stable_baselines(batch, updates, rows, images, device='cpu'):
    """Return a call that makes so many updates of Stable-Baselines3's TD3, None without it."""
    model = stable_baselines_model(rows, images=images, device=device)
    return model and (lambda: model.train(gradient_steps=updates, batch_size=batch))


def reference(folder, batch, updates, rows):
    """Return a call that makes so many updates of sfujim/TD3, sampling as its own buffer does."""
    spec = importlib.util.spec_from_file_location('reference_td3', folder / 'TD3.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    agent, rng = module.TD3(FLAT_STATE, FLAT_ACTION, 1.0), np.random.default_rng(0)
    # Its utils.ReplayBuffer keeps float64 and makes a FloatTensor of each field.
    kept = [rng.standard_normal((rows, size))
            for size in (FLAT_STATE, FLAT_ACTION, FLAT_STATE, 1, 1)]

    class Samples:
        """Samples as its buffer does."""

        @staticmethod
        def sample(size):
            """Return state, action, next state, reward, and whether the episode went on."""
            chosen = np.random.randint(0, rows, size=size)
            return tuple(torch.FloatTensor(array[chosen]) for array in kept)

    def run():
        for _ in range(updates):
            agent.train(Samples, batch)
    return run


def side(threads, make, *arguments):
    """Return what ``make`` returns, with so many threads of torch in this process."""
    torch.set_num_threads(threads)
    call = make(*arguments)
    if call is None or not torch.cuda.is_available():
        return call

    def until_done():
        call()
        torch.cuda.synchronize()
    return until_done


def ours_on_images(precision, batch, updates, rows, encoder, device, graphs=False):
    """Return a call that makes so many updates with images, from a memory of so many rows."""
    return ours(precision, batch, updates, filled(rows, (84, 84), VECTOR, ACTION, device),
                encoder=encoder, state_dim=FEATURES + VECTOR, action_dim=ACTION, device=device,
                graphs=graphs)


def ours_on_states(batch, updates, rows, device, graphs=False):
    """Return a call that makes so many updates of flat states, from a memory of so many rows."""
    return ours('float32', batch, updates, filled(rows, None, FLAT_STATE, FLAT_ACTION),
                encoder=None, state_dim=FLAT_STATE, action_dim=FLAT_ACTION, device=device,
                graphs=graphs)


def ways(device):
    """Return the ways in which ours are measured on a device: a suffix, and whether by graphs."""
    return {'': False, '_graphs': True} if device == 'cuda' else {'': False}


def figures(sides, updates, rounds, threads):
    """
    Measure; return updates per second of each side, and how many times ours are faster.

    ``sides`` are functions with their arguments, by name.
    """
    with contextlib.ExitStack() as stack:
        there = {}
        for name, (make, *arguments) in sides.items():
            apart = stack.enter_context(contextlib.closing(
                measuring.Apart(side, threads, make, *arguments)))
            if apart.there:
                there[name] = apart
        times = measuring.in_turn(there, rounds)
    result = {'updates_per_s': {name: round(updates / statistics.median(values), 2)
                                for name, values in times.items()}}
    for other in ('sb3', 'reference'):
        if other in there:
            result[f'times_faster_than_{other}'] = {
                name: measuring.times_faster(times, name, other)
                for name in there if name.startswith('ours')}
    if 'sb3' not in there:
        result['sb3'] = measuring.NO_SB3
    return result


def parse_arguments(arguments=None):
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--what', nargs='+', choices=('images', 'flat'),
                        default=['images', 'flat'])
    parser.add_argument('--batch', type=int, nargs='+', default=[64, 256], help='of images')
    parser.add_argument('--precision', nargs='+', default=['float32', 'bfloat16'],
                        choices=('float32', 'bfloat16'))
    parser.add_argument('--encoder', default='nature', help='ours; the other side has nature')
    parser.add_argument('--rounds', type=int, default=15, help='of flat states thrice as many')
    parser.add_argument('--updates', type=int, default=4, help='in a round of images, even')
    parser.add_argument('--rows', type=int, default=4000, help='transitions in the memories')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'),
                        help='of ours and of the other; the reference chooses its own')
    parser.add_argument('--reference', type=Path, help='a checkout of github.com/sfujim/TD3')
    options = parser.parse_args(arguments)
    if options.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: this torch finds no GPU')
    return options


def main(arguments=None):
    """Measure, and print one line of JSON."""
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    updates = options.updates + options.updates % 2
    result = {'machine': measuring.machine(), 'device': options.device}
    if options.device == 'cuda':
        result['gpu'] = torch.cuda.get_device_name()
    if 'images' in options.what:
        result['images'] = {}
        for batch in options.batch:
            sides = {f'ours_{precision}{suffix}': (
                ours_on_images, precision, batch, updates, options.rows, options.encoder,
                options.device, graphs) for precision in options.precision
                for suffix, graphs in ways(options.device).items()}
            sides['sb3'] = stable_baselines, batch, updates, options.rows, True, options.device
            result['images'][f'batch_{batch}'] = figures(sides, updates, options.rounds,
                                                         options.threads)
    if 'flat' in options.what:
        many = 10 * updates
        sides = {f'ours{suffix}': (ours_on_states, 256, many, options.rows, options.device, graphs)
                 for suffix, graphs in ways(options.device).items()}
        sides['sb3'] = stable_baselines, 256, many, options.rows, False, options.device
        if options.reference:
            sides['reference'] = reference, options.reference, 256, many, options.rows
        # These are short, and scatter more.
        result['flat'] = figures(sides, many, 3 * options.rounds, options.threads)
        if not options.reference:
            result['flat']['reference'] = 'not measured: --reference DIR was not given'
    result['load_after'] = measuring.machine()['load']
    measuring.report('updates', result)


if __name__ == '__main__':
    main()
