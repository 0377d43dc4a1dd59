"""Log-probabilities whose moments are known."""

import numpy as np

CORRELATED = np.array([1.0, 0.5, 2.0, 1.5, 0.7])
CORRELATED = np.outer(CORRELATED, CORRELATED) * (0.3 * np.eye(5) + 0.7)  # covariance; every pair correlates by 0.7
CENTRE = np.array([1.0, -2.0, 0.0, 5.0, 3.0])
NORMAL_QUANTILE = 0.9944578832097530  # of the probability 0.84
HALF_QUANTILES = np.array([0.20189347914185, 0.67448975019608, 1.40507156030963])  # of 0.16, 0.5, 0.84


def gaussian(x):
    return -0.5 * (x[0] - 3.0) ** 2 / 4.0


def half_normal(x):
    return -0.5 * x[0] ** 2


def correlated():
    precision = np.linalg.inv(CORRELATED)

    def log_prob(x):
        d = x - CENTRE
        return -0.5 * d.dot(precision.dot(d))

    return log_prob
