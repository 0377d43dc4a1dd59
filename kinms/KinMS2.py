"""``from kinms.KinMS2 import KinMS``: the style of KinMS 2; the package's own name `kinms.KinMS2` stays the class."""

from kinms.errors import KinmsError as KinMSError
from kinms.legacy import KinMS2 as KinMS

__all__ = ["KinMS", "KinMSError"]
