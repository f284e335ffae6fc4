"""CityHash128 of the CityHash release 1.0.2, in plain integers: the twin of `core_ext/cityhash.pxd`.

ClickHouse froze this release for its frames; later releases of the same hash give other values.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1
_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_K3 = 0xC949D7C7509E6557
_MIX = 0x9DDFEA08EB382D69


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _rotate(value: int, bits: int) -> int:
    return ((value >> bits) | (value << (64 - bits))) & _MASK if bits else value


def _fold(value: int) -> int:
    return value ^ (value >> 47)


def _mix(low: int, high: int) -> int:
    first = _fold(((low ^ high) * _MIX) & _MASK)
    second = _fold(((high ^ first) * _MIX) & _MASK)
    return (second * _MIX) & _MASK


def _short(data: bytes) -> int:
    size = len(data)
    if size > 8:
        head, tail = _u64(data, 0), _u64(data, size - 8)
        return _mix(head, _rotate((tail + size) & _MASK, size)) ^ tail
    if size >= 4:
        return _mix((size + (_u32(data, 0) << 3)) & _MASK, _u32(data, size - 4))
    if size:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[size - 1] << 2)
        return (_fold((y * _K2 ^ z * _K3) & _MASK) * _K2) & _MASK
    return _K2


def _weak(data: bytes, at: int, first: int, second: int) -> tuple[int, int]:
    w, x, y, z = (_u64(data, at + 8 * word) for word in range(4))
    first = (first + w) & _MASK
    second = _rotate((second + first + z) & _MASK, 21)
    carried = first
    first = (first + x + y) & _MASK
    second = (second + _rotate(first, 44)) & _MASK
    return (first + z) & _MASK, (second + carried) & _MASK


def _murmur(data: bytes, low: int, high: int) -> tuple[int, int]:
    size = len(data)
    a, b = low, high
    if size <= 16:
        a = (_fold((a * _K1) & _MASK) * _K1) & _MASK
        c = (b * _K1 + _short(data)) & _MASK
        d = _fold((a + (_u64(data, 0) if size >= 8 else c)) & _MASK)
    else:
        c = _mix((_u64(data, size - 8) + _K1) & _MASK, a)
        d = _mix((b + size) & _MASK, (c + _u64(data, size - 16)) & _MASK)
        a = (a + d) & _MASK
        for at in range(0, size - 16, 16):
            a = ((a ^ (_fold((_u64(data, at) * _K1) & _MASK) * _K1)) * _K1) & _MASK
            b ^= a
            c = ((c ^ (_fold((_u64(data, at + 8) * _K1) & _MASK) * _K1)) * _K1) & _MASK
            d ^= c
    a = _mix(a, c)
    b = _mix(d, b)
    return a ^ b, _mix(b, a)


def _seeded(data: bytes, low: int, high: int) -> tuple[int, int]:
    size = len(data)
    if size < 128:
        return _murmur(data, low, high)
    x, y, z = low, high, (size * _K1) & _MASK
    v0 = (_rotate(y ^ _K1, 49) * _K1 + _u64(data, 0)) & _MASK
    v1 = (_rotate(v0, 42) * _K1 + _u64(data, 8)) & _MASK
    w0 = (_rotate((y + z) & _MASK, 35) * _K1 + x) & _MASK
    w1 = (_rotate((x + _u64(data, 88)) & _MASK, 53) * _K1) & _MASK
    at = 0
    while size - at >= 128:
        for _ in range(2):
            x = (_rotate((x + y + v0 + _u64(data, at + 16)) & _MASK, 37) * _K1) & _MASK
            y = (_rotate((y + v1 + _u64(data, at + 48)) & _MASK, 42) * _K1) & _MASK
            x ^= w1
            y ^= v0
            z = _rotate(z ^ w0, 33)
            v0, v1 = _weak(data, at, (v1 * _K1) & _MASK, (x + w0) & _MASK)
            w0, w1 = _weak(data, at + 32, (z + w1) & _MASK, y)
            z, x = x, z
            at += 64
    y = (y + _rotate(w0, 37) * _K0 + z) & _MASK
    x = (x + _rotate((v0 + z) & _MASK, 49) * _K0) & _MASK
    left = size - at
    done = 0
    while done < left:
        done += 32
        y = (_rotate((y - x) & _MASK, 42) * _K0 + v1) & _MASK
        w0 = (w0 + _u64(data, size - done + 16)) & _MASK
        x = (_rotate(x, 49) * _K0 + w0) & _MASK
        w0 = (w0 + v0) & _MASK
        v0, v1 = _weak(data, size - done, v0, v1)
    x = _mix(x, v0)
    y = _mix(y, w0)
    return (_mix((x + v1) & _MASK, w1) + y) & _MASK, _mix((x + w1) & _MASK, (y + v1) & _MASK)


def cityhash128(data: bytes) -> bytes:
    """The 16 bytes that stand before a frame: low word, high word, little-endian."""
    size = len(data)
    if size >= 16:
        low, high = _seeded(data[16:], _u64(data, 0) ^ _K3, _u64(data, 8))
    elif size >= 8:
        low, high = _seeded(b"", _u64(data, 0) ^ ((size * _K0) & _MASK), _u64(data, size - 8) ^ _K1)
    else:
        low, high = _seeded(data, _K0, _K1)
    return low.to_bytes(8, "little") + high.to_bytes(8, "little")
