# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The demonstration from start to end.

1. The car drives a route with the shipped policy, and the training node learns from it.
2. While it drives on, its training is saved; the simulation is paused, the training node killed
   and started anew with nothing, and the checkpoint loaded.
3. The car drives the second route to its end with the loaded weights, and learning goes on.
"""

from __future__ import annotations

from pathlib import Path
import re
import shutil
import time
from typing import Any

from carla_msgs.msg import CarlaControl

from av_td3_ros.demo.account import Account, UpdateCounter
from av_td3_ros.demo.environment import (enter_private_domain, remove_ports,
                                         remove_stale_segments)
from av_td3_ros.demo.figures import RouteMeter
from av_td3_ros.demo.graph import DemoFailed, Graph, START_SECONDS
from av_td3_ros.demo.observer import Observer
from av_td3_ros.demo.options import Options
from av_td3_ros.demo.parameters import (node_parameters, read_checkpoint, Shipped,
                                        write_parameters)
from av_td3_ros.demo.processes import Children
from av_td3_ros.demo.report import LiveLine
from av_td3_ros.demo.routes import DemoRoute, draw_routes, read_routes, write_routes
from av_td3_ros.demo.video import VideoWriter
from av_td3_ros.ros.weights import VersionCounter
from av_td3_ros.simulation.town import Town, town_path

PHASES = ('drive and learn', 'save, kill, load', 'drive on')

# The policy node ends an episode at its own goal radius, measured as here; a little more, so that
# rounding does not let the car be taken away before its arrival is seen.
_GOAL_SLACK = 0.5
_DRIVE_SECONDS = 240.0
_SAVED = re.compile(r'saved (?P<path>.+) at iteration (?P<iteration>\d+)')
_LATE = re.compile(r'within \d')
_LOADED = re.compile(r'loaded (?P<path>.+?) at iteration (?P<iteration>\d+)')


class Demo:
    """
    One run.

    :meth:`run` raises DemoFailed, ChildDied or ValueError where it does not succeed;
    :meth:`finish` then still gives the summary of what was measured.
    """

    def __init__(self, options: Options, line: LiveLine) -> None:
        self._options, self._line, self.output = options, line, options.output
        self._begun = time.monotonic()
        self._observer: Observer | None = None
        self._account: Account | None = None
        self._video: VideoWriter | None = None
        self._saved: dict[str, Any] = {}
        self._driving = 0.0

    def run(self) -> None:
        """Do everything; no process is left when it returns or raises."""
        options = self._options
        shipped = read_checkpoint(options.checkpoint)
        town = town_path(options.town)
        self._prepare_folder()
        environment = enter_private_domain(self.output / 'logs')
        routes_file, parameters = self.output / 'routes.yaml', self.output / 'parameters.yaml'
        write_parameters(parameters, node_parameters(
            shipped, town=town.absolute(), seed=options.seed, vehicles=options.vehicles,
            size=options.size, routes=routes_file, checkpoints=self.output / 'checkpoints'))
        started = time.time()
        try:
            with Children(environment, self.output / 'logs') as children:
                graph = Graph(children, parameters, self._line)
                try:
                    self._line.say('Starting simulator, policy, training and guard nodes; their '
                                   f'logs go to {self.output / "logs"}')
                    graph.start('simulator')
                    graph.start('training', checkpoint=shipped.path)
                    graph.start('policy')
                    graph.start('guard')
                    # The town is needed here too, for routes and completion.
                    routes = self._choose_routes(Town.load(town))
                    write_routes(routes_file, routes)
                    self._drive(graph, shipped, routes)
                finally:
                    graph.close()
        finally:
            remove_stale_segments(started)
            remove_ports(int(environment['ROS_DOMAIN_ID']))

    def _prepare_folder(self) -> None:
        """Make the folder, without what an earlier run left in it; spare what is not its own."""
        folders = [self.output / name for name in ('checkpoints', 'logs')]
        mark = self.output / 'parameters.yaml'
        for folder in folders:
            if folder.exists() and not mark.exists():
                raise ValueError(f'{folder} was not made by a demonstration, which would delete '
                                 'it; name another folder with --output')
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for name in ('summary.json', 'drive.mp4', 'routes.yaml'):
            (self.output / name).unlink(missing_ok=True)
        self.output.mkdir(parents=True, exist_ok=True)
        mark.touch()
        (self.output / 'logs').mkdir(parents=True, exist_ok=True)

    def _choose_routes(self, town: Town) -> list[DemoRoute]:
        if self._options.routes is None:
            return draw_routes(town, self._options.seed)
        return (read_routes(town, self._options.routes) * 2)[:2]

    def _drive(self, graph: Graph, shipped: Shipped, routes: list[DemoRoute]) -> None:
        limits = shipped.task.episode
        meters = [RouteMeter(drawn.route, goal_radius=limits.goal_radius + _GOAL_SLACK,
                             max_lateral=limits.max_lateral_deviation) for drawn in routes]
        if self._options.video:
            self._video = VideoWriter(self.output / 'drive.mp4', self._options.size)
        observer = self._observer = graph.watch(
            lambda: Observer(routes, meters, shipped.task.reward, self._video))
        self._account = Account(observer.latency, UpdateCounter(shipped.iteration))
        graph.describe = self._describe
        graph.bring_up()
        self._driving = time.monotonic()
        self._line.say(f'All nodes are up after {self._driving - self._begun:.1f} s; the routes '
                       'have ' + ' and '.join(f'{m.route.length:.0f} m' for m in meters))
        try:
            self._phases(graph, observer, self._account, meters)
        finally:
            # A phase that was cut short counts with what it brought.
            self._end(next((m for m in meters if m.drive.ticks), observer.meter), None)

    def _phases(self, graph: Graph, observer: Observer, account: Account,
                meters: list[RouteMeter]) -> None:
        self._begin(0, 'the car drives route 1, the training node learns from it')
        self._follow(graph, observer, meters[0])
        self._await_learning(graph, observer, account.updates)
        self._end(meters[0], meters[0].completion)
        self._begin(1, 'the training is saved while the car drives on')
        loaded = self._save_kill_load(graph, observer, account.updates, meters[1])
        self._end(meters[1], None)
        self._begin(2, 'the car drives on with the loaded weights')
        observer.run(CarlaControl.PLAY)
        self._follow(graph, observer, meters[1])
        if observer.learned.sampled_version < loaded:
            raise DemoFailed('the car did not drive with the loaded weights')
        self._end(meters[1], meters[1].completion)

    def _await_learning(self, graph: Graph, observer: Observer, updates: UpdateCounter) -> None:
        """See that the training node learns from the drive; a fast car may be there before it."""
        if updates.total > 0:
            return
        observer.run(CarlaControl.PAUSE)
        graph.wait(lambda: updates.total > 0,
                   'an update of the training node from what the car saw', 60.0)
        observer.run(CarlaControl.PLAY)

    def _save_kill_load(self, graph: Graph, observer: Observer, updates: UpdateCounter,
                        meter: RouteMeter) -> int:
        """Save, kill the training node, start it, load; return the loaded weights' version."""
        graph.wait(lambda: meter.completion > 0.05 or meter.done,
                   'the car setting off on route 2', 60.0)
        saving = observer.trigger('save_checkpoint')
        # Enough of the route is kept for the loaded weights.
        graph.wait(lambda: saving.done() or meter.completion > 0.4 or meter.done,
                   'an answer to save_checkpoint', 15.0)
        observer.run(CarlaControl.PAUSE)
        saved = self._answer(graph, observer, saving, 'save_checkpoint', _SAVED)
        path, iteration = Path(saved['path']), int(saved['iteration'])
        if not path.is_file():
            raise DemoFailed(f'save_checkpoint named {path}, which is not there')
        self._line.say(f'Saved {path} at iteration {iteration}; killing the training node, and '
                       'starting it anew with nothing')
        observer.note = 'the training node is killed and started anew'
        graph.kill('training')
        updates.lose()
        observer.learned.progress = None
        # Last words of the killed one may still come; no version of its weights is newer than now.
        before = VersionCounter().advance()
        graph.start('training')
        graph.wait(lambda: observer.learned.progress is not None
                   and observer.learned.progress.version > before
                   and observer.weights_in_use[0] > before,
                   "the new training node's weights", START_SECONDS)
        fresh, fresh_iteration = observer.weights_in_use
        loaded = self._answer(graph, observer, observer.trigger('load_checkpoint'),
                              'load_checkpoint', _LOADED)
        if int(loaded['iteration']) != iteration:
            raise DemoFailed(f'iteration {iteration} was saved, but {loaded["iteration"]} loaded')
        graph.wait(lambda: observer.weights_in_use[0] > fresh
                   and observer.weights_in_use[1] >= iteration,
                   'the loaded weights being in use at the policy node', 10.0)
        updates.resume(iteration)
        self._saved = {'checkpoint': str(path), 'checkpoint_iteration': iteration,
                       'fresh_iteration': fresh_iteration,
                       'loaded_iteration': int(loaded['iteration'])}
        self._line.say(f'Loaded iteration {iteration}; the new training node was at '
                       f'{fresh_iteration}')
        return observer.weights_in_use[0]

    def _answer(self, graph: Graph, observer: Observer, future: Any, service: str,
                pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait for a service's answer, which names a file and an iteration."""
        answer = graph.answer(future, service)
        if not answer.success and _LATE.search(answer.message):
            # An answer is due within 5 s, a slow disk or not; what it was asked for goes on.
            self._line.say(f'{service}: {answer.message}; asking once more')
            answer = graph.answer(observer.trigger(service), service)
        if not answer.success:
            raise DemoFailed(f'{service} failed: {answer.message}')
        match = pattern.match(answer.message)
        if match is None:
            raise DemoFailed(f'{service} names no file and iteration: {answer.message}')
        return match

    def _follow(self, graph: Graph, observer: Observer, meter: RouteMeter) -> None:
        """Wait for the end of a route, and see that it was an arrival."""
        graph.wait(lambda: meter.done, 'the car getting to the end of its route', _DRIVE_SECONDS)
        if meter.arrived:
            return
        # The last words on the experience topic may come after the odometry.
        graph.settle(0.3)
        endings = observer.learned.endings
        how = endings[-1][1].replace('_', ' ') if endings else 'being moved away'
        raise DemoFailed(f'the car did not complete route {observer.meters.index(meter) + 1}: its '
                         f'drive ended by {how} after {meter.furthest:.0f} of '
                         f'{meter.route.length:.0f} m')

    # Figures

    def _begin(self, number: int, note: str) -> None:
        observer, account = self._observer, self._account
        assert observer is not None and account is not None
        account.begin(f'{number + 1} {PHASES[number]}', observer.ticks)
        observer.title, observer.note = f'phase {number + 1}: {PHASES[number]}', note
        self._line.say(f'Phase {number + 1}: {note}')

    def _end(self, meter: RouteMeter, completion: float | None) -> None:
        observer, account = self._observer, self._account
        assert observer is not None and account is not None
        account.end(meter.split(), observer.ticks, completion)

    def _describe(self) -> str:
        """Return the live line, and take note of the trainer's iteration on the way."""
        observer, account = self._observer, self._account
        assert observer is not None and account is not None
        if observer.learned.progress is not None:
            account.updates.take(observer.learned.progress.updates)
        seconds = time.monotonic() - self._begun
        if not self._driving:
            return f'{seconds:4.0f} s  starting: {observer.missing}'
        meter = observer.meter
        return (f'{seconds:4.0f} s  {observer.title}: route {observer.number + 1}, '
                f'{meter.furthest:4.0f} of {meter.route.length:.0f} m '
                f'({100 * meter.completion:.0f} %), {observer.speed:4.1f} m/s, '
                f'{account.updates.total} updates, {observer.tick_rate:.0f} steps/s')

    def finish(self, reason: str) -> dict[str, Any]:
        """Return the summary; ``reason`` says why the run did not succeed, empty if it did."""
        observer, account = self._observer, self._account
        figures: dict[str, Any] = {'phases': []}
        if observer is not None and account is not None:
            figures = account.summary(observer.meters)
        video = self._video
        return {'success': not reason, 'reason': reason,
                'wall_s': round(time.monotonic() - self._begun, 1),
                'policy': str(self._options.checkpoint), 'town': self._options.town,
                'seed': self._options.seed, 'vehicles': self._options.vehicles,
                'image': list(self._options.size), **self._saved, **figures,
                'video': None if video is None else str(video.path),
                'video_frames': 0 if video is None else video.written,
                'video_frames_dropped': 0 if video is None else video.dropped}

    def close_video(self, timeout: float) -> None:
        """Encode what waits, for at most ``timeout`` s; raises VideoError."""
        if self._video is not None:
            self._line.say('Finishing the video')
            self._video.close(timeout, lambda waiting: self._line.show(
                f'{time.monotonic() - self._begun:4.0f} s  {waiting} frames are left'))

    def abort_video(self) -> None:
        """Finish the video with what is encoded already."""
        if self._video is not None:
            self._video.abort()
