"""Complex numbers and the Fourier transform: a filter in the frequency domain, and its gradient."""

from __future__ import annotations

from trueno import np

# Two tones, one second at 200 Hz, under noise.
rate = 200
time = np.arange(rate) / rate
clean = np.sin(2 * np.pi * 5 * time) + 0.5 * np.cos(2 * np.pi * 12 * time)
noisy = clean + 0.8 * np.random.default_rng(0).standard_normal(rate)

# A real signal has a complex spectrum; its two largest magnitudes are the tones.
spectrum = np.fft.rfft(noisy)
frequencies = np.fft.rfftfreq(rate, d=1 / rate)
tones = np.sort(frequencies[np.argsort(np.abs(spectrum))[-2:]])
print(spectrum.dtype, spectrum.shape, "tones:", tones, "Hz")

# A mask over frequencies is a filter.
spectrum[frequencies > 15] = 0
filtered = np.fft.irfft(spectrum, n=rate)


def rms(x: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt((x**2).mean()))


print(f"RMS error before: {rms(noisy - clean):.2f}, after: {rms(filtered - clean):.2f}")

# Gradients go through complex numbers: how much of the signal's energy lies at 5 Hz, and what would make it more?
signal = noisy.copy().requires_grad_()
power = np.abs(np.fft.rfft(signal)[5]) ** 2
power.backward()
change = signal.grad / np.abs(signal.grad).max()
print("the gradient is itself a tone of", int(np.abs(np.fft.rfft(change)).argmax()), "Hz")

# Arithmetic is NumPy's: the cube roots of one, as arrays of real parts, imaginary parts and angles.
roots = np.exp(2j * np.pi * np.arange(3) / 3)
print(np.allclose(roots**3, 1), np.round(roots.real, 3), np.round(roots.imag, 3))
