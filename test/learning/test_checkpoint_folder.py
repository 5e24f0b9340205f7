# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Names, ``latest``, retention and fallback of a folder of checkpoints; saving behind."""

import fcntl
import os
import threading

from agents import fingerprint, flat_agent, image_agent, learn
import pytest
import torch

from av_td3_ros.learning.background import BackgroundSaver
from av_td3_ros.learning.checkpoint import CheckpointError, CheckpointNotFound
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, RetentionSettings
from av_td3_ros.learning.durable import Filesystem


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def numbers(folder):
    return sorted(int(path.stem[4:]) for path in folder.root.glob('td3_*.pth'))


def save_series(folder, agent, count, evaluations=None):
    for index in range(count):
        learn(agent, 1)
        folder.save(agent, evaluation=None if evaluations is None else evaluations[index])


def test_latest_follows_each_save(tmp_path):
    folder, agent = CheckpointFolder(tmp_path / 'new' / 'folder'), flat_agent()
    with pytest.raises(CheckpointNotFound):
        folder.load(agent)
    for name, expected in (('', 'td3_000000001.pth'), ('mine', 'mine.pth'),
                           ('', 'td3_000000003.pth')):
        learn(agent, 1)
        saved = folder.save(agent, name)
        assert saved.path.name == os.readlink(folder.root / 'latest') == expected
        assert saved.total_it == agent.total_it
    assert folder.load(flat_agent()).total_it == 3
    assert folder.load(flat_agent(), 'mine').total_it == 2
    # Any torch program can follow the link.
    assert torch.load(folder.root / 'latest', weights_only=True)['total_it'] == 3


def test_retention_keeps_last_best_and_milestones(tmp_path):
    folder = CheckpointFolder(tmp_path, RetentionSettings(2, 1, 4))
    save_series(folder, flat_agent(), 10, [0, 1, 9, 1, 1, 1, 1, 1, 1, 1])
    # Milestones: the first in each four updates: 1, 4, 8. Best: 3. Last: 9, 10.
    assert numbers(folder) == [1, 3, 4, 8, 9, 10]


def test_named_checkpoints_always_stay(tmp_path):
    folder, agent = CheckpointFolder(tmp_path, RetentionSettings(1, 0, 0)), flat_agent()
    folder.save(agent, 'keep_me')
    save_series(folder, agent, 3)
    assert numbers(folder) == [3] and (tmp_path / 'keep_me.pth').exists()
    # Files with such a name would not stay.
    for name in ('td3_000000005', 'td3_000000005.pth', 'td3_1234567890'):
        with pytest.raises(CheckpointError, match='choose another'):
            folder.save(agent, name)
    folder.save(agent, 'td3_5')
    folder.save(agent, 'td3_10000')
    save_series(folder, agent, 2)
    assert {'td3_5.pth', 'td3_10000.pth'} <= {path.name for path in tmp_path.iterdir()}


def test_nothing_is_removed_unless_the_newest_verifies(tmp_path):
    class Spoiling(Filesystem):
        """A disk that acknowledges and keeps something else."""

        def rename(self, source, target):
            if target.suffix == '.pth':
                data = bytearray(source.read_bytes())
                data[len(data) // 2] ^= 1
                source.write_bytes(data)
            super().rename(source, target)

    agent, settings = flat_agent(), RetentionSettings(1, 0, 0)
    save_series(CheckpointFolder(tmp_path, settings), agent, 1)
    folder = CheckpointFolder(tmp_path, settings, Spoiling())
    save_series(folder, agent, 2)
    assert numbers(folder) == [1, 2, 3]
    assert folder.load(flat_agent()).total_it == 1


def test_damaged_latest_falls_back_and_says_so(tmp_path, caplog):
    folder, agent = CheckpointFolder(tmp_path), flat_agent()
    save_series(folder, agent, 3)
    data = bytearray((tmp_path / 'td3_000000003.pth').read_bytes())
    data[1000] ^= 4
    (tmp_path / 'td3_000000003.pth').write_bytes(data)
    loaded = folder.load(flat_agent())
    assert loaded.total_it == 2
    assert 'td3_000000003.pth' in loaded.warnings[0] and 'SHA-256' in loaded.warnings[0]
    assert 'td3_000000002.pth is loaded instead' in caplog.text
    (tmp_path / 'td3_000000003.pth').unlink()
    assert 'does not exist' in folder.load(flat_agent()).warnings[0]
    (tmp_path / 'latest').unlink()
    assert 'does not exist' in folder.load(flat_agent()).warnings[0]
    # As a copy of the folder by way of a file system without links leaves it.
    (tmp_path / 'latest').write_bytes((tmp_path / 'td3_000000002.pth').read_bytes())
    assert 'latest is no link' in folder.load(flat_agent()).warnings[0]


def test_latest_of_another_kind_is_no_damage(tmp_path):
    """Older files are not tried when the newest is whole but not this agent's."""
    folder = CheckpointFolder(tmp_path)
    folder.save(flat_agent(), 'mine')
    folder.save(flat_agent(state_dim=7), 'other')
    with pytest.raises(CheckpointError, match='state_dim is 7 in the file and 5'):
        folder.load(flat_agent())


@pytest.mark.parametrize('name', ['../x', '/etc/passwd', 'a/../../x', '.hidden', 'a/.b', 'x\0y'])
def test_names_stay_inside(tmp_path, name):
    folder = CheckpointFolder(tmp_path / 'root')
    for use in (lambda: folder.save(flat_agent(), name), lambda: folder.load(flat_agent(), name)):
        with pytest.raises(CheckpointError):
            use()
    assert os.listdir(tmp_path) == ['root'] and not os.listdir(tmp_path / 'root')


def test_roots_that_are_no_folder_are_refused(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'device').symlink_to('/dev/null')
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    (tmp_path / 'nowhere').symlink_to(tmp_path / 'missing' / 'folder')
    before = sorted(os.listdir(tmp_path))
    for root in ('/dev/null', 'file', 'fifo', 'device', 'loop', 'nowhere', 'file/../root',
                 'file/x', 'x' * 300, 'a\0b'):
        with pytest.raises(CheckpointError, match='cannot be made|is no folder'):
            CheckpointFolder(f'{tmp_path}/{root}' if root[0] != '/' else root)
    assert sorted(os.listdir(tmp_path)) == before
    # The root itself is the user's choice, by way of a link or of .. too.
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    for root in ('link', 'real/../real'):
        CheckpointFolder(f'{tmp_path}/{root}').save(flat_agent(), 'x')
    assert (tmp_path / 'real' / 'x.pth').is_file()


def test_links_stay_inside(tmp_path):
    outside = tmp_path / 'outside'
    CheckpointFolder(outside).save(flat_agent(), 'x')
    folder = CheckpointFolder(tmp_path / 'root')
    (folder.root / 'link').symlink_to(outside)
    (folder.root / 'file.pth').symlink_to(outside / 'x.pth')
    (folder.root / 'latest').symlink_to(outside / 'x.pth')
    for name in ('link/x', 'file', 'latest'):
        with pytest.raises(CheckpointError, match='leads out'):
            folder.load(flat_agent(), name)
    with pytest.raises(CheckpointError):
        folder.save(flat_agent(), 'latest')


def test_retention_leaves_alone_what_it_did_not_number(tmp_path):
    folder, agent = CheckpointFolder(tmp_path, RetentionSettings(1, 0, 0)), flat_agent()
    named = {'td3_10000.pth', 'td3_5.pth', 'td3_0000000001.pth', 'td3_10k.pth'}
    for name in named:      # also files of other programs, put there to be loaded
        agent.save_checkpoint(tmp_path / name)
    save_series(folder, agent, 3)
    assert {path.name for path in folder.newest_first()} == named | {'td3_000000003.pth'}


def test_leftovers_of_the_dead_go_and_of_the_living_stay(tmp_path):
    (tmp_path / '.a.pth.0123456789ab.tmp').write_bytes(b'half')
    living = tmp_path / '.b.pth.cdef01234567.tmp'
    with open(living, 'wb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        CheckpointFolder(tmp_path)
        assert os.listdir(tmp_path) == [living.name]
    CheckpointFolder(tmp_path)
    assert not os.listdir(tmp_path)


def test_temporary_files_of_other_programs_stay(tmp_path):
    others = {'.notes.tmp', '.a.pth.0123.tmp', '.0123456789ab.tmp', '.a.pth.0123456789AB.tmp'}
    for name in others:
        (tmp_path / name).write_text('not ours')
    CheckpointFolder(tmp_path)
    flat_agent().save_checkpoint(tmp_path / 'a.pth')
    assert set(os.listdir(tmp_path)) == others | {'a.pth'}


def test_damaged_evaluations_are_no_obstacle(tmp_path, caplog):
    folder = CheckpointFolder(tmp_path, RetentionSettings(1, 1, 0))
    (tmp_path / 'evaluations.json').write_text('{"a": ')
    save_series(folder, flat_agent(), 2, [5.0, 1.0])
    assert folder.evaluations()['td3_000000002.pth'] == 1.0 and 'cannot be read' in caplog.text


def test_an_evaluation_is_known_before_latest_moves(tmp_path):
    """Who is killed between the two goes back to an older one, and saves this one anew."""
    class Watching(Filesystem):
        """Notes what is known of evaluations when links move."""

        known = []

        def symlink(self, target, path):
            self.known.append(CheckpointFolder(tmp_path).evaluations())
            super().symlink(target, path)

    save_series(CheckpointFolder(tmp_path, files=Watching()), flat_agent(), 2, [3.0, 5.0])
    assert [sorted(known.values()) for known in Watching.known] == [[3.0], [3.0, 5.0]]


def test_a_checkpoint_is_saved_where_its_evaluation_cannot_be(tmp_path, caplog):
    class Refusing(Filesystem):
        """A disk with room for checkpoints alone."""

        def rename(self, source, target):
            if target.name == 'evaluations.json':
                raise OSError(28, os.strerror(28))
            super().rename(source, target)

    folder, agent = CheckpointFolder(tmp_path, files=Refusing()), flat_agent()
    for value in (1.0, float('nan')):
        learn(agent, 1)
        saved = folder.save(agent, evaluation=value)
        assert (tmp_path / 'latest').resolve() == saved.path
        assert f'{saved.path} may not stay as one of the best' in caplog.text
    assert folder.evaluations() == {}


@pytest.mark.parametrize('make', [flat_agent, image_agent])
def test_saving_behind_holds_the_moment_it_was_asked_for(tmp_path, make):
    """The file has the state at the call, though learning goes on while it is written."""
    class Waiting(Filesystem):
        """Writes nothing before it is let."""

        let = threading.Event()

        def create(self, path):
            assert self.let.wait(60.0)
            return super().create(path)

    agent, expected = make(), make()
    learn(agent, 3, size=2)
    learn(expected, 3, size=2)
    Waiting.let.clear()
    with BackgroundSaver(CheckpointFolder(tmp_path, files=Waiting())) as saver:
        first = saver.save(agent)
        learn(agent, 1, size=2)
        second = saver.save(agent, 'second')
        learn(agent, 2, size=2)
        assert saver.busy and not first.done()
        with pytest.raises(CheckpointError, match='under way'):
            saver.save(agent)
        with pytest.raises(CheckpointError, match='leads out|no name'):
            saver.save(agent, '../x')
        Waiting.let.set()
        assert first.result(60.0).total_it == 3 and second.result(60.0).total_it == 4
    for name in ('td3_000000003', 'second'):
        other = make(seed=8)
        CheckpointFolder(tmp_path).load(other, name)
        assert fingerprint(other) == fingerprint(expected)
        learn(expected, 1, size=2)


def test_saving_behind_reports_errors(tmp_path):
    class Full(Filesystem):
        """A disk without room."""

        def write(self, descriptor, data):
            raise OSError(28, os.strerror(28))

    agent = flat_agent()
    with BackgroundSaver(CheckpointFolder(tmp_path, files=Full())) as saver:
        future = saver.save(agent)
        with pytest.raises(CheckpointError, match='ENOSPC'):
            future.result(60.0)
        assert not os.listdir(tmp_path)
        learn(agent, 2)
        saver.folder = CheckpointFolder(tmp_path)
        assert saver.save(agent).result(60.0).total_it == 2
