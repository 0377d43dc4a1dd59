"""``from kinms.KinMS_jax import KinMS``: the one `KinMS` there is, which needs no JAX to be fast."""

from kinms.errors import KinmsError as KinMSError
from kinms.legacy import KinMS

__all__ = ["KinMS", "KinMSError"]
