# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Histograms and pictures in event files, read back by TensorBoard itself and by OpenCV."""

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_training_log import drive, make_learner

from av_td3_ros.learning.telemetry.event_file import EventFile
from av_td3_ros.learning.telemetry.training_log import TrainingLog


def open_events(folder):
    events = EventAccumulator(str(folder), size_guidance={'images': 0, 'histograms': 0})
    events.Reload()
    return events


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize('shape', [(1, 1), (84, 336), (3, 500)])
def test_a_picture_is_read_back_as_it_is(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    file = EventFile(tmp_path)
    file.write_image(1, 'straight', picture)
    file.write_image(1, 'turned', picture[::-1, ::-1])
    file.close()
    events = open_events(tmp_path)
    for tag, wanted in (('straight', picture), ('turned', picture[::-1, ::-1])):
        image, = events.Images(tag)
        assert image.encoded_image_string.startswith(b'\x89PNG')
        assert (decode(image.encoded_image_string) == wanted).all()


def test_histograms_and_images_are_read_back(tmp_path):
    values = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    picture = np.arange(84 * 336, dtype=np.uint32).astype(np.uint8).reshape(84, 336)
    file = EventFile(tmp_path)
    file.write_histograms(7, {'a/0': values, 'same': np.full(9, 3.0), 'none': np.zeros(0)})
    file.write_image(8, 'picture', picture)
    file.close()
    events = open_events(tmp_path)
    assert set(events.Tags()['histograms']) == {'a/0', 'same'}
    found, = events.Histograms('a/0')
    told = found.histogram_value
    assert found.step == 7 and told.num == 200
    assert told.min == pytest.approx(values.min()) and told.max == pytest.approx(values.max())
    assert told.sum == pytest.approx(values.sum(dtype=float))
    assert told.sum_squares == pytest.approx(np.square(values.astype(float)).sum())
    below = [(values <= limit).sum() for limit in told.bucket_limit]
    # A value on a limit belongs to the bucket above it, but for the last.
    assert np.cumsum(told.bucket) == pytest.approx(below, abs=1)
    assert events.Histograms('same')[0].histogram_value.num == 9
    image, = events.Images('picture')
    assert (image.step, image.width, image.height) == (8, 336, 84)
    assert (decode(image.encoded_image_string) == picture).all()


def test_a_training_shows_what_it_learns_from(tmp_path):
    learner = make_learner()
    log = TrainingLog(tmp_path, learner, every=10, examine_every=20)
    batches, rewards, updated, added = [], [], log.updated, log.added

    def update_seen(report, batch):
        batches.append((learner.transitions, batch))
        updated(report, batch)

    def addition_seen(stream, reward, terminated, truncated):
        rewards.append(reward)
        added(stream, reward, terminated, truncated)
    log.updated, log.added = update_seen, addition_seen
    drive(learner, 6, log)
    log.close()
    events = open_events(tmp_path)
    shown = events.Images('observation/stack')
    assert len(shown) >= 2
    last, before = shown[-1].step, shown[-2].step
    batch = next(batch for step, batch in batches if step == last)
    assert (decode(shown[-1].encoded_image_string)
            == np.hstack(batch.observation['image'][0].numpy())).all()
    histogram = {tag: events.Histograms(tag)[-1].histogram_value
                 for tag in ('actions/0', 'actions/1', 'rewards', 'estimates')}
    assert histogram['actions/1'].sum == pytest.approx(batch.action[:, 1].double().sum().item())
    assert histogram['estimates'].num == len(batch.action)
    since = rewards[before:last]
    assert histogram['rewards'].num == len(since)
    assert histogram['rewards'].sum == pytest.approx(sum(since))
