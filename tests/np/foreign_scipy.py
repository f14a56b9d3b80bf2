"""Expressions of SciPy's functions that support arrays of other libraries; see `tests.np.foreign`."""

from __future__ import annotations

_SPECIAL_1 = (
    "entr", "erf", "erfc", "expit", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr", "logit", "logsumexp", "ndtr",
    "ndtri",
)  # fmt: skip
_SPECIAL_2 = ("chdtr", "chdtrc", "gammainc", "gammaincc", "rel_entr", "stdtr", "xlogy")
_STATS_1 = (
    "bartlett", "circmean", "circstd", "circvar", "combine_pvalues", "describe", "differential_entropy", "entropy",
    "false_discovery_control", "gmean", "gstd", "hmean", "iqr", "jarque_bera", "kstat", "kurtosis", "kurtosistest",
    "lmoment", "normaltest", "rankdata", "sem", "sigmaclip", "skew", "skewtest", "variation", "zscore",
)  # fmt: skip
_STATS_2 = (
    "alexandergovern", "ansari", "bartlett", "f_oneway", "kruskal", "levene", "mannwhitneyu", "pearsonr", "spearmanr",
    "ttest_ind", "ttest_rel", "wilcoxon", "zmap",
)  # fmt: skip
_TRIMMED = ("tmean", "tsem", "tstd", "tvar")
_BINARY = ("binary_closing", "binary_dilation", "binary_erosion", "binary_fill_holes", "binary_opening")
_FILTERS = {
    "gaussian_filter": "sigma=1.5", "gaussian_filter1d": "sigma=1.5", "gaussian_gradient_magnitude": "sigma=1.0",
    "gaussian_laplace": "sigma=1.0", "grey_closing": "size=3", "grey_dilation": "size=3", "grey_erosion": "size=3",
    "grey_opening": "size=3", "laplace": "mode='nearest'", "maximum_filter": "size=3", "median_filter": "size=3",
    "minimum_filter": "size=3", "morphological_gradient": "size=3", "percentile_filter": "percentile=30, size=3",
    "prewitt": "axis=0", "rank_filter": "rank=2, size=3", "rotate": "angle=30", "shift": "shift=1.5", "sobel": "axis=1",
    "spline_filter": "order=3", "uniform_filter": "size=3", "white_tophat": "size=3", "zoom": "zoom=2",
}  # fmt: skip

SCIPY = (
    *(f"special.{name}(u)" for name in _SPECIAL_1), *(f"special.{name}(u, w)" for name in _SPECIAL_2),
    "special.betainc(u, w, u)", "special.softmax(g, axis=1)", "special.log_softmax(g, axis=1)",
    *(f"stats.{name}(u)" for name in _STATS_1 if name != "bartlett"), *(f"stats.{name}(u, w)" for name in _STATS_2),
    *(f"stats.{name}(u, (0.2, 0.8))" for name in _TRIMMED),
    "stats.ttest_1samp(u, 0.5)", "stats.moment(u, 3)", "stats.pmean(u, 2)", "stats.trim_mean(u, 0.1)",
    "stats.chisquare(counts)", "stats.power_divergence(counts, lambda_='log-likelihood')",
    "stats.directional_stats(g).mean_direction", "stats.quantile(u, w)",
    "stats.bootstrap((u,), xp.mean, n_resamples=50, rng=1, vectorized=True).standard_error",
    "signal.convolve(u, w)", "signal.fftconvolve(u, w)", "signal.oaconvolve(long, w)", "signal.correlate(u, w)",
    "signal.convolve2d(m, m[:3, :3])", "signal.correlate2d(m, m[:3, :3])", "signal.deconvolve(long[:20], b[1:])",
    "signal.lfilter(b, d, long)", "signal.lfilter_zi(b, d)", "signal.filtfilt(b, d, long)", "signal.freqz(b, d)",
    "signal.hilbert(long)", "signal.hilbert2(m)", "signal.envelope(long)", "signal.detrend(long)",
    "signal.medfilt(long, 5)", "signal.medfilt2d(m, 3)", "signal.wiener(m, 3)", "signal.resample(long, 100)",
    "signal.resample_poly(long, 2, 3)", "signal.upfirdn(w, long, 2, 3)", "signal.savgol_filter(long, 7, 2)",
    "signal.lombscargle(u, w, u)", "signal.cspline1d(u)", "signal.bilinear(b, d)",
    *(f"ndimage.{name}(m, {options})" for name, options in _FILTERS.items()),
    *(f"ndimage.{name}(m > 0.5)" for name in _BINARY),
    "ndimage.convolve(m, m[:3, :3])", "ndimage.correlate1d(m, u[:3])", "ndimage.center_of_mass(m)",
    "ndimage.affine_transform(m, m[:2, :2])", "ndimage.map_coordinates(m, g[:2] * 9)", "ndimage.label(m > 0.5)[0]",
    "ndimage.distance_transform_edt(m > 0.5)", "ndimage.extrema(m)", "ndimage.histogram(m, 0, 1, 5)",
    "ndimage.sum_labels(m, ndimage.label(m > 0.5)[0])", "ndimage.generic_filter(m, max, 3)",
    *(f"fft.{name}(m)" for name in ("dct", "dst", "fft", "fft2", "fftn", "hfft", "idct", "ifft", "rfft")),
    "vq.whiten(g.T)", "vq.vq(g.T, g.T[:3])", "vq.kmeans(g.T, g.T[:3])",
    "integrate.trapezoid(u)", "integrate.cumulative_trapezoid(u)",
    "integrate.cubature(lambda x: x[:, 0] ** 2, u[:1] * 0, u[:1] * 0 + 1).estimate",
    "differentiate.derivative(lambda x: x**3, u).df",
    "elementwise.find_root(lambda x: x * x - 2, (u[:2] * 0, u[:2] * 0 + 3)).x",
)  # fmt: skip
