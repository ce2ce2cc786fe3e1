"""The speech engine, in a process of its own: utterances in (JSON), 16-bit samples out.

``python -m mmbench.datasets._espeak`` reads ``{"library": …, "data": …, "samples": n, "utterances":
[[text, voice, rate, pitch], …]}`` on its standard input and writes an array (utterances, n). The
engine keeps a state from one utterance to the next, so what is said must be said from the start, in
one order; and it is under the GPL, so it is run, not linked.
"""

import ctypes
import io
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # samples per second
SYNCHRONOUS, UTF8 = 2, 1
SPEED, PITCH = 1, 3  # parameters of the engine
AUDIBLE = 200
"""What is quieter, before and after a word, is cut off."""
SEED = 20260117

Samples = NDArray[np.int16]


class Engine:
    """eSpeak NG by its C interface (speak_lib.h)."""

    def __init__(self, library: str, data: str) -> None:
        self.library = ctypes.CDLL(library)
        self.chunks: list[bytes] = []
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), 0)
        if self.rate <= 0:
            raise RuntimeError(f"eSpeak NG does not start with the data in {data}.")
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._receive)  # kept: C holds only an address
        self.library.espeak_SetSynthCallback(self.callback)
        self.library.espeak_ng_SetRandSeed(SEED)

    def _receive(self, samples: int | None, count: int, _: Any) -> int:
        if samples:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def say(self, text: str, voice: str, rate: int, pitch: int) -> Samples:
        """The samples at the engine's own rate."""
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice!r}.")
        self.library.espeak_SetParameter(SPEED, rate, 0)
        self.library.espeak_SetParameter(PITCH, pitch, 0)
        self.chunks.clear()
        content = text.encode()
        self.library.espeak_Synth(content, len(content) + 1, 0, 1, 0, UTF8, None, None)
        return np.frombuffer(b"".join(self.chunks), np.int16)


def fitted(spoken: Samples, rate: int, samples: int) -> Samples:
    """(samples,) at 16 kHz from the first audible one on; cut, or filled up with silence."""
    from scipy.signal import resample_poly  # type: ignore[import-untyped]

    audible = np.flatnonzero(np.abs(spoken.astype(np.int32)) > AUDIBLE)
    if len(audible):
        spoken = spoken[audible[0] : audible[-1] + 1]
    resampled = resample_poly(spoken.astype(np.float64), RATE, rate)[:samples]
    whole = np.clip(np.rint(resampled), -32768, 32767).astype(np.int16)
    return np.pad(whole, (0, samples - len(whole)))


def main() -> None:
    asked = json.load(sys.stdin)
    engine = Engine(asked["library"], asked["data"])
    clips = [
        fitted(engine.say(*utterance), engine.rate, asked["samples"])
        for utterance in asked["utterances"]
    ]
    # Not saved into standard output itself: NumPy then asks a pipe where it stands, and some
    # systems (gVisor) have no answer.
    saved = io.BytesIO()
    np.save(saved, np.stack(clips))
    sys.stdout.buffer.write(saved.getvalue())


if __name__ == "__main__":
    main()
