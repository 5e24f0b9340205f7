# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of reading bags: both storages, every compression, and damage of every kind."""

import hashlib
import shutil
import sqlite3
import struct
import zlib

from bag_support import make_bag, picture, TICK
import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from av_td3_ros.driving.pictures import view_image
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.definitions import Decoder
from av_td3_ros.evaluation.storage import BagError

IMAGES = '/carla/ego_vehicle/rgb_front/image'
KINDS = [('mcap', 'none'), ('mcap', 'file'), ('mcap', 'message'), ('mcap', 'storage'),
         ('sqlite3', 'none'), ('sqlite3', 'file'), ('sqlite3', 'message')]


def content(bag, name=None):
    """Return (time, topic, bytes) of all messages in the order in which they were received."""
    wanted = [n for n, topic in enumerate(bag.topics) if name in (None, topic.name)]
    return [(m.time, bag.topics[m.topic].name, m.lost or bytes(m.data))
            for m in bag.messages(bag.order(wanted))]


def readable(bag, name=IMAGES):
    """Return the times of the messages of a topic that can be read."""
    wanted = [n for n, topic in enumerate(bag.topics) if topic.name == name]
    return [m.time for m in bag.messages(bag.order(wanted)) if not m.lost]


def hashes(folder):
    """Return every file of a bag with its hash."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return the same drive in every kind of bag."""
    folder = tmp_path_factory.mktemp('bags')
    return {kind: make_bag(folder / '_'.join(kind), 12, storage=kind[0], compression=kind[1])
            for kind in KINDS}


@pytest.fixture
def copy(bags, tmp_path):
    """Return a function that copies a bag to where it may be broken."""
    def make(*kind):
        return shutil.copytree(bags[kind], tmp_path / bags[kind].name)
    return make


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_holds_the_same(bags, kind):
    before = hashes(bags[kind])
    with Bag(bags['mcap', 'none']) as plain, Bag(bags[kind]) as bag:
        assert content(bag) == content(plain) and bag.losses == []
        assert len(bag.index) == 12 * 4 + 1
    assert hashes(bags[kind]) == before


@pytest.mark.parametrize('kind', [('mcap', 'none'), ('sqlite3', 'message')])
def test_it_reads_what_rosbags_reads(bags, kind):
    with Reader(bags[kind]) as reader:
        known = sorted((time, link.topic, bytes(raw)) for link, time, raw in reader.messages())
    with Bag(bags[kind]) as bag:
        assert sorted(content(bag)) == known


def test_pictures_are_what_was_written(bags):
    with Bag(bags['sqlite3', 'none']) as bag:
        decoder = Decoder(bag.topics)
        for time, _, data in content(bag, IMAGES):
            message = decoder.decode('sensor_msgs/msg/Image', data)
            assert np.array_equal(view_image(message), picture(time // TICK))


@pytest.mark.parametrize('kind', [('mcap', 'none'), ('mcap', 'storage'), ('sqlite3', 'none')])
def test_a_single_file_and_a_bag_without_metadata(copy, kind):
    folder = copy(*kind)
    (folder / 'metadata.yaml').unlink()
    with Bag(folder) as bag:
        assert len(readable(bag)) == 12 and 'metadata.yaml' in bag.losses[0]
    file, = folder.iterdir()
    with Bag(file) as bag:
        assert len(readable(bag)) == 12


def test_metadata_may_be_named_or_be_nonsense(copy):
    folder = copy('mcap', 'none')
    with Bag(folder / 'metadata.yaml') as bag:
        assert len(readable(bag)) == 12
    (folder / 'metadata.yaml').write_text('{[')
    with Bag(folder) as bag:
        assert len(readable(bag)) == 12 and 'cannot be read' in bag.losses[0]


@pytest.mark.parametrize('storage, end', [('mcap', '.mcap'), ('sqlite3', '.db3')])
def test_split_files_are_one_bag(tmp_path, storage, end):
    parts = [make_bag(tmp_path / f'part{n}', 5, storage=storage, start=n * 5 * TICK)
             for n in range(12)]
    folder = tmp_path / 'split'
    folder.mkdir()
    for number, part in enumerate(parts):
        shutil.copy(part / f'part{number}{end}', folder / f'split_{number}{end}')
    with Bag(folder) as bag:
        times = readable(bag)
        assert times == [TICK * n for n in range(1, 61)]


@pytest.mark.parametrize('kind', [('mcap', 'none'), ('mcap', 'storage'), ('mcap', 'file'),
                                  ('sqlite3', 'none'), ('sqlite3', 'file')])
def test_cut_off_anywhere(copy, kind):
    """At every place a bag is either read in part or refused in one sentence."""
    folder = copy(*kind)
    file = next(p for p in folder.iterdir() if p.name != 'metadata.yaml')
    whole = file.read_bytes()
    most = 0
    for size in np.linspace(0, len(whole) - 1, 40, dtype=int):
        file.write_bytes(whole[:size])
        before = hashes(folder)
        try:
            with Bag(folder) as bag:
                times = readable(bag)
                assert times == [TICK * n for n in range(1, len(times) + 1)]
                assert bag.losses or len(times) == 12
                most = max(most, len(times))
        except BagError as error:
            assert '\n' not in str(error)
        assert hashes(folder) == before
    assert most >= 6 or 'file' in kind


def chunks(data):
    """Yield start and length of the chunk records of an mcap file."""
    at = 8
    while at + 9 <= len(data):
        op, length = struct.unpack_from('<BQ', data, at)
        if op == 6:
            yield at, length
        at += 9 + length
        if op == 2:
            return


@pytest.fixture
def chunked(tmp_path):
    """Return an mcap bag of several chunks with checksums."""
    folder = make_bag(tmp_path / 'chunked', 12, size=(320, 240))
    file = folder / 'chunked.mcap'
    data = bytearray(file.read_bytes())
    for at, _ in chunks(data):
        size, = struct.unpack_from('<Q', data, at + 9 + 16)
        start = at + 9 + 32 + 8
        struct.pack_into('<I', data, at + 9 + 24, zlib.crc32(data[start:start + size]))
    file.write_bytes(data)
    assert len(list(chunks(data))) >= 3
    return folder, file, data


@pytest.mark.parametrize('which', [0, 1])
def test_a_bad_crc_costs_its_chunk_only(chunked, which):
    """Even of the first one, which describes the topics."""
    folder, file, data = chunked
    with Bag(folder) as bag:
        assert len(readable(bag)) == 12 and not bag.losses
    at, length = list(chunks(data))[which]
    data[at + 9 + length // 2] ^= 1
    file.write_bytes(data)
    with Bag(folder) as bag:
        read = content(bag, IMAGES)
        lost = [c for c in read if c[2] == 'the CRC of its chunk is wrong']
        assert len(read) == 12 and 0 < len(lost) < 8 and len(readable(bag)) == 12 - len(lost)


def test_a_damaged_summary_is_not_believed(chunked):
    folder, file, data = chunked
    start, = struct.unpack_from('<Q', data, len(data) - 8 - 20)
    footer = len(data) - 8 - 20
    struct.pack_into('<I', data, footer + 16, zlib.crc32(data[start:footer + 16]))
    file.write_bytes(data)
    with Bag(folder) as bag:
        assert not bag.losses
    data[start + 30] ^= 1
    file.write_bytes(data)
    with Bag(folder) as bag:
        assert len(readable(bag)) == 12
        assert bag.losses == ['chunked.mcap: the CRC of its summary is wrong']


def test_a_damaged_record_is_stepped_over(chunked):
    folder, file, data = chunked
    at, _ = list(chunks(data))[1]
    struct.pack_into('<BQ', data, at, 0, 1 << 60)
    file.write_bytes(data)
    with Bag(folder) as bag:
        assert 0 < len(readable(bag)) < 12
        assert any('read on at byte' in loss for loss in bag.losses)
        assert any('metadata.yaml counts 12 messages' in loss for loss in bag.losses)


def test_a_compressed_chunk_that_is_damaged(copy):
    folder = copy('mcap', 'storage')
    file = folder / 'mcap_storage.mcap'
    data = bytearray(file.read_bytes())
    at, _ = next(chunks(data))
    start = at + 9 + 32 + len('zstd') + 8
    data[start:start + 16] = bytes(16)
    file.write_bytes(data)
    with Bag(folder) as bag:
        lost = content(bag, IMAGES)
        assert len(lost) == 12 and readable(bag) == []
        assert all(reason.startswith('its chunk is damaged') for _, _, reason in lost)


def test_a_damaged_page_costs_its_messages(tmp_path):
    folder = make_bag(tmp_path / 'pages', 60, storage='sqlite3', size=(48, 36))
    file = folder / 'pages.db3'
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle:middle + 12288] = b'\xff' * 12288
    file.write_bytes(data)
    before = hashes(folder)
    with Bag(folder) as bag:
        times = readable(bag)
        assert 20 < len(times) < 60 and len(set(times)) == len(times)
        assert times[0] == TICK and times[-1] > 40 * TICK
    assert hashes(folder) == before


def test_a_write_ahead_log_is_read_and_left_alone(copy):
    folder = copy('sqlite3', 'none')
    file = folder / 'sqlite3_none.db3'
    writer = sqlite3.connect(file)
    writer.execute('PRAGMA journal_mode=WAL')
    row = writer.execute('SELECT topic_id, data FROM messages ORDER BY id DESC').fetchone()
    writer.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
                   (row[0], 99 * TICK, row[1]))
    writer.commit()
    killed = folder.with_name('killed')
    shutil.copytree(folder, killed)
    writer.close()
    before = hashes(killed)
    with Bag(killed) as bag:
        assert max(bag.index['time']) == 99 * TICK
        assert any('write-ahead log' in loss for loss in bag.losses)
    assert hashes(killed) == before


@pytest.mark.parametrize('text', [b'', b'\0' * 5000, b'no bag at all', b'\x89MCAP0\r\n',
                                  b'SQLite format 3\0' + b'\7' * 4096, b'\x28\xb5\x2f\xfd1234'])
def test_what_is_no_bag_is_one_sentence(tmp_path, text):
    for name in ('x.mcap', 'x.db3', 'x.mcap.zstd'):
        path = tmp_path / name
        path.write_bytes(text)
        with pytest.raises(BagError) as error:
            Bag(path)
        assert '\n' not in str(error.value) and len(str(error.value)) < 300
    with pytest.raises(BagError, match='does not exist'):
        Bag(tmp_path / 'nowhere')
    with pytest.raises(BagError, match='no messages'):
        (tmp_path / 'empty').mkdir()
        Bag(tmp_path / 'empty')


def test_missing_and_surplus_files_are_stated(copy):
    folder = copy('mcap', 'none')
    shutil.copy(folder / 'mcap_none.mcap', folder / 'mcap_none_1.mcap')
    with Bag(folder) as bag:
        assert any('mcap_none_1.mcap is not in metadata.yaml' in loss for loss in bag.losses)
        assert len(bag.index) == 2 * 49
    (folder / 'mcap_none.mcap').unlink()
    with Bag(folder) as bag:
        assert any('mcap_none.mcap of metadata.yaml is missing' in loss for loss in bag.losses)
