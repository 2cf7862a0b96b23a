"""Random damage to a file: changes of its bytes and, if it is JSON, of its values."""

import copy
import json
import math

_LONGEST = 64  # bytes that are inserted
# Nested brackets: the parser of JSON just takes the first number of them, and not the second.
_DEPTHS = (900, 100_000)

# Replacements of values of JSON. Python also writes NaN and infinity, which are none.
_VALUES = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 4096, 10**6, 10**9, 2**31, 2**63, 10**30, -(10**30)),
    *(0.5, -0.5, 4.0, 1e-300, 1e30, 1e308, math.nan, math.inf, -math.inf),
    *(True, False, None, "", "x", "4", "1e9", "../..", "a/b", "total", "\0", "x" * 10_000),
    *([], {}, [4], [[4]], {"a": 4}, [None] * 10_000, *(f"{depth} deep" for depth in _DEPTHS)),
)


def damaged(contents, random):
    """The bytes of a file after one to three changes; now and then they are the same."""
    contents = bytearray(contents)
    for _ in range((1, 1, 1, 2, 3)[random.integers(5)]):
        match random.integers(7):
            case 0:
                for spot in _spots(contents, random):
                    contents[spot] ^= 1 << random.integers(8)
            case 1:
                for spot in _spots(contents, random):
                    contents[spot] = (0, 255, 127, 128, random.integers(256))[random.integers(5)]
            case 2:
                del contents[random.integers(len(contents) + 1) :]
            case 3:
                del contents[_span(contents, random)]
            case 4:
                at = random.integers(len(contents) + 1)
                contents[at:at] = contents[_span(contents, random)]
            case 5:
                span = _span(contents, random)
                contents[span] = bytes(len(contents[span]))
            case 6:
                at = random.integers(len(contents) + 1)
                contents[at:at] = random.bytes(random.integers(1, _LONGEST))
    return bytes(contents)


def with_other_values(text, random):
    """The bytes of an object of JSON after one or two changes of its values."""
    value = json.loads(text)
    for _ in range((1, 1, 2)[random.integers(3)]):
        _change([*_places(value)], random)
    text = json.dumps(value, indent=2).encode()
    for depth in _DEPTHS:
        text = text.replace(b'"%d deep"' % depth, b"[" * depth + b"]" * depth)
    return text


def _change(places, random):
    place, key = places[random.integers(len(places))]
    kind = random.integers(6)
    number = isinstance(place[key], (int, float)) and not isinstance(place[key], bool)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, list):
        place.insert(key, copy.deepcopy(place[key]))
    elif kind == 1:
        place[f"{key}_"] = copy.deepcopy(place[key])
    elif kind == 2:
        other, other_key = places[random.integers(len(places))]
        place[key] = copy.deepcopy(other[other_key])
    elif kind == 3 and number:
        place[key] = (place[key] + 1, place[key] * 10, -place[key])[random.integers(3)]
    else:
        place[key] = copy.deepcopy(_VALUES[random.integers(len(_VALUES))])


def _places(value):
    """Yields (dict or list, key or index) of all values that are nested in one."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in [*keys]:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def _spots(contents, random):
    for _ in range((1, 1, 1, 2, 8)[random.integers(5)] if contents else 0):
        yield random.integers(len(contents))


def _span(contents, random):
    start = random.integers(len(contents) + 1)
    longest = (1, 4, 64, len(contents) + 1)[random.integers(4)]
    return slice(start, start + random.integers(1, longest + 1))
