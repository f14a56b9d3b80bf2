"""A recording of a minute: trend, hum and clicks removed, spectrum, envelope, onsets, tempo, pitch.

python examples/numpy/signals.py; the recording is made up: a melody with echo, mains hum, drift and clicks. Change the
import line to compare.
"""

import trueno.np as np

RATE = 16_000
SECONDS = 60
PITCHES = (220.0, 277.18, 329.63, 440.0, 392.0, 329.63, 277.18, 246.94)
"""Hertz, one after the other, half a second each."""


def recording():
    """Return the samples, in float64."""
    n = np.arange(RATE * SECONDS)
    t = n / RATE
    note = (n // (RATE // 2)) % len(PITCHES)
    pitch = np.array(PITCHES)[note]
    since = (n % (RATE // 2)) / RATE
    tone = np.exp(-6 * since) * (np.sin(2 * np.pi * pitch * since) + 0.4 * np.sin(4 * np.pi * pitch * since))
    echo = np.zeros_like(tone)
    echo[4000:] = 0.35 * tone[:-4000]
    drift = 0.3 + 0.02 * t - 0.0004 * t**2
    noise = np.sin(12.9898 * n + 78.233 * np.sin(0.618 * n)) * 0.05
    samples = tone + echo + drift + 0.2 * np.sin(2 * np.pi * 50 * t) + noise
    samples[777::31_013] += 3.0
    return samples


def detrended(x, degree=2):
    """Return a signal without the polynomial that fits it best."""
    t = np.linspace(-1, 1, len(x))
    return x - np.polyval(np.polyfit(t[::64], x[::64], degree), t)


def without_clicks(x, width=5):
    """Return a signal whose outliers are replaced by the median of their neighbours."""
    frames = np.stack([np.roll(x, k) for k in range(-width, width + 1)])
    middle = np.median(frames, axis=0)
    distance = np.abs(x - middle)
    return np.where(distance > 8 * np.median(distance), middle, x)


def filtered(x, low, high, taps=255):
    """Return a signal's part between two frequencies (windowed sinc, Hamming's window)."""
    n = np.arange(taps) - taps // 2
    ideal = 2 * high / RATE * np.sinc(2 * high / RATE * n) - 2 * low / RATE * np.sinc(2 * low / RATE * n)
    return np.convolve(x, ideal * np.hamming(taps), mode="same")


def spectrogram(x, size=1024, step=256):
    """Return the power of each frequency in overlapping frames, in decibels."""
    starts = np.arange(0, len(x) - size + 1, step)
    frames = x[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    return 10 * np.log10(np.maximum(power, 1e-10))


def envelope(x):
    """Return the magnitude of the analytic signal."""
    spectrum = np.fft.fft(x)
    gain = np.zeros(len(x))
    gain[0] = gain[len(x) // 2] = 1
    gain[1 : len(x) // 2] = 2
    return np.abs(np.fft.ifft(spectrum * gain))


def moving_mean(x, size):
    """Return means over so many samples."""
    total = np.cumsum(np.concatenate([np.zeros(1), x]))
    return (total[size:] - total[:-size]) / size


def onsets(power):
    """Return the frames in which the sound rises most."""
    flux = np.maximum(np.diff(power, axis=0), 0).sum(axis=1)
    peak = (flux[1:-1] > flux[:-2]) & (flux[1:-1] >= flux[2:]) & (flux[1:-1] > flux.mean() + 2 * flux.std())
    return np.flatnonzero(peak) + 2


def pitches(power, size=1024):
    """Return the loudest frequency of each half second, in hertz."""
    frequencies = np.arange(power.shape[1]) * RATE / size
    per_note = RATE // 2 // 256
    notes = power[: len(power) // per_note * per_note].reshape(-1, per_note, power.shape[1]).mean(axis=1)
    return frequencies[np.argmax(notes, axis=1)]


def main():
    """Return all results by name."""
    raw = recording()
    clean = without_clicks(detrended(raw))
    voice = filtered(clean, 100.0, 2000.0)
    power = spectrogram(voice)
    loud = moving_mean(envelope(voice), 400)
    beats = onsets(power)
    slow = loud[::100] - loud[::100].mean()
    similar = np.correlate(slow, slow, mode="full")[len(slow) - 1 :]
    half = np.interp(np.arange(0, len(voice), 2.5), np.arange(len(voice)), voice)
    crossings = np.count_nonzero(np.diff(np.signbit(voice)))
    return {
        "clean": clean,
        "voice": voice,
        "power": power,
        "envelope": loud,
        "onsets": beats,
        "period": np.argmax(similar[40:200]) + 40,
        "resampled": half,
        "crossings": np.asarray(crossings),
        "pitches": pitches(power),
        "level": np.sqrt(np.mean(voice**2)),
    }


if __name__ == "__main__":
    for title, value in main().items():
        print(f"{title}: {value if value.size <= 16 else value.shape}")
