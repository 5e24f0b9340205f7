# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Makes the virtual environment ``.venv`` of this clone: packages, carla_msgs, av_td3_ros itself.

Started by setup_env.sh with the Python that .venv shall have; needs the standard library only.
A stamp in .venv, written last, names what it was made from, so that an unchanged environment is
known at once and an interrupted set-up is never taken for a finished one.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
CACHE = ROOT / '.cache'
STAMP = VENV / '.av_td3_ready.json'
UNFINISHED = VENV / '.av_td3_unfinished'
LOG = CACHE / 'setup.log'
PYTHON = VENV / 'bin' / 'python'
EXTRAS = 'evaluation,simulation,training,test'
HEARTBEAT = 3.0
# Installed size with a CPU build of PyTorch, and what unpacking needs beside it. A CUDA build
# is larger; running out of space later is reported in its own words.
DISK_NEEDED = 4 * 2**30
NETWORK_SIGNS = ('NewConnectionError', 'ConnectTimeoutError', 'Temporary failure in name',
                 'Network is unreachable', 'Name or service not known', 'ReadTimeoutError',
                 'Could not fetch URL', 'Connection refused', 'ProxyError', 'Max retries',
                 'Failed to establish a new connection')


class SetupError(Exception):
    """Set-up cannot go on; the message is one sentence that names the remedy."""


def ros_is_sourced():
    """Tell whether a ROS 2 is sourced and to be used."""
    return (os.environ.get('AV_TD3_ROS') != 'wheels' and bool(os.environ.get('ROS_DISTRO'))
            and bool(os.environ.get('AMENT_PREFIX_PATH')))


def inputs():
    """Describe everything that the environment is made from, as plain values."""
    digest = hashlib.sha256()
    files = [ROOT / name for name in ('setup.py', 'setup.cfg', 'pyproject.toml')]
    files += [Path(__file__), *sorted((ROOT / 'requirements').glob('*.txt'))]
    files += sorted(p for p in (ROOT / 'interfaces').rglob('*') if p.is_file())
    for path in files:
        digest.update(f'{path.relative_to(ROOT)}\0'.encode() + path.read_bytes() + b'\0')
    return {
        'files': digest.hexdigest(),
        'python': '%s %d.%d.%d' % (sys.executable, *sys.version_info[:3]),
        'root': str(ROOT),
        'ros': f"sourced {os.environ['ROS_DISTRO']}" if ros_is_sourced() else 'wheels',
    }


def ready():
    """Tell whether the environment was finished from the present inputs."""
    try:
        return (json.loads(STAMP.read_text()) == inputs() and not UNFINISHED.exists()
                and os.access(PYTHON, os.X_OK))
    except (OSError, ValueError):
        return False


class Progress:
    """Prints what goes on, and a sign of life every few seconds while nothing new happens."""

    def __init__(self):
        self._start = self._last = time.monotonic()
        self._what = ''
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def say(self, what):
        """Print a new line, and repeat it until the next one."""
        with self._lock:
            self._what = what
            self._print(what)

    def _print(self, text):
        self._last = time.monotonic()
        print(f'[set-up {self._last - self._start:4.0f} s] {text}', flush=True)

    def _beat(self):
        while not self._done.wait(0.5):
            with self._lock:
                if self._what and time.monotonic() - self._last > HEARTBEAT:
                    self._print(f'  still {self._what[0].lower()}{self._what[1:]}')


def run(command, progress, *, env=None, what=None):
    """
    Run ``command``, its output to the log; raise :class:`SetupError` where it fails.

    Lines by which pip and ninja tell of their progress are passed on.
    """
    with open(LOG, 'a', encoding='utf-8') as log:
        log.write(f'\n$ {" ".join(map(str, command))}\n')
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, text=True,
                                   errors='replace', env={**os.environ, **(env or {})},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        lines, steps = [], 0
        try:
            for line in process.stdout:
                log.write(line)
                lines.append(line.rstrip())
                shown = telling(line)
                if shown:
                    steps += 1
                    if shown.startswith('['):
                        progress.say(f'{what} {shown}') if steps % 20 == 0 else None
                    elif not shown.startswith('Downloading ros') or steps % 10 == 0:
                        progress.say(shown)
        finally:
            if process.poll() is None and sys.exc_info()[0]:
                process.terminate()
            process.wait()
    if process.returncode:
        raise SetupError(explain('\n'.join(lines), command))
    return lines


def telling(line):
    """Return what a line of pip's or ninja's output tells a person, or None."""
    found = re.match(r'\s*(Downloading \S+ \([^)]*\)|Processing \S+\.whl)', line)
    if found:
        return found.group(1).replace(str(ROOT) + '/', '')
    if line.startswith('Installing collected packages:'):
        return f'Unpacking {line.count(",") + 1} packages'
    found = re.match(r'\[\d+/\d+\]', line)
    return found.group(0) if found else None


def explain(output, command):
    """Say in one sentence why ``command`` failed, and what to do."""
    if 'No space left on device' in output or 'Disk quota exceeded' in output:
        return (f'the disk of {ROOT} is full; free some {DISK_NEEDED / 2**30:.0f} GiB '
                '(a PyTorch with CUDA: 10 GiB) and run this again.')
    if any(sign in output for sign in NETWORK_SIGNS):
        return ('the first set-up needs the network, and the package index could not be reached; '
                'connect, or name a mirror in PIP_INDEX_URL, and run this again.')
    lines = output.splitlines() or ['no output']
    errors = [line for line in lines if re.search(r'\berror\b', line, re.I)]
    telling_ones = [line for line in errors if 'No matching distribution' in line
                    or 'conflicting dependencies' in line]
    reason = (telling_ones or errors or lines)[-1].strip()
    return f'{Path(str(command[0])).name} failed: {reason} (the whole output is in {LOG}).'


def make_venv(progress):
    """Make ``.venv`` where it is missing, anew where an earlier set-up of ours broke off."""
    if UNFINISHED.exists():
        progress.say('Removing what an interrupted set-up left')
        shutil.rmtree(VENV)
    if PYTHON.exists() and sees_system() != ros_is_sourced():
        raise SetupError(
            f"{VENV} was made for {'a sourced ROS 2' if sees_system() else 'ROS 2 from PyPI'}; "
            + (f"set AV_TD3_ROS=wheels to go on with it beside ROS 2 {os.environ['ROS_DISTRO']}"
               if ros_is_sourced() else 'source that ROS 2')
            + ', or delete .venv to have it made anew.')
    if PYTHON.exists() and not same_python():
        raise SetupError(f'{VENV} belongs to another Python or another folder; delete it '
                         '(rm -r .venv) and run this again.')
    if not PYTHON.exists():
        free = shutil.disk_usage(ROOT).free
        if free < DISK_NEEDED:
            raise SetupError(
                f'{ROOT} has {free / 2**30:.1f} GiB free, but set-up needs '
                f'{DISK_NEEDED / 2**30:.0f} GiB; free some, or clone to a larger disk.')
        progress.say(f'Making .venv with Python {sys.version.split()[0]}')
        VENV.mkdir(exist_ok=True)
        UNFINISHED.touch()
        options = ['--system-site-packages'] if ros_is_sourced() else []
        run([sys.executable, '-m', 'venv', *options, VENV], progress)


def sees_system():
    """Tell whether ``.venv`` sees the packages of the system, as a sourced ROS 2 needs."""
    text = (VENV / 'pyvenv.cfg').read_text()
    return 'include-system-site-packages = true' in text


def same_python():
    """Tell whether ``.venv`` runs the Python that runs this, and finds itself where it lies."""
    code = 'import sys; print("%d.%d" % sys.version_info[:2]); print(sys.prefix)'
    result = subprocess.run([str(PYTHON), '-c', code], capture_output=True, text=True)
    pip = VENV / 'bin' / 'pip'
    return (result.stdout.split('\n')[:2] == ['%d.%d' % sys.version_info[:2], str(VENV)]
            and (not pip.exists() or str(VENV) in pip.read_text().split('\n')[0]))


def install(progress):
    """Install the pinned packages, and this package editable."""
    constraints = ROOT / 'requirements' / 'constraints.txt'
    pip = [PYTHON, '-m', 'pip', 'install', '--progress-bar', 'off', '--retries', '3',
           '--no-input', '-c', constraints]
    progress.say('Installing the build tools')
    run([*pip, 'setuptools', 'cmake', 'ninja'], progress)
    progress.say('Downloads are some 500 MB the first time; some GB where PyTorch brings CUDA')
    progress.say('Looking up the packages')
    kind = 'ros-sourced.txt' if ros_is_sourced() else 'ros-wheels.txt'
    run([*pip, '--no-build-isolation', '-r', ROOT / 'requirements' / kind,
         '-e', f'.[{EXTRAS}]'], progress)
    if ros_is_sourced() and not imports('cv2'):
        run([*pip, 'opencv-python-headless==4.11.0.86'], progress)


def imports(*modules):
    """Tell whether the environment's Python can import all of ``modules``."""
    return subprocess.run([str(PYTHON), '-c', f'import {", ".join(modules)}'],
                          capture_output=True, env=runtime()).returncode == 0


def runtime():
    """Return the environment in which interfaces installed into ``.venv`` are found."""
    env = dict(os.environ)
    if ros_is_sourced():
        env['LD_LIBRARY_PATH'] = f"{VENV}/lib:{env.get('LD_LIBRARY_PATH', '')}"
    else:
        for name in ('PYTHONPATH', 'PYTHONHOME', 'LD_LIBRARY_PATH', 'AMENT_PREFIX_PATH',
                     '_ROS_WHEELS_BOOTSTRAP_COMPLETE'):
            env.pop(name, None)
    return env


def tool(name):
    """Return the path of a build tool, of ``.venv`` or (where that sees it) of the system."""
    path = shutil.which(name, path=f"{VENV}/bin:{os.environ['PATH']}")
    if path is None:
        raise SetupError(f'{name} is missing; install it (Debian, Ubuntu: sudo apt install '
                         f"{'ninja-build' if name == 'ninja' else name}) and run this again.")
    return path


def map_include_folders():
    """
    Point the wheels' CMake files at this machine's Python and NumPy headers.

    They export the folders of the machine that built the wheels.
    """
    numpy = subprocess.run([str(PYTHON), '-c', 'import numpy; print(numpy.get_include())'],
                           capture_output=True, text=True, check=True).stdout.strip()
    python = sysconfig.get_path('include')
    folders = re.compile(r'/opt/python/cp\d+-cp\d+/(include/python[\d.]+|'
                         r'lib/python[\d.]+/site-packages/numpy/_?core/include)')
    for path in (VENV / 'share').glob('*/cmake/*_pyExport.cmake'):
        text = path.read_text()
        mapped = folders.sub(lambda m: python if m[1].startswith('include') else numpy, text)
        if mapped != text:
            path.write_text(mapped)


def build_carla_msgs(progress):
    """Build our carla_msgs into ``.venv``, unless the sourced ROS 2 has its own."""
    env = runtime()
    prefixes = [str(VENV)]
    if ros_is_sourced():
        if not (VENV / 'share' / 'carla_msgs').exists() and imports('carla_msgs.msg'):
            progress.say('Using the carla_msgs of the sourced ROS 2')
            return
        prefixes += os.environ['AMENT_PREFIX_PATH'].split(os.pathsep)
    else:
        map_include_folders()
    progress.say('Building the carla_msgs messages')
    env.update(VIRTUAL_ENV=str(VENV), PATH=f"{VENV}/bin:{env['PATH']}",
               AMENT_PREFIX_PATH=os.pathsep.join(prefixes))
    build = CACHE / 'build' / 'carla_msgs'
    shutil.rmtree(build, ignore_errors=True)
    run([tool('cmake'), '-G', 'Ninja', '-S', ROOT / 'interfaces' / 'carla_msgs',
         '-B', build, f'-DCMAKE_INSTALL_PREFIX={VENV}',
         f"-DCMAKE_PREFIX_PATH={';'.join(prefixes)}",
         f'-DPython3_EXECUTABLE={PYTHON}', '-DCMAKE_BUILD_TYPE=Release',
         '-DBUILD_TESTING=OFF'], progress, env=env)
    run([tool('ninja'), '-C', build, 'install'], progress, env=env,
        what='Building the carla_msgs messages')
    shutil.rmtree(build, ignore_errors=True)


def check():
    """Import what everything stands on, so that a broken environment never gets its stamp."""
    code = 'import av_td3_ros, carla, carla_msgs.msg, cv_bridge, cv2, numba, rclpy, torch'
    result = subprocess.run([str(PYTHON), '-c', code], capture_output=True, text=True,
                            env=runtime())
    if result.returncode:
        raise SetupError(f'the environment does not work: {result.stderr.strip().splitlines()[-1]}'
                         '; delete it (rm -r .venv) and run this again.')


def prepare():
    """Make or complete the environment."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / 'setup.lock', 'w') as lock, Progress() as progress:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say('Waiting for another set-up of this clone')
            fcntl.flock(lock, fcntl.LOCK_EX)
            if ready():
                return
        LOG.write_text('')
        make_venv(progress)
        STAMP.unlink(missing_ok=True)
        install(progress)
        build_carla_msgs(progress)
        progress.say('Checking that everything can be imported')
        check()
        UNFINISHED.unlink(missing_ok=True)
        STAMP.write_text(json.dumps(inputs(), indent=2) + '\n')
        shutil.rmtree(CACHE / 'pip', ignore_errors=True)
        progress.say('.venv is ready')


def main():
    """Make the environment, or with ``--ready`` only tell whether it is there."""
    if sys.argv[1:] == ['--ready']:
        return 0 if ready() else 1
    try:
        prepare()
    except SetupError as error:
        print(f'av_td3_ros: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        print(f'av_td3_ros: {explain(str(error), ["set-up"])}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nav_td3_ros: set-up was interrupted; run this again to finish it.',
              file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
