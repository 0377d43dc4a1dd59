"""``from kinms.KinMS import KinMS``, as scripts may have it; the package's own name `kinms.KinMS` stays the class."""

from kinms.errors import KinmsError as KinMSError
from kinms.legacy import KinMS

__all__ = ["KinMS", "KinMSError"]
