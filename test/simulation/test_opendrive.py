# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bad OpenDRIVE files end in one clear sentence, never in a crash of CARLA's parser."""

import os
import random
import re
import subprocess
import sys

import pytest
from town_support import load, ROOT, straight

from av_td3_ros.simulation.town import Town, TownError

GOOD = straight(60.0)


@pytest.mark.parametrize('old, new, message', [
    (GOOD, '', 'well-formed'),
    (GOOD, '<OpenDRIVE', 'well-formed'),
    (GOOD, '<svg/>', 'root element is <svg>'),
    (GOOD, '<OpenDRIVE/>', 'no <header>'),
    (GOOD, '<OpenDRIVE><header/></OpenDRIVE>', 'no driving lane'),
    ('type="driving"', 'type="sidewalk"', 'no driving lane'),
    ('length="60.0"', 'length="nan"', "'length' of <road> is nan"),
    ('length="60.0"', 'length="-3"', "'length' of <road> is -3"),
    ('<road name="r" length="60.0"', '<road name="r"', "<road> needs a number in 'length'"),
    ('id="7"', 'id="seven"', "needs a whole number in 'id', not 'seven'"),
    ('id="7"', 'id="-7"', 'cannot be negative'),
    ('x="0"', 'x="1e300"', "'x' of <geometry> is 1e\\+300"),
    ('<line/>', '<circle/>', 'a geometry must be one of line, arc'),
    ('<line/>', '<arc/>', "<arc> needs a number in 'curvature'"),
    ('<geometry s="0"', '<geometry s="2"', 'must start at s = 0'),
    ('<laneSection s="0">', '<laneSection s="1">', 'must start at 0'),
    ('<lane id="0" ', '<lane id="5" ', 'lane 5 stands in <center>'),
    ('<lane id="-2"', '<lane id="-3"', 'leave a gap'),
    ('<lane id="-2"', '<lane id="-1"', 'lane -1 stands twice'),
    ('<width sOffset="0" a="3.5" b="0" c="0" d="0"/>', '', 'has no <width>'),
    ('a="3.5"', 'a="inf"', "'a' of <width> is inf"),
    ('junction="-1"', 'junction="4"', 'lies in junction 4, which is not in the map'),
    ('junction="-1"><link/>', 'junction="-1"><link><successor elementType="road" elementId="9" '
     'contactPoint="start"/></link>', 'leads to road 9, which is not in the map'),
    ('junction="-1"><link/>', 'junction="-1"><link><successor elementType="moon" elementId="9"/>'
     '</link>', 'elementType road or junction'),
    ('</OpenDRIVE>', '<junction id="1"><connection incomingRoad="3" connectingRoad="7"/>'
     '</junction></OpenDRIVE>', 'junction 1 leads to road 3'),
    ('</OpenDRIVE>', '<junction id="1"><connection incomingRoad="7" connectingRoad="7" '
     'contactPoint="start"><laneLink from="-1" to="-4"/></connection></junction></OpenDRIVE>',
     'lane -4 of road 7'),
])
def test_bad_files_say_what_is_wrong(old, new, message):
    assert old in GOOD
    with pytest.raises(TownError, match=message) as caught:
        Town.from_opendrive(GOOD.replace(old, new))
    assert '\n' not in str(caught.value)


def test_lane_link_to_nowhere():
    # CARLA's parser dies of these (segmentation fault), so the check must come first.
    text = load('town_b').opendrive
    broken = text.replace('<successor id="-1" />', '<successor id="-9" />', 1)
    assert broken != text
    with pytest.raises(TownError, match='leads to lane -9, which is not there'):
        Town.from_opendrive(broken)


def test_entities_do_not_explode():
    bomb = ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
            + ''.join(f'<!ENTITY {b} "{"&" + a + ";" * 1}{("&" + a + ";") * 9}">'
                      for a, b in zip('abcdefghi', 'bcdefghij'))
            + ']><OpenDRIVE>&j;</OpenDRIVE>')
    with pytest.raises(TownError):
        Town.from_opendrive(bomb)


def mutated(text: str, seed: int) -> str:
    """Return a text damaged as files are: cut, overwritten, or with parts lost or doubled."""
    rng = random.Random(seed)
    attributes = list(re.finditer(r' \w+="([^"]*)"', text))
    numbers = [m for m in attributes if re.fullmatch(r'-?[\d.]+', m[1])]
    elements = list(re.finditer(r'<(\w+)\b[^>]*?/>|<(lane|geometry|roadMark)\b.*?</\2>', text,
                                re.DOTALL))
    kind = rng.randrange(6)
    if kind == 0:
        return text[:rng.randrange(len(text))]
    if kind == 1:
        i = rng.randrange(len(text))
        return text[:i] + chr(rng.randrange(32, 127)) + text[i + 1:]
    if kind == 2:
        found = rng.choice(numbers)
        value = rng.choice(['nan', '-1', '1e30', '', 'x', '0', '3', '99999999999', '-7'])
        return text[:found.start(1)] + value + text[found.end(1):]
    if kind == 3:
        found = rng.choice(attributes)
        return text[:found.start()] + text[found.end():]
    found = rng.choice(elements)
    double = found[0] * 2 if kind == 4 else ''
    return text[:found.start()] + double + text[found.end():]


_FUZZ = """
import sys
from test_opendrive import mutated
from av_td3_ros.simulation.town import Town, TownError
text = sys.stdin.read()
for seed in range(int(sys.argv[1]), int(sys.argv[2])):
    print(seed, flush=True)
    try:
        Town.from_opendrive(mutated(text, seed))
    except TownError as error:
        assert str(error) and chr(10) not in str(error), error
"""


@pytest.mark.timeout(0)
def test_damaged_files_never_crash():
    # In a process of its own, which a crash of CARLA's parser would end. A town of four
    # streets keeps it short; AV_TD3_FUZZ=N runs N cases.
    sys.path.insert(0, str(ROOT / 'scripts'))
    try:
        from generate_town import generate
        from town_layouts import Layout, Street
    finally:
        sys.path.pop(0)
    layout = Layout({0: (0.0, 0.0), 1: (90.0, 0.0), 2: (45.0, 70.0)}, (
        Street(0, 1, 2, centre='solid_solid'), Street(1, 2, 1, ((85.0, 60.0),), (15.0,)),
        Street(2, 0), Street(0, 1, 1, ((0.0, -60.0), (90.0, -60.0)), (15.0, 15.0))))
    cases = int(os.environ.get('AV_TD3_FUZZ', '60'))
    result = subprocess.run(
        [sys.executable, '-c', _FUZZ, '0', str(cases)], input=generate('small', layout),
        capture_output=True, text=True, timeout=200 + 3 * cases,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(
            [str(ROOT), str(ROOT / 'test' / 'simulation')])})
    last = result.stdout.split()[-1:] or ['none']
    assert result.returncode == 0, f'case {last[0]}: {result.returncode} {result.stderr[-2000:]}'
    assert last == [str(cases - 1)]
