"""RC4, which NTLM wraps its session key and its signatures in (MS-NLMP 3.1.5.1.2, 3.4.4.2).

A few bytes a login, so plain Python does; the copy in OpenSSL belongs to a provider that is usually not loaded.
"""


class Rc4:
    """One key stream, which goes on from call to call."""

    def __init__(self, key: bytes) -> None:
        box = list(range(256))
        j = 0
        for i in range(256):
            j = (j + box[i] + key[i % len(key)]) & 0xFF
            box[i], box[j] = box[j], box[i]
        self._box = box
        self._i = 0
        self._j = 0

    def apply(self, data: bytes) -> bytes:
        """Encrypt or decrypt the next bytes."""
        box, i, j = self._box, self._i, self._j
        out = bytearray()
        for byte in data:
            i = (i + 1) & 0xFF
            j = (j + box[i]) & 0xFF
            box[i], box[j] = box[j], box[i]
            out.append(byte ^ box[(box[i] + box[j]) & 0xFF])
        self._i, self._j = i, j
        return bytes(out)
