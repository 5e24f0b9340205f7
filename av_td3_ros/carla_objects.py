# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of objects that ``carla_spawn_objects`` of the CARLA ROS bridge spawns."""

from __future__ import annotations

import json
from pathlib import Path
import tempfile

ROLE = 'ego_vehicle'


class ObjectsError(RuntimeError):
    """A file of objects cannot be used; the message names it and says why."""


def objects_for(path: Path, role: str) -> Path:
    """
    Return a file of objects with a vehicle named ``role``.

    That is ``path`` itself where it has one; else a temporary copy in which its only vehicle, or
    the one that is called ``ego_vehicle``, has that name. The spawner takes a vehicle's ``id`` for
    its role name, and the bridge takes that for the topics' segment. Raises
    :class:`ObjectsError` where there is no such vehicle or the file is not of this kind.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        vehicles = [item for item in content['objects']
                    if str(item['type']).startswith('vehicle.')]
        names = [str(item['id']) for item in vehicles]
    except (OSError, ValueError) as error:
        raise ObjectsError(f'{path} cannot be read as objects to spawn: {error}.') from None
    except (KeyError, TypeError):
        raise ObjectsError(f'{path} holds no objects to spawn: they are a list "objects" with '
                           'a "type" and an "id" each.') from None
    if role in names:
        return path
    if len(vehicles) != 1:
        vehicles = [item for item in vehicles if item['id'] == ROLE]
    if not vehicles:
        raise ObjectsError(f'{path} has no vehicle {role!r}; it has '
                           + (', '.join(map(repr, names)) or 'none') + '.')
    vehicles[0]['id'] = role
    with tempfile.NamedTemporaryFile('w', prefix='objects_', suffix='.json', delete=False,
                                     encoding='utf-8') as file:
        json.dump(content, file, indent=4)
    return Path(file.name)
